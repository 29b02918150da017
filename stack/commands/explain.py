"""`virtscale explain`: why the scaler did or did not act."""

import re
from typing import Annotated, Any

import typer

from stack.commands import options


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(
        "explain",
        help="Say why the scaler did, or did not, start or drain a domain. In one line for now or "
        "for a "
        "time in the last week; then everything the decision was made from, and the last actions. "
        "Of a stack that has ended it answers from what was recorded.",
        epilog="Examples:  virtscale explain   |   virtscale explain --at 10:42   |   "
        "virtscale explain --at -5m --domain vs-2   |   virtscale explain --last 1h",
    )(explain)


def explain(
    at: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="When: 10:42, 14:03:20, -90s, -5m, 2026-11-26T10:42 or Unix seconds; default: "
            "now.",
        ),
    ] = None,
    domain: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Why this domain was, or was not, chosen."),
    ] = None,
    last: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION",
            help="Everything that happened in it, such as 15m or 1h, up to --at; a plain number: "
            "so many of the last actions.",
        ),
    ] = None,
    state: options.State = None,
    json: options.Json = False,
) -> None:
    """Explains a decision."""
    import asyncio

    question: dict[str, str] = {}
    if at is not None:
        question["at"] = at
    if domain is not None:
        question["domain"] = domain
    if last is not None:
        question["actions" if re.fullmatch(r"\d{1,4}", last) else "last"] = last
    with options.plain_errors():
        answer = asyncio.run(_ask(options.state_directory(state), question))
    if json:
        import json as library

        typer.echo(library.dumps(answer, indent=2))
        return
    from stack import scaler_api

    typer.echo("\n".join(scaler_api.explanation_lines(answer)))


async def _ask(directory: Any, question: dict[str, str]) -> dict[str, Any]:
    """From the scaler; of a stack that has ended, from what it recorded."""
    import asyncio

    from stack import endpoints, http_api, scaler_api

    try:
        return await scaler_api.explain(endpoints.read(directory).scaler, question)
    except http_api.RefusedError as error:
        raise options.usage_error(str(error)) from None
    except (endpoints.NotRunningError, http_api.HttpError):
        answer = await asyncio.to_thread(_recorded, directory, question)
        if answer is None:
            raise
        typer.echo("the scaler does not run; from what it recorded:", err=True)
        return answer


def _recorded(directory: Any, question: dict[str, str]) -> dict[str, Any] | None:
    import json

    from stack import scaler_history

    arguments = [f"--{name}={text}" for name, text in question.items()]
    done = scaler_history.run(directory, ["explain", "--json", *arguments])
    if done.returncode == options.EXIT_FAILED and not scaler_history.has_run(directory):
        return None
    if done.returncode != 0:
        typer.echo(done.stderr, err=True, nl=False)
        raise typer.Exit(done.returncode)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer
