"""The stack's certificates and tokens, and what the dispatcher makes of them."""

import stat
import time
from pathlib import Path

import pytest

from dispatcher import access
from servicekit.lifecycle import StartError
from servicekit.tls import TlsFiles, read_pems
from stack import access_tokens, certificates, guest_credentials, site_secrets
from stack.certificates import Site
from stack.site_secrets import SiteSecrets

NOW = time.time()
DAY = 86_400.0


@pytest.fixture
def secrets(tmp_path: Path) -> SiteSecrets:
    made = SiteSecrets(Site(tmp_path / "tls"))
    made.ensure(NOW)
    return made


def contents(secrets: SiteSecrets) -> dict[str, bytes]:
    return {
        str(path): path.read_bytes() for path in secrets.site.directory.rglob("*") if path.is_file()
    }


def test_a_second_start_changes_nothing(secrets: SiteSecrets) -> None:
    secrets.workers(["vs-1", "vs-2"], NOW)
    before = contents(secrets)
    secrets.ensure(NOW + DAY)
    secrets.workers(["vs-1", "vs-2"], NOW + DAY)
    assert contents(secrets) == before


def test_what_is_in_its_second_half_is_made_anew_under_the_same_authority(
    secrets: SiteSecrets,
) -> None:
    secrets.workers(["vs-1"], NOW)
    before = contents(secrets)
    later = NOW + 200 * DAY
    secrets.ensure(later)
    secrets.workers(["vs-1"], later)
    after = contents(secrets)
    changed = {Path(name).name for name in before if before[name] != after[name]}
    assert changed == {"dispatcher.pem", "dispatcher.key", "vs-1.pem", "vs-1.key"}
    for kind, name in (("server", ""), ("worker", "vs-1")):
        facts = certificates.facts(secrets.site.pair(kind, name).certificate)  # type: ignore[arg-type]
        assert facts.not_after > later + 300 * DAY
        # A guest restored from disk has an old clock.
        assert facts.not_before < NOW


def test_what_another_authority_signed_is_made_anew(secrets: SiteSecrets) -> None:
    before = secrets.workers(["vs-1"], NOW)["vs-1"]
    secrets.site.make_ca("second", NOW)
    secrets.ensure(NOW)
    after = secrets.workers(["vs-1"], NOW)["vs-1"]
    assert after.certificate != before.certificate
    assert secrets.site.has_signed(secrets.site.pair("server"))


def test_only_the_owner_reads_keys_and_tokens(secrets: SiteSecrets) -> None:
    secrets.workers(["vs-1"], NOW)
    secrets.join_token_file("vs-1", "v1.x")
    for path in secrets.site.directory.rglob("*"):
        if path.is_file() and path.suffix != ".pem":
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_the_dispatcher_can_use_all_of_it(secrets: SiteSecrets) -> None:
    site = secrets.site
    server = site.pair("server")
    files = TlsFiles(certificate=server.certificate, key=server.key, client_ca=site.ca.certificate)
    assert read_pems(files, "worker_tls", now=NOW).not_after < NOW + 366 * DAY
    tokens = access.parse_tokens(site.tokens.read_text())
    for name, allowed, refused in (
        (site_secrets.UP, "LicenseService/SubmitJobs", "LicenseService/NoSuch"),
        (site_secrets.SCALER, "FleetService/DrainWorker", "LicenseService/GetJob"),
        (site_secrets.COMMANDS, "LicenseService/GetJob", "FleetService/DrainWorker"),
    ):
        token = secrets.token_file(name).read_text().strip()
        for method, is_allowed in ((allowed, True), (refused, False)):
            denied = access.judge(f"/virtscale.v1.{method}", f"Bearer {token}", (), tokens, NOW)
            assert (denied is None) is is_allowed, f"{name} {method}"
    for worker in ("vs-1", "ü b/c%"):
        secrets.workers([worker], NOW)
        facts = certificates.facts(site.pair("worker", worker).certificate)
        assert access.speaks_for(worker, facts.common_name, facts.names)
        assert not access.speaks_for("vs-2", facts.common_name, facts.names)
    facts = certificates.facts(server.certificate)
    assert not access.speaks_for(facts.common_name, facts.common_name, facts.names)


def test_a_damaged_token_is_replaced_and_the_others_stay(secrets: SiteSecrets) -> None:
    before = secrets.token_file(site_secrets.UP).read_text()
    secrets.token_file(site_secrets.SCALER).write_text("")
    secrets.ensure(NOW)
    assert secrets.token_file(site_secrets.SCALER).read_text().startswith("vst_")
    assert secrets.token_file(site_secrets.UP).read_text() == before
    assert len(access_tokens.read(secrets.site.tokens)) == 3


def test_a_person_s_own_tokens_survive(secrets: SiteSecrets) -> None:
    access_tokens.add(secrets.site.tokens, "camera", ["submit"], "2090-01-01")
    secrets.token_file(site_secrets.SCALER).unlink()
    secrets.ensure(NOW)
    kept = [each for each in access_tokens.read(secrets.site.tokens) if each.name == "camera"]
    assert [(each.roles, each.until) for each in kept] == [(("submit",), "2090-01-01")]
    assert access_tokens.remove(secrets.site.tokens, "camera")
    assert not access_tokens.remove(secrets.site.tokens, "camera")


def test_an_expired_or_broken_authority_is_named(secrets: SiteSecrets) -> None:
    with pytest.raises(StartError, match="has expired; make a new one with virtscale certs init"):
        secrets.ensure(NOW + 4000 * DAY)
    secrets.site.ca.key.write_text("nonsense")
    with pytest.raises(StartError, match=r"ca\.key: holds no private key"):
        secrets.workers(["vs-1"], NOW)


def test_what_a_guest_is_told_is_one_line_each(secrets: SiteSecrets) -> None:
    tls = secrets.workers(["vs-1"], NOW)["vs-1"]
    for value in tls.credentials().values():
        # QEMU takes longer ones, SMBIOS tools do not have to.
        assert value.isascii() and "\n" not in value and len(value) < 1024
    text = guest_credentials.entries("a<b", tls)
    assert text.startswith("<entry>io.systemd.credential:virtscale.worker-id=a&lt;b</entry>")
    assert text.count("<entry>") == 4
    assert tls.key.decode() not in repr(tls)
