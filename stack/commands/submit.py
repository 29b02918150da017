"""`virtscale submit FILE`: hash a user's own numbers."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stack.commands import options

if TYPE_CHECKING:
    from stack.number_file import Entry

_BAD_SHOWN = 10
_PATIENCE_SECONDS = 60.0


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(
        "submit",
        help="Hash the licence numbers of a file: .csv with a header, or text with one number per "
        "line. The whole file is checked before the first number is sent. Results are CSV: "
        "reference (the line in FILE), profile, hash.",
        epilog="Examples:  virtscale submit plates.txt --out hashes.csv   |   "
        "virtscale submit cars.csv --column plate --profile argon2id --out hashes.csv",
    )(submit)


def submit(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="The file with the numbers, .csv or text.", show_default=False
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Write the results there, whole or not at all."),
    ] = None,
    profile: Annotated[
        str,
        typer.Option(
            metavar="legacy-sha256|hmac-sha256|argon2id", help="How the numbers are hashed."
        ),
    ] = "hmac-sha256",
    column: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Column of a .csv that holds the numbers."),
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave malformed lines out instead of stopping.")
    ] = False,
    patience: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            min=0,
            help="How long to wait for a dispatcher that is away, in seconds.",
        ),
    ] = _PATIENCE_SECONDS,
    state: options.State = None,
    dispatcher: options.DispatcherAddress = None,
    ca: options.Ca = None,
    insecure: options.Insecure = False,
    token_file: options.Token = None,
    json: options.Json = False,
) -> None:
    """Submits a file."""
    import asyncio

    from virtscale.client.values import PROFILES

    if profile not in PROFILES:
        raise options.usage_error(
            f"--profile {profile!r}: no such profile; choose one of {', '.join(PROFILES)}"
        )
    with options.plain_errors():
        total, bad = _check(file, column, skip_bad)
        target = options.target(state, dispatcher, ca, insecure, token_file)
        raise typer.Exit(
            asyncio.run(
                _run(
                    target,
                    _good(file, column),
                    out=out,
                    profile=profile,
                    total=total,
                    bad=bad,
                    patience=patience,
                    as_json=json,
                )
            )
        )


def _check(file: Path, column: str | None, skip_bad: bool) -> tuple[int, int]:
    """Reads the whole file once; numbers of good and bad lines. Nothing is sent yet."""
    from stack import number_file

    good = bad = 0
    try:
        for entry in number_file.read(file, column=column):
            if isinstance(entry, number_file.Entry):
                good += 1
                continue
            bad += 1
            if bad <= _BAD_SHOWN:
                typer.echo(f"{file}:{entry.line}: {entry.problem}", err=True)
    except number_file.FileError as error:
        raise options.usage_error(str(error)) from None
    if bad > _BAD_SHOWN:
        typer.echo(f"... and {bad - _BAD_SHOWN} more", err=True)
    if bad and not skip_bad:
        raise options.usage_error(
            f"{bad} malformed lines, so nothing was sent; mend them, or leave them out with "
            "--skip-bad"
        )
    if not good:
        raise options.usage_error(f"{file}: holds no numbers")
    return good, bad


def _good(file: Path, column: str | None) -> "Iterator[Entry]":
    from stack import number_file

    for entry in number_file.read(file, column=column):
        if isinstance(entry, number_file.Entry):
            yield entry


async def _run(
    target: options.Target,
    entries: "Iterator[Entry]",
    *,
    out: Path | None,
    profile: str,
    total: int,
    bad: int,
    patience: float,
    as_json: bool,
) -> int:
    import json
    import time

    from virtscale.client.errors import DispatcherError
    from virtscale.client.retries import RetryPolicy

    from stack import progress
    from stack.result_file import ResultFile
    from stack.submission import hash_lines

    begin = time.monotonic()
    done = failed = 0
    async with target.client() as client:
        with (
            ResultFile(out) as results,
            progress.shown("hashing", total=total, noun="numbers") as bar,
        ):

            def wait_for(error: DispatcherError) -> None:
                # A stream that ended while it was written to does not say why: the next one does.
                if error.code != "INTERNAL":
                    bar.say(f"waiting: {error}")

            patient = client.with_retry(RetryPolicy(deadline_seconds=patience), wait_for)
            try:
                async for result in hash_lines(patient, entries, profile):  # type: ignore[arg-type]
                    if result.job.state == "done":
                        done += 1
                    else:
                        failed += 1
                        bar.say(f"line {result.line}: {result.job.state}: {result.job.failure}")
                    results.write(result)
                    bar.advance()
            except DispatcherError as error:
                if not error.is_retryable or not patience:
                    raise
                raise options.failure(
                    f"{error}; given up after {patience:g} s, --patience waits longer"
                ) from None
    figures = {
        "submitted": done + failed,
        "completed": done,
        "failed": failed,
        "skipped": bad,
        "elapsed_seconds": round(time.monotonic() - begin, 3),
    }
    if as_json:
        typer.echo(json.dumps(figures), err=out is None)
    else:
        text = (
            f"{done} hashed, {failed} failed, {bad} skipped in {figures['elapsed_seconds']:.1f} s"
        )
        typer.echo(text + (f"; results in {out}" if out else ""), err=True)
    return options.EXIT_FAILED if failed else 0
