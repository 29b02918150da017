"""Structured logs: one event per line, JSON for machines or aligned text for people.

Every line has `ts` (UTC), `level`, `service` and `event`. Events read `object.verb_past`
(`domain.started`). Licence numbers, peppers and tokens never go into a field.
"""

import contextlib
import logging
import os
import sys
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import IO, Any, Literal, TextIO

import structlog

from servicekit.config import ConfigError

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["json", "text"]


_DUMB = ("dumb", "unknown")
"""What TERM says of a terminal that only prints."""


def is_terminal(stream: IO[str], environ: Mapping[str, str]) -> bool:
    """True when a stream goes to a terminal that understands more than letters."""
    try:
        return stream.isatty() and environ.get("TERM", "") not in _DUMB
    except ValueError:
        return False


def has_styles(stream: IO[str], environ: Mapping[str, str]) -> bool:
    """True when what is written may be coloured, bold or dim; the commands ask this, too.

    NO_COLOR, set to anything, forbids it; FORCE_COLOR asks for it where no terminal is.
    """
    if environ.get("NO_COLOR"):
        return False
    return bool(environ.get("FORCE_COLOR")) or is_terminal(stream, environ)


def configure(
    service: str, *, level: Level = "info", form: Format = "json", file: Path | None = None
) -> None:
    """Sends the process's logs to `file` (appending) or standard error.

    Raises:
        ConfigError: the file cannot be opened.

    """
    stream = _open(file)
    lines: Any = _Lines(stream)

    def name_service(
        _logger: Any, _method: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        event.setdefault("service", service)
        return event

    renderer: Any = (
        structlog.processors.JSONRenderer()
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=has_styles(stream, os.environ), pad_event_to=28)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
            name_service,
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=lines),
        cache_logger_on_first_use=True,
    )
    # Libraries that use the standard logging (grpc, urllib3) speak through the same door.
    logging.basicConfig(handlers=[_Bridge()], level=logging.WARNING, force=True)


class _Lines:
    """A log that cannot be written (a full disk, a reader that is gone) must not end a service."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Writes, or loses the line: there is nowhere left to say so."""
        with contextlib.suppress(OSError):
            return self._stream.write(text)
        return 0

    def flush(self) -> None:
        """Flushes what can be."""
        with contextlib.suppress(OSError):
            self._stream.flush()


class _Bridge(logging.Handler):
    """Turns a record of the standard logging into an event, so that every line has one form."""

    def emit(self, record: logging.LogRecord) -> None:
        """Writes the record."""
        get().bind(logger=record.name).log(
            record.levelno, record.getMessage(), exc_info=record.exc_info
        )


_files: list[TextIO] = []


def _open(file: Path | None) -> TextIO:
    while _files:
        _files.pop().close()
    if file is None:
        return sys.stderr
    try:
        stream = file.open("a", encoding="utf-8", buffering=1)
    except OSError as error:
        fix = "choose a file in a directory that exists and is yours, with --logfile"
        raise ConfigError([f"log file {file}: {error.strerror}; {fix}"]) from None
    _files.append(stream)
    return stream


def get(**fields: Any) -> structlog.typing.FilteringBoundLogger:
    """A logger whose lines carry `fields`."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(**fields)
    return logger
