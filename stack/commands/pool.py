"""`virtscale pool`: pools of domains of one's own, and of clones of one's own template."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stack.commands import clone_plan, manual, options

if TYPE_CHECKING:
    from stack.certificates import Site
    from stack.hypervisor.credentials import Credentials
    from stack.hypervisor.marks import Connection, Seen
    from stack.paths import StateDirectory
    from stack.pool_credentials import GuestFacts

_FEWEST, _MOST = 1, 1000

app = manual.Application(
    help="Lend domains of your own to a pool, or make linked clones of a template.",
    epilog="Examples:  virtscale pool adopt my-vm --pool web --url qemu:///system   |   "
    "virtscale pool create web --template golden --count 4 --url qemu:///system   |   "
    "virtscale pool list --url qemu:///system",
)

Domains = Annotated[list[str], typer.Argument(metavar="DOMAIN...", help="Names of domains.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the pool.")]
Url = Annotated[
    str | None,
    typer.Option(
        "--url", metavar="URI", help="libvirt, such as qemu:///system; that of the running stack "
        "if there is one.",
    ),
]  # fmt: skip
Tier = Annotated[
    str, typer.Option("--tier", metavar="NAME", help="Appears in metrics; nothing else.")
]
NoCredentials = Annotated[
    bool,
    typer.Option("--no-credentials", help="Tell the guest nothing: its worker knows all itself."),
]
Dispatcher = Annotated[
    str | None,
    typer.Option(
        "--dispatcher", metavar="HOST:PORT", help="The dispatcher's port for workers as the guests "
        "reach it (default: 10.0.2.2:15052, on QEMU's user-mode network).",
    ),
]  # fmt: skip
Directory = Annotated[
    Path | None,
    typer.Option(
        "--dir", metavar="DIR", help="Where `virtscale certs` keeps the site's authority "
        "(default: STATE/secrets/tls).", show_default=False,
    ),
]  # fmt: skip
UserData = Annotated[
    Path | None,
    typer.Option(
        "--user-data", metavar="FILE", help="cloud-init's user-data for the guests: each clone "
        "made now gets a seed image with it, its own instance id and host name (NoCloud).",
        show_default=False,
    ),
]  # fmt: skip
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done; do nothing.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@app.command(
    help="Make existing domains members of a pool. Mark them, and tell their guests where the "
    "dispatcher is and who they are. Shows what it changes and asks. Their definitions and disks "
    "stay yours. Again for a member: renews its certificate when half of its life is over.",
    epilog="Examples:  virtscale pool adopt my-vm --url qemu:///system   |   virtscale pool adopt "
    "vm-1 vm-2 --pool web --dispatcher 192.0.2.10:15052 --url qemu:///system --dry-run",
)
def adopt(
    domains: Domains,
    pool: Annotated[
        str, typer.Option("--pool", metavar="NAME", help="Name of the pool.")
    ] = "default",
    tier: Tier = "cold",
    no_credentials: NoCredentials = False,
    dispatcher: Dispatcher = None,
    url: Url = None,
    directory: Directory = None,
    state: options.State = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Takes domains in."""
    from stack.hypervisor import members
    from stack.hypervisor.members import Adoption

    _check_name(pool)
    _check_tier(tier)
    own = options.state_directory(state) if directory is None else None
    with _opened(url, state, directory) as (connection, uri, site):
        told = _Told(connection, uri, site, dispatcher, state=own, has_none=no_credentials)
        scaler = _own_scaler(state)
        first = Adoption(pool, tier, lambda name: told.announced(name), scaler)
        steps = members.plan_adoption(connection, domains, first)
        told.warn()
        for step in steps:
            text = step.change.difference(step.seen.name)
            typer.echo(text or f"{step.seen.name}: is in the pool {pool!r} already")
        if dry_run or not _is_agreed(yes, f"Change {len(steps)} domain(s)?"):
            return
        final = Adoption(pool, tier, lambda name: told.made(name), scaler)
        members.carry_out(connection, members.plan_adoption(connection, domains, final))
        for step in steps:
            typer.echo(f"{step.seen.name}: in the pool {pool!r}")


