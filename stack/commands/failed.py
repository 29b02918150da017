"""`virtscale failed`: the jobs that were given up, and what happened to each."""

from typing import TYPE_CHECKING, Annotated

import typer

from stack.commands import options

if TYPE_CHECKING:
    from virtscale.client.values import Job

_DEAD_LETTER = "attempts_exhausted"


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(
        "failed",
        help="List the jobs that failed, each with its failed attempts: cause, worker and time. "
        "They cannot be started again from here, because a failed job's number is forgotten like "
        "any other's: submit those numbers anew. The references say which they were.",
        epilog="Examples:  virtscale failed   |   virtscale failed --dead-letters --json   |   "
        "virtscale failed --references > again.txt",
    )(failed)


def failed(
    dead_letters: Annotated[
        bool,
        typer.Option(
            "--dead-letters", help="Only those whose attempts are spent, not what workers refused."
        ),
    ] = False,
    references: Annotated[
        bool, typer.Option("--references", help="Print only the jobs' references, one a line.")
    ] = False,
    state: options.State = None,
    dispatcher: options.DispatcherAddress = None,
    ca: options.Ca = None,
    insecure: options.Insecure = False,
    token_file: options.Token = None,
    json: options.Json = False,
) -> None:
    """Lists failed jobs."""
    import asyncio

    with options.plain_errors():
        target = options.target(state, dispatcher, ca, insecure, token_file)
        asyncio.run(_run(target, dead_letters, references, json))


async def _run(
    target: options.Target, only_dead_letters: bool, only_references: bool, as_json: bool
) -> None:
    shown = 0
    async with target.client() as client:
        async for job in client.list_jobs(states=["failed"]):
            if only_dead_letters and job.failure_reason != _DEAD_LETTER:
                continue
            shown += 1
            if only_references:
                typer.echo(job.reference)
            else:
                typer.echo(_text(job, as_json))
    if shown == 0 and not (as_json or only_references):
        typer.echo("no job has failed")


def _text(job: "Job", as_json: bool) -> str:
    import json
    import time
    from dataclasses import asdict

    if as_json:
        return json.dumps(asdict(job))
    lines = [f"{job.job_id} {job.reference}".rstrip() + f": {job.failure}"]
    for attempt in job.attempt_history:
        clock = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(attempt.at))
        doubt = "" if attempt.certain else ", with other jobs in its hands"
        words = f": {attempt.message}" if attempt.message else ""
        lines.append(
            f"  {attempt.ordinal}. {clock} {attempt.cause} {attempt.worker_id}{doubt}{words}"
        )
    return "\n".join(lines)
