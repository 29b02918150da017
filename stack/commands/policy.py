"""`virtscale policy`: what the scaler decides by."""

from pathlib import Path
from typing import Annotated, Any

import typer

from stack.commands import manual, options

app = manual.Application(
    help="Show what the scaler decides by, check a policies file, have it read again.",
    epilog="Examples:  virtscale policy show > policies.yaml   |   "
    "virtscale policy check policies.yaml   |   virtscale policy reload",
)

_File = Annotated[
    Path,
    typer.Argument(
        metavar="FILE", help="The policies file, YAML (docs/SCALING.md).", show_default=False
    ),
]
_OptionalFile = Annotated[
    Path | None,
    typer.Argument(metavar="[FILE]", help="A policies file instead of the running scaler."),
]


@app.command(
    help="Print all values in effect as a policies file: of the running scaler, or of FILE. What a "
    "file leaves out is filled in.",
    epilog="Examples:  virtscale policy show > policies.yaml   |   virtscale policy show lean.yaml",
)
def show(
    file: _OptionalFile = None, state: options.State = None, json: options.Json = False
) -> None:
    """Shows policies."""
    import asyncio

    directory = options.state_directory(state)
    with options.plain_errors():
        if file is None:
            found = asyncio.run(_policies().in_effect(_scaler(directory)))
        else:
            import yaml

            values = yaml.safe_load(_policies().effective(directory, file))
            found = {"policies_file": str(file), "faults": [], "effective": values}
    if json:
        import json as library

        typer.echo(library.dumps(found, indent=2))
        return
    _tell(found)
    typer.echo(_policies().as_yaml(found["effective"]), nl=False)


@app.command(
    help="Tell every fault of a policies file at once. Nothing is changed.",
    epilog="Examples:  virtscale policy check lean.yaml   |   virtscale policy check lean.yaml "
    "--ask",
)
def check(
    file: _File,
    ask: Annotated[
        bool,
        typer.Option(
            "--ask", help="Also ask the Prometheus of the running stack every query of the file."
        ),
    ] = False,
    state: options.State = None,
) -> None:
    """Checks a file."""
    directory = options.state_directory(state)
    with options.plain_errors():
        if not ask:
            typer.echo(_policies().check(directory, file))
            return
        from stack import endpoints

        found = endpoints.read(directory)
        told = _policies().ask(directory, file, prometheus=found.prometheus, pool=found.pool)
        typer.echo(told)


@app.command(
    help="Have the running scaler read its policies file again, as SIGHUP does. A faulty file "
    "changes nothing.",
    epilog="Example:  virtscale policy reload",
)
def reload(state: options.State = None) -> None:
    """Reloads the file."""
    import asyncio

    from stack import site_secrets

    directory = options.state_directory(state)
    with options.plain_errors():
        address = _scaler(directory)
        found = asyncio.run(_policies().reload(address, site_secrets.control_token(directory)))
    _tell(found)
    if found["faults"]:
        raise typer.Exit(options.EXIT_FAILED)
    names = ", ".join(policy["name"] for policy in found["effective"]["policies"])
    typer.echo(f"in effect: {names}")


def _tell(found: dict[str, Any]) -> None:
    for fault in found["faults"]:
        typer.echo(f"error: {fault}", err=True)
    if found["faults"]:
        typer.echo("the policies before that stay in effect", err=True)


def _scaler(directory: Any) -> Any:
    from stack import endpoints

    return endpoints.read(directory).scaler


def _policies() -> Any:
    from stack import policies

    return policies
