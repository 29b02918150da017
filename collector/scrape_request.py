"""What a scrape asks for, from its headers and its query. Pure.

Proactive negotiation as in RFC 9110, section 12.5, for the two formats and the one compression that
we have. Who asks for something else gets the text format: a scraper that reads nothing else is
worth less than an answer.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from collector.exposition import Format
from collector.records import Group

_MARGIN_SECONDS = 0.15
"""What the way back may take of the scraper's timeout."""
_SHORTEST_SECONDS = 0.1
_PART = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*")+')
_PARAMETER = re.compile(r'(?:[^;"]|"(?:[^"\\]|\\.)*")+')
_LARGEST_HEADER = 4096
"""More than any client sends; what is longer is not read, so that nobody makes us work on it."""
_ANY_TYPES = frozenset({"*/*", "text/*"})


class RequestError(Exception):
    """The query cannot be answered. The text says why and what to do."""


@dataclass(frozen=True, slots=True)
class ScrapeRequest:
    """One scrape, as asked for."""

    groups: frozenset[Group]
    timeout_seconds: float
    form: Format
    is_compressed: bool


@dataclass(frozen=True, slots=True)
class _Choice:
    """One element of an Accept header; `quality` is 0 to 1."""

    value: str
    parameters: Mapping[str, str]
    quality: float


def scrape_request(
    headers: Mapping[str, str],
    query: Mapping[str, Sequence[str]],
    enabled: frozenset[Group],
    longest_seconds: float,
) -> ScrapeRequest:
    """Reads a request; `headers` under lower-case names, `enabled` is what is switched on.

    Raises:
        RequestError: the query asks for what there is not.

    """
    return ScrapeRequest(
        groups=selected(query, enabled),
        timeout_seconds=timeout(
            headers.get("x-prometheus-scrape-timeout-seconds"), longest_seconds
        ),
        form=format_for(headers.get("accept", "")),
        is_compressed=accepts_gzip(headers.get("accept-encoding", "")),
    )


def selected(query: Mapping[str, Sequence[str]], enabled: frozenset[Group]) -> frozenset[Group]:
    """The groups that `collect[]` names, or all that are `enabled` without those of `exclude[]`.

    Raises:
        RequestError: unknown or switched-off groups, both parameters, nothing left, no brackets.

    """
    for bare in ("collect", "exclude"):
        if bare in query:
            raise RequestError(f"{bare}: write {bare}[] with the brackets")
    wanted, unwanted = query.get("collect[]", ()), query.get("exclude[]", ())
    if wanted and unwanted:
        raise RequestError("collect[] and exclude[] cannot be combined; give one of them")
    groups = _groups("collect[]", wanted)
    off = sorted(groups - enabled)
    if off:
        fix = " ".join(f"--collector.{name}" for name in off)
        raise RequestError(f"switched off: {', '.join(off)}; start the exporter with {fix}")
    left = groups if wanted else enabled - _groups("exclude[]", unwanted)
    if not left:
        raise RequestError("exclude[] leaves no collector; leave one out")
    return left


def _groups(parameter: str, names: Sequence[str]) -> frozenset[Group]:
    known = {group.value: group for group in Group}
    unknown = [name for name in names if name not in known]
    if unknown:
        shown = ", ".join(repr(name[:40]) for name in unknown[:3])
        raise RequestError(
            f"{parameter}: no collector is named {shown}; known: {', '.join(sorted(known))}"
        )
    return frozenset(known[name] for name in names)


def timeout(header: str | None, longest_seconds: float) -> float:
    """Seconds for the reading: ours, or less when the scraper gives up earlier."""
    try:
        asked = float(header) if header else math.inf
    except ValueError:
        asked = math.inf
    if math.isnan(asked):
        asked = math.inf
    return max(_SHORTEST_SECONDS, min(longest_seconds, asked - _MARGIN_SECONDS))


def format_for(accept: str) -> Format:
    """The format that `accept` likes best; the text format when it names neither."""
    best, liked = 0.0, Format.TEXT
    for choice in _choices(accept):
        form = _form(choice)
        if form is not None and choice.quality > best:
            best, liked = choice.quality, form
    return liked


def _form(choice: _Choice) -> Format | None:
    """What an element stands for. Of OpenMetrics 0.0.1 we know that it differs, so it is none."""
    version = choice.parameters.get("version")
    if choice.value == "application/openmetrics-text":
        return Format.OPENMETRICS if version in (None, "1.0.0") else None
    if choice.value == "text/plain":
        return Format.TEXT if version in (None, "0.0.4") else None
    return Format.TEXT if choice.value in _ANY_TYPES else None


def accepts_gzip(accept_encoding: str) -> bool:
    """True when gzip is accepted and the plain answer is not preferred to it."""
    qualities = {choice.value: choice.quality for choice in _choices(accept_encoding)}
    anything = qualities.get("*", 0.0)
    packed = qualities.get("gzip", qualities.get("x-gzip", anything))
    return packed > 0 and packed >= qualities.get("identity", 0.0)


def _choices(header: str) -> list[_Choice]:
    if len(header) > _LARGEST_HEADER:
        return []
    return [_choice(part) for part in _PART.findall(header) if part.strip()]


def _choice(part: str) -> _Choice:
    value, *rest = _PARAMETER.findall(part) or [""]
    parameters: dict[str, str] = {}
    for one in rest:
        name, _, text = one.partition("=")
        parameters[name.strip().lower()] = text.strip().strip('"')
    return _Choice(value.strip().lower(), parameters, _quality(parameters.get("q")))


def _quality(text: str | None) -> float:
    """1 where nothing is said; 0, which refuses, where it is nonsense."""
    if text is None:
        return 1.0
    try:
        quality = float(text)
    except ValueError:
        return 0.0
    return quality if 0.0 <= quality <= 1.0 else 0.0
