"""Where a running stack answers: written by `up`, read by every other command."""

import json
from dataclasses import asdict, dataclass

from servicekit.lifecycle import StartError
from stack import lock
from stack.paths import StateDirectory


@dataclass(frozen=True)
class Endpoints:
    """Addresses (`host:port`) of a running stack, and where its commands' token is."""

    pid: int
    uri: str
    pool: str
    dispatcher: str
    token_file: str
    dispatcher_metrics: str
    scaler: str
    collector: str
    prometheus: str
    alertmanager: str
    logs: str
    started_at: float


class NotRunningError(StartError):
    """No stack runs in the state directory."""


def write(state: StateDirectory, endpoints: Endpoints) -> None:
    """Announces the stack."""
    temporary = state.endpoints.with_suffix(".new")
    temporary.write_text(json.dumps(asdict(endpoints), indent=2) + "\n", encoding="utf-8")
    temporary.replace(state.endpoints)


def remove(state: StateDirectory) -> None:
    """Takes the announcement back."""
    state.endpoints.unlink(missing_ok=True)


def read(state: StateDirectory) -> Endpoints:
    """The running stack's addresses.

    Raises:
        NotRunningError: when no stack runs in the state directory.

    """
    try:
        pid = lock.holder(state.lock)
        if pid is not None:
            return Endpoints(**json.loads(state.endpoints.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise NotRunningError(
            f"the stack in {state.root} is still starting (or stopping); try again in a moment"
        ) from None
    except PermissionError:
        raise NotRunningError(
            f"the stack in {state.root} belongs to another user; run this command as that user or "
            "as root, or name the dispatcher with --dispatcher HOST:PORT"
        ) from None
    except (ValueError, TypeError):
        raise NotRunningError(
            f"{state.endpoints} is damaged; restart the stack with: virtscale down; virtscale up"
        ) from None
    raise NotRunningError(
        f"no stack is running in {state.root}; start one with: virtscale up  (another state "
        "directory: --state DIR; a dispatcher elsewhere: --dispatcher HOST:PORT)"
    )
