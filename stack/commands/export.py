"""`virtscale export FILE`: all stored results, in a file that can be continued."""

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stack.commands import manual, options

if TYPE_CHECKING:
    from virtscale.client.asynchronous import AsyncClient

    from stack.export_file import ExportFile
    from stack.progress import Progress

_SAVE_SECONDS = 1.0


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(
        "export",
        help="Write stored results to FILE, or to standard output where it is -. They are hashes "
        "and "
        "references, never numbers, in the order they were stored. FILE.cursor beside it says how "
        "far it got: the "
        "same command goes on from there, nothing is lost or written twice, also after kill -9.",
        epilog="Examples:  virtscale export hashes.csv   |   virtscale export all.jsonl --follow   "
        "|   virtscale export - --format jsonl --from-cursor 5e0c1a2b-400r",
        cls=manual.described(
            exits={0: "all was written, or Ctrl-C ended it; the same command goes on", 130: ""},
            files={"FILE.cursor": "how far FILE is, to go on from there"},
        ),
    )(export)


def export(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="Where the results go; - is standard output.", show_default=False
        ),
    ],
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="csv|jsonl",
            help="Form of the results; default: by the name of FILE, or csv.",
        ),
    ] = None,
    from_cursor: Annotated[
        str,
        typer.Option(
            "--from-cursor",
            metavar="CURSOR",
            help="Begin a new FILE behind this place, as an export tells it at its end.",
        ),
    ] = "",
    follow: Annotated[
        bool,
        typer.Option("--follow/--once", help="Wait for more results, or end with the newest."),
    ] = False,
    state: options.State = None,
    dispatcher: options.DispatcherAddress = None,
    ca: options.Ca = None,
    insecure: options.Insecure = False,
    token_file: options.Token = None,
) -> None:
    """Exports results."""
    import asyncio

    from stack.export_file import ExportFile

    chosen = form or ("jsonl" if file.suffix == ".jsonl" else "csv")
    if chosen not in ("csv", "jsonl"):
        raise options.usage_error(f"--format {chosen!r}: no such format; choose csv or jsonl")
    with options.plain_errors():
        target = options.target(state, dispatcher, ca, insecure, token_file)
        path = None if str(file) == "-" else file
        with (
            ExportFile(path, form=chosen, cursor=from_cursor) as into,  # type: ignore[arg-type]
            contextlib.suppress(KeyboardInterrupt),
        ):
            # Following has no end to be on the way to; results on a terminal are what is shown.
            is_silent = follow or (path is None and sys.stdout.isatty())
            asyncio.run(_run(target, into, follow, is_silent))
        typer.echo(f"{into.written} results; the next come behind {into.cursor!r}", err=True)


async def _run(target: options.Target, file: "ExportFile", follow: bool, is_silent: bool) -> None:
    from stack import progress

    async with target.client() as client:
        # A dispatcher that was never there is an error at once; one that goes away is waited for.
        backlog = await client.backlog()
        # How many are left is known only from the start on.
        total = None if file.cursor else backlog.done + backlog.failed
        with progress.shown("exporting", total=total, noun="results", is_silent=is_silent) as bar:
            await _write(client, file, follow, bar)


async def _write(client: "AsyncClient", file: "ExportFile", follow: bool, bar: "Progress") -> None:
    import asyncio

    from virtscale.client.retries import FOREVER

    async def keep_saving() -> None:
        while True:
            await asyncio.sleep(_SAVE_SECONDS)
            file.save()

    patient = client.with_retry(FOREVER, lambda error: bar.say(f"waiting: {error}"))
    saving = asyncio.create_task(keep_saving())
    try:
        async for exported in patient.results(
            file.cursor, from_start=not file.cursor, follow=follow
        ):
            file.write(exported)
            bar.advance()
            if saving.done():
                saving.result()
    finally:
        saving.cancel()
