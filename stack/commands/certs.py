"""`virtscale certs`: what a small site needs for TLS and tokens."""

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stack.commands import manual, options

if TYPE_CHECKING:
    from stack.certificates import Kind, Site

_DAYS = 365
_HOST = re.compile(r"(\*\.)?[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_KEPT = "kept: {path} (valid until {until}); --force makes a new one"

app = manual.Application(
    help="Make certificates and tokens for a dispatcher, its workers and its clients.",
    epilog="Examples:  virtscale certs init   |   virtscale certs server dispatcher.example.net "
    "192.0.2.10   |   virtscale certs worker vm-1 vm-2   |   "
    "virtscale certs token gate-camera --role submit   |   virtscale certs show",
)

Directory = Annotated[
    Path | None,
    typer.Option(
        "--dir", metavar="DIR", help="Where everything is (default: STATE/secrets/tls).",
        show_default=False,
    ),
]  # fmt: skip
Force = Annotated[bool, typer.Option("--force", help="Replace what is there.")]
Days = Annotated[
    int, typer.Option("--days", min=1, max=3650, help="How many days the certificate is valid.")
]
Roles = Annotated[
    list[str] | None,
    typer.Option(
        "--role",
        metavar="submit|read|fleet|admin",
        help="What its holder may do; may be given several times.",
    ),
]


@app.command(
    help="Make the certificate authority that signs all others. Its key stays in ca.key.",
    epilog="Example:  virtscale certs init --dir /etc/virtscale/tls",
)
def init(
    name: Annotated[
        str, typer.Option("--name", metavar="TEXT", help="Name of the authority.")
    ] = "virtscale",
    directory: Directory = None,
    state: options.State = None,
    force: Force = False,
) -> None:
    """Makes an authority."""
    with options.plain_errors():
        site = _site(directory, state)
        if site.ca.exists and not force:
            _tell_kept(site.ca.certificate)
            return
        site.make_ca(name, time.time())
        typer.echo(f"made: {site.ca.certificate} and {site.ca.key} (keep the key to yourself)")


@app.command(
    help="Make the dispatcher's certificate. It is valid for the given names and for this "
    "machine's own "
    "(localhost, and 10.0.2.2 as guests on user-mode networks call it).",
    epilog="Example:  virtscale certs server dispatcher.example.net 192.0.2.10",
)
def server(
    hosts: Annotated[
        list[str] | None,
        typer.Argument(metavar="[HOST]...", help="Names and addresses of the dispatcher."),
    ] = None,
    days: Days = _DAYS,
    directory: Directory = None,
    state: options.State = None,
    force: Force = False,
) -> None:
    """Makes the dispatcher's certificate."""
    from stack import certificates

    with options.plain_errors():
        for host in hosts or []:
            if not _HOST.fullmatch(host) and not _is_address(host):
                raise options.usage_error(f"{host!r}: give a host name or an IP address, no port")
        names = certificates.server_names(hosts or [])
        _make(_site(directory, state), "server", "dispatcher", names, days, force)


@app.command(
    help="Make certificates of workers, named like their domains. --xml prints what goes into a "
    "domain's definition, the key included: it is a secret.",
    epilog="Examples:  virtscale certs worker vm-1 vm-2   |   virtscale certs worker vm-1 --xml",
)
def worker(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME...", help="Ids of the workers, which are the names of their domains."
        ),
    ],
    xml: Annotated[
        bool, typer.Option("--xml", help="Print the <oemStrings> entries of each.")
    ] = False,
    days: Days = _DAYS,
    directory: Directory = None,
    state: options.State = None,
    force: Force = False,
) -> None:
    """Makes workers' certificates."""
    from stack import certificates, guest_credentials

    with options.plain_errors():
        site = _site(directory, state)
        for name in names:
            if not name.isprintable() or not 1 <= len(name) <= 128:
                raise options.usage_error(f"{name!r}: must be 1 to 128 printable characters")
        for name in names:
            _make(site, "worker", name, certificates.worker_names(name), days, force, quiet=xml)
            if xml:
                typer.echo(guest_credentials.entries(name, guest_credentials.read(site, name)))


@app.command(
    help="Make a client's certificate that gives roles, for a dispatcher with tls.client_ca. "
    "Tokens do the same and can be taken back at once.",
    epilog="Example:  virtscale certs client scaler --role fleet",
)
def client(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The client's name.")],
    role: Roles = None,
    days: Days = _DAYS,
    directory: Directory = None,
    state: options.State = None,
    force: Force = False,
) -> None:
    """Makes a client's certificate."""
    from stack import certificates

    with options.plain_errors():
        roles = _checked_roles(role)
        names = certificates.client_names(_checked_name(name), roles)
        _make(_site(directory, state), "client", name, names, days, force)


