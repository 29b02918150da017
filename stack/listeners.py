"""The TCP ports of the stack, and whether they are free."""

import socket
from dataclasses import dataclass

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Listener:
    """A port that a service will listen on, and the option that moves it."""

    service: str
    port: int
    option: str


def busy(listeners: list[Listener]) -> list[str]:
    """One sentence for each port that cannot be listened on, with the fix."""
    faults = []
    for listener in listeners:
        error = _bind_error(listener.port)
        if error is not None:
            faults.append(
                f"port {listener.port} for the {listener.service} cannot be used ({error}); see "
                f"what holds it with: ss -ltnp 'sport = :{listener.port}', or choose another "
                f"with {listener.option} PORT (all at once: --port-base PORT)"
            )
    return faults


def duplicates(listeners: list[Listener]) -> list[str]:
    """One sentence for each port given twice."""
    seen: dict[int, Listener] = {}
    faults = []
    for listener in listeners:
        other = seen.setdefault(listener.port, listener)
        if other is not listener:
            faults.append(
                f"{other.option} and {listener.option} are both {listener.port}; "
                "give each service a port of its own"
            )
    return faults


def _bind_error(port: int) -> str | None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the services do: a port in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen()
        except OSError as error:
            return error.strerror or str(error)
    return None
