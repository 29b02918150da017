"""`virtscale backup` and `virtscale restore`: the jobs and results, out and in again."""

from pathlib import Path
from typing import Annotated, Any

import typer

from stack.commands import options


def register(app: typer.Typer) -> None:
    """Adds both commands."""
    app.command(
        "backup",
        help="Copy the jobs and results of the stack into FILE, while it runs or not. The copy is "
        "the store at one instant, is checked, and is readable by its owner only. It holds the "
        "numbers of jobs that are not done. The pepper is not in it: keep STATE/secrets apart.",
        epilog="Examples:  virtscale backup jobs.backup   |   virtscale backup --force jobs.backup",
    )(backup)
    app.command(
        "restore",
        help="Put a backup in the place of the jobs and results, with the stack stopped. What was "
        "there is kept beside it. Jobs accepted after the backup are gone, and their names stay "
        "unknown.",
        epilog="Examples:  virtscale down && virtscale restore jobs.backup && virtscale up",
    )(restore)


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file that the copy goes into.")],
    force: Annotated[bool, typer.Option("--force", help="Overwrite FILE where it exists.")] = False,
    state: options.State = None,
    json: options.Json = False,
) -> None:
    """Makes a copy."""
    words: list[str | Path] = ["--backup", file.absolute()]
    words += ["--force"] if force else []
    _run(state, words, json)


def restore(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The copy, as `virtscale backup` made it.")
    ],
    state: options.State = None,
    json: options.Json = False,
) -> None:
    """Puts a copy back."""
    _run(state, ["--restore", file.absolute()], json)


def _run(given: Path | None, words: list[str | Path], as_json: bool) -> None:
    import json

    from stack import progress, store_tool

    with options.plain_errors():
        state = options.state_directory(given)
        with progress.shown("copying") as bar:
            ended: dict[str, Any] = store_tool.run(state, *words, on_progress=bar.set)
    if as_json:
        typer.echo(json.dumps({name: ended[name] for name in ended if name != "event"}))
    else:
        typer.echo(ended["text"])
