"""`virtscale down`: ends a running stack from outside and cleans up."""

import os
import signal
import time
from typing import Annotated

import typer

from stack.commands import options

_POLL_SECONDS = 0.1


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(
        "down",
        help="End the stack that runs in the state directory, and whatever a killed one left. "
        "Jobs that are not done stay stored.",
        epilog="Examples:  virtscale down   |   virtscale down --now",
    )(down)


def down(
    now: Annotated[
        bool, typer.Option("--now", help="Do not shut domains down, cut their power.")
    ] = False,
    wait: Annotated[
        float, typer.Option("--wait", metavar="SECONDS", help="How long to wait for the end.")
    ] = 120.0,
    state: options.State = None,
) -> None:
    """Ends the stack."""
    with options.plain_errors():
        _run(state, now, wait)


def _run(given: options.State, now: bool, wait_seconds: float) -> None:
    from servicekit.lifecycle import StartError
    from stack import endpoints, guests, lock, processes, up_entry

    state = options.state_directory(given)
    if not state.root.exists():
        typer.echo(f"nothing runs: {state.root} does not exist")
        return
    up_entry.become_stack_user(state)
    try:
        pid = lock.holder(state.lock)
    except PermissionError:
        raise StartError(
            f"the stack in {state.root} belongs to another user; run this as that user or as root"
        ) from None
    if pid:
        _signal(pid, urgent=now)
        deadline = time.monotonic() + wait_seconds
        while lock.holder(state.lock):
            if time.monotonic() > deadline:
                raise StartError(
                    f"the stack (pid {pid}) did not end within {wait_seconds:.0f} s; "
                    "see its log, or cut it off with: virtscale down --now"
                )
            time.sleep(_POLL_SECONDS)
        typer.echo("the stack has ended")
    with up_entry.own_state(state):
        ended = processes.end_recorded(state.run)
        left = [f"ended the {name} left by an earlier run" for name in ended]
        left += [f"ended domain {name} left by an earlier run" for name in guests.cleanup(state)]
        endpoints.remove(state)
    if left:
        typer.echo("\n".join(left))
    elif not pid:
        typer.echo(f"no stack is running in {state.root}")


def _signal(pid: int, *, urgent: bool) -> None:
    from servicekit.lifecycle import StartError

    try:
        os.kill(pid, signal.SIGTERM)
        if urgent:
            time.sleep(_POLL_SECONDS)
            os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return
    except PermissionError:
        raise StartError(
            f"the stack (pid {pid}) belongs to another user; run this as that user or as root"
        ) from None
