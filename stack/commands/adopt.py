"""`virtscale adopt`: takes domains of a pool over from another scaler."""

from typing import Annotated

import typer

from stack.commands import options


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(
        "adopt",
        help="Show which scaler the domains of a pool belong to, or take them over from another. "
        "The other one leaves them alone from then on.",
        epilog="Examples:  virtscale adopt --url qemu:///system   |   virtscale adopt --all   |   "
        "virtscale adopt my-vm --url qemu:///system",
    )(adopt)


def adopt(
    domains: Annotated[
        list[str] | None,
        typer.Argument(metavar="[DOMAIN]...", help="Names of the domains to take over."),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="All that belong to another scaler.")
    ] = False,
    url: Annotated[
        str | None,
        typer.Option(metavar="URI", help="libvirt; that of the running stack if there is one."),
    ] = None,
    pool: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Name of the pool; that of the running stack if there is one."
        ),
    ] = None,
    state: options.State = None,
) -> None:
    """Adopts domains."""
    from stack import scaler_history

    arguments = ["adopt", *(domains or [])]
    arguments += ["--all"] if every else []
    arguments += [] if url is None else [f"--url={url}"]
    arguments += [] if pool is None else [f"--pool={pool}"]
    with options.plain_errors():
        done = scaler_history.run(options.state_directory(state), arguments)
    typer.echo(done.stderr, err=True, nl=False)
    typer.echo(done.stdout, nl=False)
    raise typer.Exit(done.returncode)
