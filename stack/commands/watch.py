"""`virtscale watch`: follow results as they are stored."""

import contextlib
from typing import TYPE_CHECKING, Annotated

import typer

from stack.commands import manual, options

if TYPE_CHECKING:
    from virtscale.client.values import Job


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(
        "watch",
        help="Follow results as they are stored, through restarts of the dispatcher, until "
        "Ctrl-C. Shows hashes and references, never numbers.",
        epilog="Examples:  virtscale watch   |   virtscale watch --from-start --json > all.jsonl",
        cls=manual.described(exits={0: "ended by Ctrl-C or after --count results", 130: ""}),
    )(watch)


def watch(
    from_start: Annotated[
        bool, typer.Option("--from-start", help="First everything that is stored already.")
    ] = False,
    count: Annotated[
        int | None, typer.Option("--count", metavar="N", min=1, help="End after N results.")
    ] = None,
    state: options.State = None,
    dispatcher: options.DispatcherAddress = None,
    ca: options.Ca = None,
    insecure: options.Insecure = False,
    token_file: options.Token = None,
    json: options.Json = False,
) -> None:
    """Follows results."""
    import asyncio

    with options.plain_errors(), contextlib.suppress(KeyboardInterrupt):
        target = options.target(state, dispatcher, ca, insecure, token_file)
        asyncio.run(_run(target, from_start, count, json))


async def _run(target: options.Target, from_start: bool, count: int | None, as_json: bool) -> None:
    from virtscale.client.retries import FOREVER

    shown = 0
    async with target.client() as client:
        # A dispatcher that was never there is an error at once; one that goes away is waited for.
        await client.backlog()
        patient = client.with_retry(
            FOREVER, lambda error: typer.echo(f"waiting: {error}", err=True)
        )
        async with contextlib.aclosing(patient.results(from_start=from_start)) as results:
            async for exported in results:
                typer.echo(_line(exported.job, as_json))
                shown += 1
                if shown == count:
                    return


def _line(job: "Job", as_json: bool) -> str:
    import json
    import time
    from dataclasses import asdict

    if as_json:
        return json.dumps(asdict(job))
    clock = time.strftime("%H:%M:%S", time.localtime(job.completed_at))
    end = f"{job.profile} {job.hash}" if job.state == "done" else f"{job.state}: {job.failure}"
    return f"{clock} {job.reference or job.job_id} {job.worker_id} {end}"
