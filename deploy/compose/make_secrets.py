"""Makes what is missing of a site's secrets and deals each container its own: see `prepare`.

`make_secrets.py DIR UID:GID NAME...`: DIR/secrets is the site's, for root alone; DIR/SERVICE is
what is mounted into that container. UID:GID is whom scaler and dispatcher run as, NAME... the
addresses at which clients and guests reach the dispatcher. Doing it again renews what is near its
end.
"""

import os
import secrets
import sys
import time
from collections.abc import Mapping
from pathlib import Path

sys.path.insert(0, "/usr/lib/virtscale")  # in the image; elsewhere it is installed, or not there

from stack import certificates, secrets_files, site_secrets
from stack.certificates import Site, write_private

_NOBODY = (65534, 65534)
_GRAFANA = (472, 0)
_POSTGRES = (999, 999)


def main() -> int:
    """Makes and deals."""
    os.umask(0o077)
    directory, owner = Path(sys.argv[1]), _owner(sys.argv[2])
    site = Site(directory / "secrets" / "tls")
    _make(site, directory / "secrets", ["dispatcher", *sys.argv[3:]], time.time())
    os.chmod(directory, 0o700)
    server, tls, kept = site.pair("server"), site.directory, directory / "secrets"
    dispatcher = {
        "dispatcher.pem": server.certificate,
        "dispatcher.key": server.key,
        "ca.pem": site.ca.certificate,
        "tokens": site.tokens,
        "join.key": kept / "join.key",
        "pepper": kept / "pepper",
        "postgres.password": tls / "postgres.password",
    }
    scaler = {
        "ca.pem": site.ca.certificate,
        "dispatcher.token": site.token(site_secrets.SCALER),
        "control.token": site.token(site_secrets.CONTROL),
        "alerts.token": site.token(site_secrets.ALERTS),
    }
    _deal(directory / "dispatcher", dispatcher, owner)
    _deal(directory / "scaler", scaler, owner)
    alerts = {"alerts.token": site.token(site_secrets.ALERTS)}
    _deal(directory / "alertmanager", alerts, _NOBODY)
    _deal(directory / "postgres", {"postgres.password": tls / "postgres.password"}, _POSTGRES)
    _deal(directory / "grafana", {"admin.password": tls / "grafana.password"}, _GRAFANA)
    return 0


def _make(site: Site, kept: Path, hosts: list[str], now: float) -> None:
    if not site.ca.exists:
        site.make_ca("virtscale", now)
    names, pair = certificates.server_names(hosts), site.pair("server")
    facts = certificates.facts(pair.certificate) if pair.exists else None
    is_good = facts and set(facts.names) >= set(names) and site.has_signed(pair)
    if not is_good or facts.is_spent(now):
        known = facts.names if facts else ()
        site.make("server", "dispatcher", names=dict.fromkeys([*names, *known]), now=now)
    site_secrets.SiteSecrets(site).ensure(now)
    secrets_files.ensure_join_key(kept / "join.key")
    secrets_files.ensure_pepper(kept / "pepper")
    for name in ("grafana.password", "postgres.password"):
        if not (password := site.directory / name).exists():
            write_private(password, f"{secrets.token_urlsafe(18)}\n".encode())


def _deal(directory: Path, files: Mapping[str, Path], owner: tuple[int, int]) -> None:
    """Files are replaced by renaming: a service that looks meanwhile sees the old or the new."""
    directory.mkdir(exist_ok=True)
    for name, source in files.items():
        target, content = directory / name, source.read_bytes()
        if not target.exists() or target.read_bytes() != content:
            write_private(target, content)
        os.chown(target, *owner)
        os.chmod(target, 0o400)
    os.chown(directory, *owner)
    os.chmod(directory, 0o500)


def _owner(text: str) -> tuple[int, int]:
    user, _, group = text.partition(":")
    return int(user), int(group)


if __name__ == "__main__":
    sys.exit(main())
