"""`virtscale explain`: why the scaler did or did not act."""

import asyncio
from typing import Annotated, Any

import typer

from stack.commands import options

_RECORDS = 1000


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(
        "explain",
        help="Say why the pool is as big as it is: the scaler's newest decision (or the one at a "
        "time) with everything it was made from, and its last actions.",
        epilog="Examples:  virtscale explain   |   virtscale explain --at 14:03:20   |   "
        "virtscale explain --at -5m --json",
    )(explain)


def explain(
    at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="HH:MM:SS, -90s, -5m, -1h or Unix seconds."),
    ] = None,
    last: Annotated[
        int, typer.Option(metavar="N", min=0, help="How many of the last actions to list.")
    ] = 10,
    state: options.State = None,
    json: options.Json = False,
) -> None:
    """Explains a decision."""
    import time

    from stack import explanation

    now = time.time()
    try:
        moment = now if at is None else explanation.moment(at, now=now)
    except ValueError as error:
        raise options.usage_error(f"--at {error}") from None
    with options.plain_errors():
        records = asyncio.run(_records(options.state_directory(state), is_now=at is None))
    decision = explanation.at_moment(records, moment)
    earlier = [record for record in records if record.get("time", 0.0) <= moment]
    if json:
        import json as library

        typer.echo(library.dumps({"decision": decision, "records": earlier[-last:]}, indent=2))
        return
    if decision is None:
        raise options.usage_error("the decision log holds no decision of that time or before")
    typer.echo("\n".join(explanation.lines(decision)))
    actions = explanation.history(earlier, limit=last)
    if actions:
        typer.echo("\nlast actions:\n" + "\n".join(f"  {line}" for line in actions))


async def _records(directory: Any, *, is_now: bool) -> list[dict[str, Any]]:
    """From the scaler; of a stack that has ended, from its log."""
    from stack import endpoints, http_api, scaler_api

    try:
        found = endpoints.read(directory)
        records = await scaler_api.records(found.scaler, limit=_RECORDS)
        if is_now:
            records.append((await scaler_api.status(found.scaler))["decision"])
        return records
    except (endpoints.NotRunningError, http_api.HttpError):
        kept = _from_file(directory.of("scaler") / "decisions.jsonl")
        if not kept:
            raise
        typer.echo("the scaler does not run; from its log:", err=True)
        return kept


def _from_file(path: Any) -> list[dict[str, Any]]:
    import json
    from collections import deque

    records = []
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            newest = deque(file, maxlen=_RECORDS)
    except OSError:
        return []
    for line in newest:
        try:
            record = json.loads(line)
        except ValueError:
            # The last line of a log may be cut short.
            continue
        if isinstance(record, dict):
            records.append(record)
    return records
