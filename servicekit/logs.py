"""Structured logs: one event per line, JSON for machines or aligned text for people.

Every line has `ts` (UTC), `level`, `service` and `event`. Events read `object.verb_past`
(`domain.started`). Licence numbers, peppers and tokens never go into a field.
"""

import logging
import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any, Literal, TextIO

import structlog

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["json", "text"]


def configure(
    service: str, *, level: Level = "info", form: Format = "json", file: Path | None = None
) -> None:
    """Sends the process's logs to `file` (appending) or standard error."""
    stream: TextIO = sys.stderr if file is None else file.open("a", encoding="utf-8", buffering=1)

    def name_service(
        _logger: Any, _method: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        event.setdefault("service", service)
        return event

    renderer: Any = (
        structlog.processors.JSONRenderer()
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=stream.isatty(), pad_event_to=28)
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
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=True,
    )
    # Libraries that use the standard logging (grpc, urllib3) speak through the same door.
    logging.basicConfig(
        stream=stream, level=logging.WARNING, force=True, format="%(name)s: %(message)s"
    )


def get(**fields: Any) -> structlog.typing.FilteringBoundLogger:
    """A logger whose lines carry `fields`."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(**fields)
    return logger