@app.command(
    help="Give adopted domains back. Removes from their definitions what `adopt` has added, and "
    "nothing else.",
    epilog="Examples:  virtscale pool release my-vm --url qemu:///system",
)
def release(
    domains: Domains,
    url: Url = None,
    state: options.State = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Gives domains back."""
    from stack.hypervisor import members

    with _opened(url, state, None) as (connection, _, _site):
        steps = members.plan_release(connection, domains)
        for step in steps:
            typer.echo(step.change.difference(step.seen.name))
        if dry_run or not _is_agreed(yes, f"Change {len(steps)} domain(s)?"):
            return
        members.carry_out(connection, steps)
        for step in steps:
            late = step.change.is_of_the_machine and step.seen.is_active
            when = "; it runs, and its definition counts from its next start on" if late else ""
            typer.echo(f"{step.seen.name}: in no pool any more{when}")


@app.command(
    help="Make a pool of linked clones of a template domain, named NAME-1 and so on. Each has an "
    "overlay of every disk that the template writes to, its own name, UUID, addresses and "
    "certificate; all else is as in the template, which must be off and must not be started any "
    "more. Again with a bigger --count: adds; with a smaller one: removes those that are off.",
    epilog="Examples:  virtscale pool create web --template golden --count 4 --url qemu:///system"
    "   |   virtscale pool create web --template golden --count 4 --user-data user-data --url "
    "qemu:///system   |   virtscale pool create web --template golden --count 8 --memory 2048 "
    "--dispatcher 192.0.2.10:15052 --url qemu+ssh://host/system --storage default",
)
def create(
    name: Name,
    template: Annotated[
        str, typer.Option("--template", metavar="DOMAIN", help="What is cloned.")
    ],
    count: Annotated[
        int, typer.Option("--count", metavar="N", min=_FEWEST, max=_MOST, help="Clones in all.")
    ],
    storage: Annotated[
        str,
        typer.Option(
            "--storage", metavar="DIR", help="Directory, or name of a storage pool, for the "
            "overlays (default: where the template's disk is).", show_default=False,
        ),
    ] = "",
    memory: Annotated[
        int | None,
        typer.Option("--memory", metavar="MIB", min=16, help="Memory of each clone."),
    ] = None,
    vcpus: Annotated[
        int | None,
        typer.Option("--vcpus", metavar="N", min=1, max=512, help="Virtual CPUs of each clone."),
    ] = None,
    tier: Tier = "cold",
    user_data: UserData = None,
    no_instance_id: Annotated[
        bool,
        typer.Option(
            "--no-instance-id", help="Leave the SMBIOS serial number as it is, by which "
            "cloud-init in the guest learns its name and that it is a new machine.",
        ),
    ] = False,
    no_credentials: NoCredentials = False,
    dispatcher: Dispatcher = None,
    url: Url = None,
    directory: Directory = None,
    state: options.State = None,
    dry_run: DryRun = False,
) -> None:  # fmt: skip
    """Makes clones."""
    from stack.hypervisor import clones
    from stack.hypervisor.clones import CloneOrder

    _check_name(name)
    _check_tier(tier)
    order = CloneOrder(
        *(name, template, count, storage, tier, memory, vcpus),
        has_instance_id=not no_instance_id,
        user_data=clone_plan.user_data_of(user_data),
    )
    own = options.state_directory(state) if directory is None else None
    with _opened(url, state, directory) as (connection, uri, site):
        told = _Told(
            connection, uri, site, dispatcher, state=own, has_none=no_credentials, source=template
        )
        planned = clones.plan(connection, uri, order)
        told.announced(name)
        told.warn()
        clone_plan.tell(planned, user_data)
        if dry_run:
            return
        clones.carry_out(connection, uri, planned, told.made, _tell)
        typer.echo(
            f"the pool {name!r} has {count} clone(s) of {template!r}, which must not be started "
            "any more: that would ruin their disks"
        )


@app.command(
    help="Remove the domains that virtscale has made for a pool, with the files made for them. "
    "Adopted domains, and the template and its disks, are not touched.",
    epilog="Examples:  virtscale pool destroy web --url qemu:///system --dry-run   |   "
    "virtscale pool destroy web --url qemu:///system --yes --force",
)
def destroy(
    name: Name,
    force: Annotated[
        bool, typer.Option("--force", help="Shut down those that are active first.")
    ] = False,
    seconds: Annotated[
        float,
        typer.Option(
            "--timeout", metavar="SECONDS", min=0, max=3600,
            help="With --force: cut the power of those that have not shut down by then.",
        ),
    ] = 60.0,
    url: Url = None,
    state: options.State = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:  # fmt: skip
    """Removes a pool."""
    from stack.hypervisor import clones

    _check_name(name)
    with _opened(url, state, None) as (connection, uri, _):
        made, others = clones.of_pool(connection, name)
        for seen in others:
            typer.echo(f"kept: {seen.name} is yours (virtscale pool release {seen.name})")
        if not made:
            raise options.usage_error(
                f"{name!r}: virtscale has made no domain of it at {uri} (virtscale pool list)"
            )
        active = [seen.name for seen in made if seen.is_active]
        for seen in made:
            files = ", ".join(seen.record.overlays) if seen.record is not None else ""
            typer.echo(
                f"to remove: {seen.name} ({seen.state})" + (f" and {files}" if files else "")
            )
        if active and not force:
            raise options.usage_error(
                f"active: {', '.join(active)}; drain and stop the pool first, or use --force"
            )
        if dry_run or not _is_agreed(yes, f"Remove {len(made)} domain(s) and their files?"):
            return
        clones.destroy(connection, uri, made, seconds=seconds if force else None, tell=_tell)


@app.command(
    "list",
    help="List the pools at a libvirt: domains, whose they are, their state.",
    epilog="Examples:  virtscale pool list --url qemu:///system   |   virtscale pool list --json",
)
def list_(url: Url = None, state: options.State = None, json: options.Json = False) -> None:
    """Lists pools."""
    from stack.hypervisor import marks

    with _opened(url, state, None) as (connection, uri, _):
        found = [_row(seen) for seen in marks.see_all(connection).values() if _is_ours(seen)]
        if json:
            import json as library

            typer.echo(library.dumps({"uri": uri, "domains": found}, indent=2))
        elif not found:
            typer.echo(f"no domain at {uri} is in a pool")
        else:
            _print_table(sorted(found, key=lambda row: (row["pool"], row["domain"])))


class _Told:
    """What guests are told, with its faults and remarks."""

    def __init__(
        self,
        connection: "Connection",
        uri: str,
        site: "Site",
        dispatcher: str | None,
        *,
        state: "StateDirectory | None",
        has_none: bool,
        source: str = "",
    ) -> None:
        """Of the stack's own site if `state` is given.

        `source`: the domain that says what network the guests have; empty: each says its own.
        """
        from stack import pool_credentials

        self._connection = connection
        self._dispatcher = dispatcher
        self._source = source
        self._facts: GuestFacts | None = None
        if not has_none:
            self._facts = pool_credentials.facts(connection, uri, site, state)
            if dispatcher is not None:
                pool_credentials.check_dispatcher(dispatcher, site)
        elif dispatcher is not None:
            raise options.usage_error("--dispatcher: says nothing together with --no-credentials")

    def announced(self, name: str) -> "Credentials":
        """Before anything is made."""
        from stack.hypervisor.credentials import Credentials

        if self._facts is None:
            return Credentials()
        return self._facts.announced(name, self._address(name))

    def made(self, name: str) -> "Credentials":
        """With the certificate."""
        from stack.hypervisor.credentials import Credentials

        if self._facts is None:
            return Credentials()
        return self._facts.made(name, self._address(name))

    def warn(self) -> None:
        """Says what a person may not expect."""
        if self._facts is None:
            return
        if not self._facts.has_authority:
            typer.echo(
                f"note: no certificates: {self._facts.site.directory} has no authority (virtscale "
                "certs init, or --dir)", err=True,
            )  # fmt: skip
        elif not self._facts.has_key_files:
            typer.echo(
                "note: QEMU runs there as another user, so a guest's key is in its definition and "
                "in QEMU's command line; mount /proc with hidepid=2 if others log in there",
                err=True,
            )

    def _address(self, name: str) -> str:
        from stack.hypervisor import marks, membership

        if self._dispatcher is not None:
            return self._dispatcher
        asked = self._source or name
        xml = marks.definition_of(self._connection, asked)
        # That there is none is told elsewhere.
        if xml is not None and not membership.has_user_network(xml):
            raise options.usage_error(
                f"{asked!r} is on no user-mode network: say how its guest reaches the dispatcher "
                "with --dispatcher HOST:PORT (docs/OPERATIONS.md, 'A dispatcher for other "
                "machines'), or use --no-credentials"
            )
        return membership.USER_NETWORK_DISPATCHER


@contextmanager
def _opened(
    url: str | None, state: Path | None, directory: Path | None
) -> Iterator[tuple[Any, str, "Site"]]:
    """The libvirt and the site's directory; faults become one sentence each."""
    from stack import certificates, guests, up_entry
    from stack.hypervisor import marks
    from stack.hypervisor.errors import HypervisorError

    with options.plain_errors():
        found = options.state_directory(state)
        uri = url or _running_uri(found)
        if uri.endswith(":///session"):
            # Root's means that of the stack's user, as with `./run`.
            up_entry.prepare(found)
        tls = found.secrets / "tls" if directory is None else directory.absolute()
        try:
            with marks.connected(uri) as connection:
                yield connection, uri, certificates.Site(tls)
        except marks.NoConnection as error:
            raise options.failure(guests.refusal(str(error), uri)) from None
        except HypervisorError as error:
            raise options.failure(str(error)) from None


def _running_uri(state: Any) -> str:
    from servicekit.lifecycle import StartError
    from stack import endpoints

    try:
        return endpoints.read(state).uri
    except StartError:
        raise options.usage_error(
            f"no stack is running in {state.root}: say which libvirt with --url URI, such as "
            "qemu:///system"
        ) from None


def _own_scaler(state: Path | None) -> str:
    """The name that our scaler writes into its domains; empty: none has run yet."""
    path = options.state_directory(state).of("scaler") / "identity"
    try:
        return str(path.read_text(encoding="utf-8").strip())
    except (OSError, UnicodeDecodeError):
        return ""


def _check_name(pool: str) -> None:
    from stack.hypervisor import membership

    if not membership.POOL_NAME.fullmatch(pool):
        raise options.usage_error(
            f"{pool!r}: a pool's name is 1 to 61 letters, digits or ._- and begins with a letter "
            "or digit"
        )


def _check_tier(tier: str) -> None:
    from stack.hypervisor import membership

    if not membership.POOL_NAME.fullmatch(tier):
        raise options.usage_error(f"--tier {tier!r}: give 1 to 61 letters, digits or ._-")


def _is_agreed(yes: bool, question: str) -> bool:
    if yes:
        return True
    if not sys.stdin.isatty():
        raise options.usage_error("nobody is here to be asked: say --yes, or --dry-run to look")
    is_agreed = typer.confirm(question)
    if not is_agreed:
        typer.echo("nothing was changed")
    return is_agreed


def _tell(text: str) -> None:
    typer.echo(text)


def _is_ours(seen: "Seen") -> bool:
    return bool(seen.attributes) or seen.record is not None


def _row(seen: "Seen") -> dict[str, str]:
    from stack.hypervisor import membership

    return {
        "pool": seen.pool,
        "domain": seen.name,
        "owner": membership.describe(seen.attributes, seen.record),
        "state": seen.state,
        "tier": seen.attributes.get("tier", ""),
        "generation": seen.attributes.get("generation", ""),
        "template": seen.record.template if seen.record is not None else "",
        "scaler": seen.attributes.get("scaler", ""),
    }


def _print_table(rows: list[dict[str, str]]) -> None:
    columns = [name for name in rows[0] if any(row[name] for row in rows)]
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in columns}
    for row in [{name: name for name in columns}, *rows]:
        line = "  ".join((row[name] or "-").ljust(widths[name]) for name in columns)
        typer.echo(line.rstrip())
