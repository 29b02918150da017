"""Values that the shell offers on Tab: quickly, or none; never an error between the typed words.

Choices come from an option's metavar (`csv|jsonl`). Names of domains and ids of overrides are asked
of the running scaler, on loopback and with little patience.
"""

import json
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

_SECONDS = 0.2
_MOST_BYTES = 2_000_000
_CHOICES = re.compile(r"[a-z0-9-]+(\|[a-z0-9-]+)+")

Complete = Callable[[Any, Any, str], list[str]]


def attach(parameter: Any) -> None:
    """Gives an option or argument what can follow it, unless it has that already."""
    if parameter._custom_shell_complete is not None:
        return
    metavar = (parameter.metavar or "").strip("[].")
    if _CHOICES.fullmatch(metavar):
        choices = metavar.split("|")
        parameter._custom_shell_complete = lambda _ctx, _param, word: _those(choices, word)
    elif metavar == "DOMAIN" or parameter.name == "domain":
        parameter._custom_shell_complete = _quietly(domains)
    elif metavar == "ID":
        parameter._custom_shell_complete = _quietly(overrides)


def domains(directory: Path) -> list[str]:
    """Names of the pool's domains."""
    return [domain["name"] for domain in _ask(directory, "/api/v1/status")["domains"]]


def overrides(directory: Path) -> list[str]:
    """Ids of the overrides in force."""
    return [one["id"] for one in _ask(directory, "/api/v1/overrides")["overrides"]]


def _quietly(find: Callable[[Path], list[str]]) -> Complete:
    def complete(ctx: Any, _param: Any, word: str) -> list[str]:
        from stack.commands import options

        given = ctx.params.get("state")
        try:
            found = find(options.state_directory(Path(given) if given else None).root)
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            # Nothing runs, or it does not answer in time: there is nothing to offer.
            return []
        return _those(found, word)

    return complete


def _those(words: list[str], begin: str) -> list[str]:
    return [word for word in words if word.startswith(begin) and word.isprintable()]


def _ask(directory: Path, path: str) -> Any:
    """A GET without a library: those for HTTP take longer to load than the answer to come."""
    announced = json.loads((directory / "run" / "endpoints.json").read_text(encoding="utf-8"))
    host, _, port = announced["scaler"].rpartition(":")
    with socket.create_connection((host, int(port)), timeout=_SECONDS) as connection:
        connection.sendall(f"GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
        answer = b""
        while (part := connection.recv(65_536)) and len(answer) < _MOST_BYTES:
            answer += part
    return json.loads(answer.partition(b"\r\n\r\n")[2])
