"""The process's own metrics as text.

Our own for what this process has: the client library goes through each name and sentence character
by character, every time, and a scrape waits for it. Anything else than gauges, counters and infos
is left to the library.
"""

import re
from collections.abc import Callable, Iterable
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.utils import floatToGoString

from collector.exposition import Format

_END = "# EOF\n"
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_SUFFIXES = {"gauge": "", "counter": "_total", "info": "_info"}
_FAMILY_SUFFIXES = {Format.TEXT: _SUFFIXES, Format.OPENMETRICS: dict.fromkeys(_SUFFIXES, "")}


class _OtherKindError(Exception):
    """Something that is written here in no way."""


class OwnMetrics:
    """The text of a registry's metrics. For many threads."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._heads: dict[tuple[Format, str, str, str], str] = {}
        self._labels: dict[tuple[tuple[str, str], ...], str] = {}

    def text(self, form: Format) -> bytes:
        """As the library would write it, with the end that the format wants."""
        try:
            lines = [
                line for metric in self._registry.collect() for line in self._lines(metric, form)
            ]
        except _OtherKindError:
            # The client library has no types for this one.
            write: Callable[[Any], bytes] = (
                generate_latest if form is Format.TEXT else generate_openmetrics
            )
            return write(self._registry)
        if form is Format.OPENMETRICS:
            lines.append(_END)
        return "".join(lines).encode()

    def _lines(self, metric: Metric, form: Format) -> Iterable[str]:
        key = (form, metric.name, metric.type, metric.documentation)
        head = self._heads.get(key)
        if head is None:
            head = self._heads[key] = _head(metric, form)
        yield head
        name = metric.name + _SUFFIXES[metric.type]
        for one in metric.samples:
            if one.name != name or one.timestamp or one.exemplar or one.native_histogram:
                raise _OtherKindError
            labels = self._of(one.labels) if one.labels else ""
            value = floatToGoString(one.value)  # type: ignore[no-untyped-call]
            yield f"{name}{labels} {value}\n"

    def _of(self, labels: dict[str, str]) -> str:
        key = tuple(sorted(labels.items()))
        text = self._labels.get(key)
        if text is None:
            pairs = ",".join(f'{name}="{_escaped(value)}"' for name, value in key)
            text = self._labels[key] = f"{{{pairs}}}"
        return text


def _head(metric: Metric, form: Format) -> str:
    if metric.type not in _SUFFIXES or metric.unit or not _NAME.fullmatch(metric.name):
        raise _OtherKindError
    name = metric.name + _FAMILY_SUFFIXES[form][metric.type]
    if form is Format.OPENMETRICS:
        return f"# HELP {name} {_escaped(metric.documentation)}\n# TYPE {name} {metric.type}\n"
    text = metric.documentation.replace("\\", "\\\\").replace("\n", "\\n")
    kind = "gauge" if metric.type == "info" else metric.type
    return f"# HELP {name} {text}\n# TYPE {name} {kind}\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
