"""Log lines `time level event key=value` to stderr or a file.

The standard `logging` costs boot time and is not needed for a few lines an hour. No number, hash or
token is ever passed here.
"""

import os
import time

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class Log:
    """Writes lines of at least one level to a descriptor."""

    def __init__(self, descriptor: int, level: str) -> None:
        self._descriptor = descriptor
        self._level = LEVELS[level]

    def debug(self, event: str, **fields: object) -> None:
        """For whoever looks inside."""
        self._write("debug", event, fields)

    def info(self, event: str, **fields: object) -> None:
        """Something happened as it should."""
        self._write("info", event, fields)

    def warning(self, event: str, **fields: object) -> None:
        """Something went wrong and the worker copes."""
        self._write("warning", event, fields)

    def error(self, event: str, **fields: object) -> None:
        """A person has to look."""
        self._write("error", event, fields)

    def _write(self, level: str, event: str, fields: dict[str, object]) -> None:
        if LEVELS[level] < self._level:
            return
        now = time.time()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
        pairs = "".join(f" {key}={_quoted(value)}" for key, value in fields.items())
        line = f"{stamp}.{int(now % 1 * 1000):03d}Z {level} {event}{pairs}\n"
        try:
            os.write(self._descriptor, line.encode("utf-8", "backslashreplace"))
        except OSError:
            return  # a full disk or a closed console must not stop the work


def _quoted(value: object) -> str:
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    if text and not any(c in ' ="\\' or not c.isprintable() for c in text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in escaped) + '"'