@app.command(
    help="Make a token with roles: its digest goes into the tokens file, which the dispatcher "
    "reads again by itself; the token into NAME.token, for the client. --revoke takes it back.",
    epilog="Examples:  virtscale certs token gate-camera --role submit   |   "
    "virtscale certs token office --role submit --role read --until 2030-12-31   |   "
    "virtscale certs token gate-camera --revoke",
)
def token(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose token it is.")],
    role: Roles = None,
    until: Annotated[
        str, typer.Option("--until", metavar="YYYY-MM-DD", help="Day on which it ends.")
    ] = "",
    revoke: Annotated[bool, typer.Option("--revoke", help="Take the token back.")] = False,
    directory: Directory = None,
    state: options.State = None,
    force: Force = False,
) -> None:
    """Makes or revokes a token."""
    from stack import access_tokens, certificates

    with options.plain_errors():
        site, _ = _site(directory, state), _checked_name(name)
        path = site.token(name)
        if revoke:
            if not access_tokens.remove(site.tokens, name):
                raise options.usage_error(f"{name!r}: {site.tokens} has no such token")
            path.unlink(missing_ok=True)
            typer.echo(f"revoked: {name}; a dispatcher that reads {site.tokens} knows within 2 s")
            return
        roles = _checked_roles(role)
        if until:
            _check_day(until)
        if any(entry.name == name for entry in access_tokens.read(site.tokens)) and not force:
            typer.echo(f"kept: {name} in {site.tokens}; --force makes a new one")
            return
        certificates.write_private(
            path, (access_tokens.add(site.tokens, name, roles, until) + "\n").encode()
        )
        typer.echo(f"made: {path}; roles {', '.join(roles)}; its digest is in {site.tokens}")


@app.command(
    help="List certificates and tokens: names, roles, ends. Shows no secret.",
    epilog="Example:  virtscale certs show --json",
)
def show(
    directory: Directory = None,
    state: options.State = None,
    json: options.Json = False,
) -> None:
    """Lists everything."""
    from stack import access_tokens, certificates

    with options.plain_errors():
        site = _site(directory, state)
        found: list[dict[str, Any]] = []
        for path in sorted(site.directory.rglob("*.pem")):
            facts = certificates.facts(path)
            found.append(
                {
                    "file": str(path),
                    "name": facts.common_name,
                    "names": list(facts.names),
                    "until": _day(facts.not_after),
                    "seconds_left": round(facts.not_after - time.time()),
                }
            )
        tokens: list[dict[str, Any]] = [
            {"name": each.name, "roles": list(each.roles), "until": each.until}
            for each in access_tokens.read(site.tokens)
        ]
        if json:
            import json as library

            typer.echo(library.dumps({"certificates": found, "tokens": tokens}, indent=2))
            return
        if not found and not tokens:
            typer.echo(f"nothing in {site.directory}; begin with: virtscale certs init")
        for each in found:
            ended = " EXPIRED" if each["seconds_left"] <= 0 else ""
            typer.echo(f"{each['file']}  until {each['until']}{ended}")
            typer.echo("    " + ", ".join([each["name"], *each["names"]]))
        for each in tokens:
            ending = f"  until {each['until']}" if each["until"] else ""
            typer.echo(f"token {each['name']}  {', '.join(each['roles'])}{ending}")


def _site(directory: Path | None, state: Path | None) -> "Site":
    from stack import certificates, up_entry

    if directory is not None:
        return certificates.Site(directory.absolute())
    found = options.state_directory(state)
    # What root makes, the stack's user could not read.
    up_entry.prepare(found)
    return certificates.Site(found.secrets / "tls")


def _make(
    site: "Site",
    kind: "Kind",
    name: str,
    names: list[str],
    days: int,
    force: bool,
    *,
    quiet: bool = False,
) -> None:
    from stack import certificates

    pair = site.pair(kind, name)
    if pair.exists and not force:
        present = certificates.facts(pair.certificate)
        if set(present.names) != set(names):
            raise options.usage_error(
                f"{pair.certificate} is for {', '.join(present.names)}, not for "
                f"{', '.join(names)}; --force replaces it"
            )
        if not site.has_signed(pair):
            raise options.usage_error(
                f"{pair.certificate} was signed by another authority; --force replaces it"
            )
        if not quiet:
            _tell_kept(pair.certificate)
        return
    site.make(kind, name, names=names, now=time.time(), days=days)
    if not quiet:
        until = _day(certificates.facts(pair.certificate).not_after)
        typer.echo(f"made: {pair.certificate} and {pair.key}, valid until {until}")


def _tell_kept(path: Path) -> None:
    from stack import certificates

    typer.echo(_KEPT.format(path=path, until=_day(certificates.facts(path).not_after)))


def _checked_name(name: str) -> str:
    from stack import access_tokens

    if not access_tokens.NAME.fullmatch(name):
        raise options.usage_error(f"{name!r}: a name is 1 to 64 letters, digits or ._@-")
    return name


def _checked_roles(given: list[str] | None) -> list[str]:
    from stack import access_tokens

    unknown = [role for role in given or [] if role not in access_tokens.ROLES]
    if unknown or not given:
        what = f"{', '.join(map(repr, unknown))}: no such role; " if unknown else ""
        raise options.usage_error(f"--role: {what}give one or more of submit, read, fleet, admin")
    return list(dict.fromkeys(given))


def _check_day(text: str) -> None:
    try:
        end = time.mktime(time.strptime(text, "%Y-%m-%d"))
    except (ValueError, OverflowError):
        raise options.usage_error(f"--until {text!r}: must be a day, YYYY-MM-DD") from None
    if end <= time.time():
        raise options.usage_error(f"--until {text}: is in the past")


def _is_address(text: str) -> bool:
    import ipaddress

    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _day(moment: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(moment))
