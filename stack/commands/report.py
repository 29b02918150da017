"""`virtscale report`: one page of a run."""

import contextlib
from pathlib import Path
from typing import Annotated, Any

import typer

from stack.commands import options


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(
        "report",
        help="Write one HTML page of a run: load, CPU, machines, waiting times, every decision "
        "with its reason, elasticity and cost. Also after the stack has ended: its samples are "
        "kept for a week.",
        epilog="Examples:  virtscale report   |   virtscale report --from 10:00 --to 12:00 "
        "--out monday.html   |   virtscale report --from -24h --price 0.04 --png charts   |   "
        "virtscale report --json",
    )(report)


def report(
    since: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="TIME",
            help="10:42, -5m, ISO time or Unix seconds; default: the start of the last run.",
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option("--to", metavar="TIME", help="The same; default: the last turn recorded."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The page; default: report-DATE-TIME.html here."),
    ] = None,
    png: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The charts as images, too; needs pillow."),
    ] = None,
    price: Annotated[
        float | None,
        typer.Option(metavar="PER_HOUR", help="What a machine costs in an hour: tells the cost."),
    ] = None,
    pool: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The pool of a stack that has ended (default: default)."),
    ] = None,
    state: options.State = None,
    json: options.Json = False,
) -> None:
    """Reports on a run."""
    given: dict[str, object] = {"from": since, "to": until, "price": price, "pool": pool}
    # The scaler's program is run elsewhere; - prints the page.
    given["out"] = out if out is None or str(out) == "-" else out.absolute()
    given["png"] = None if png is None else png.absolute()
    arguments = [f"--{name}={value}" for name, value in given.items() if value is not None]
    arguments += ["--json"] if json else []
    with options.plain_errors():
        done = _ask(options.state_directory(state), arguments)
    typer.echo(done.stderr, err=True, nl=False)
    typer.echo(done.stdout, nl=False)
    raise typer.Exit(done.returncode)


def _ask(directory: Any, arguments: list[str]) -> Any:
    from servicekit.lifecycle import StartError
    from stack import endpoints, kept_samples, lock, scaler_history

    try:
        is_running = lock.holder(directory.lock) is not None
    except PermissionError:
        # Tells whose it is.
        is_running = bool(endpoints.read(directory))
    if is_running:
        return scaler_history.run(directory, ["report", *arguments])
    with contextlib.ExitStack() as stack:
        try:
            source = f"--prometheus-url={stack.enter_context(kept_samples.served(directory))}"
        except StartError as error:
            # Another server at the default address would tell of another run.
            source = "--no-prometheus"
            typer.echo(f"note: the samples of the run cannot be read: {error}", err=True)
        return scaler_history.run(directory, ["report", source, *arguments])
