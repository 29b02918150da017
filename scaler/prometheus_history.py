"""Situations out of Prometheus' history, for a time of which the scaler has no record."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import requests

from scaler.pool import SERVING, DomainState, DomainView, Lifecycle, PoolView
from scaler.ports import SignalQuery
from scaler.readings import Empty, Failed, Known, NotANumber, Reading, implausible
from scaler.replay import Situation
from scaler.report.asking import SourceAwayError, SourceRefusesError
from scaler.report.samples import Series
from servicekit.lifecycle import StartError

_POINTS = 5_000
"""Prometheus refuses more than 11,000 points a series in one answer."""
_DESIRED = 'virtscale_scaler_desired_domains{{pool="{pool}"}}'
_DOMAINS = 'max by (state) (virtscale_scaler_domains{{pool="{pool}"}})'

_Points = dict[int, float]


class PrometheusHistory:
    """Asks for ranges with one point each `step_seconds`."""

    def __init__(
        self, url: str, pool: str, *, step_seconds: int = 1, timeout_seconds: float = 30.0
    ) -> None:
        self._endpoint = url.rstrip("/") + "/api/v1/query_range"
        self._pool = pool
        self._step_seconds = step_seconds
        self._timeout_seconds = timeout_seconds
        self._session = requests.Session()
        self._session.trust_env = False

    def situations(
        self, queries: Sequence[SignalQuery], since: float, until: float
    ) -> Iterator[Situation]:
        """One for each point in time at which the pool's size is known.

        Raises:
            StartError: Prometheus does not answer, or refuses a query.

        """
        width = _POINTS * self._step_seconds
        start = math.floor(since)
        before: Mapping[DomainState, int] | None = None
        while start <= until:
            end = min(math.floor(until), start + width - self._step_seconds)
            signals = {one.signal: self._single(one.query, start, end) for one in queries}
            desired = self._single(_DESIRED.format(pool=self._pool), start, end)
            counts = self._by_state(start, end)
            for at in range(start, end + 1, self._step_seconds):
                if at not in counts:
                    continue
                readings = {one.signal: _reading(signals[one.signal], at, one) for one in queries}
                yield _situation(at, counts[at], before, readings, desired.get(at))
                before = counts[at]
            start = end + self._step_seconds

    def ranges(
        self, expression: str, since: float, until: float, step_seconds: int
    ) -> list[Series]:
        """See `RangeSource.ranges`."""
        points: dict[tuple[tuple[str, str], ...], list[tuple[float, float]]] = {}
        start = math.floor(since)
        while start <= until:
            end = min(math.floor(until), start + (_POINTS - 1) * step_seconds)
            for series in self._asked(expression, start, end, step_seconds):
                labels = tuple(sorted((str(k), str(v)) for k, v in series["metric"].items()))
                # A value that is no number is no value.
                points.setdefault(labels, []).extend(
                    (float(at), float(value))
                    for at, value in series["values"]
                    if math.isfinite(float(value))
                )
            start = end + step_seconds
        return [Series(dict(labels), tuple(found)) for labels, found in points.items()]

    def close(self) -> None:
        """Ends the connection."""
        self._session.close()

    def _single(self, expression: str, start: int, end: int) -> _Points:
        series = self._ask(expression, start, end)
        if len(series) > 1:
            raise StartError(
                f"{expression}: expected 1 series, got {len(series)}; aggregate them, e.g. with "
                "sum() or avg()"
            )
        return _points(series[0]) if series else {}

    def _by_state(self, start: int, end: int) -> dict[int, dict[DomainState, int]]:
        found: dict[int, dict[DomainState, int]] = {}
        for series in self._ask(_DOMAINS.format(pool=self._pool), start, end):
            try:
                state = DomainState(series["metric"].get("state", ""))
            except ValueError:
                # A state of another version of the scaler.
                continue
            for at, value in _points(series).items():
                found.setdefault(at, {})[state] = int(value)
        return found

    def _ask(self, expression: str, start: int, end: int) -> list[Any]:
        try:
            return self._asked(expression, start, end, self._step_seconds)
        except SourceAwayError as error:
            raise StartError(
                f"{error}; set prometheus_url in the file given with --config"
            ) from None
        except SourceRefusesError as error:
            raise StartError(str(error)) from None

    def _asked(self, expression: str, start: int, end: int, step_seconds: int) -> list[Any]:
        question: dict[str, str | int] = {"query": expression, "start": start, "end": end}
        question["step"] = step_seconds
        try:
            response = self._session.post(
                self._endpoint, data=question, timeout=self._timeout_seconds, allow_redirects=False
            )
            answer = response.json()
            if answer.get("status") != "success":
                raise SourceRefusesError(f"Prometheus refuses {expression}: {answer.get('error')}")
            return list(answer["data"]["result"])
        except (requests.RequestException, ValueError, KeyError, TypeError) as error:
            kind = type(error).__name__
            raise SourceAwayError(
                f"Prometheus at {self._endpoint} does not answer ({kind})"
            ) from None


def _situation(
    at: int,
    counts: Mapping[DomainState, int],
    before: Mapping[DomainState, int] | None,
    readings: Mapping[str, Reading],
    desired: float | None,
) -> Situation:
    more = 0 if before is None else _serving(counts) - _serving(before)
    return Situation(
        at=float(at),
        pool=_pool(counts),
        readings=readings,
        desired=None if desired is None else int(desired),
        has_scaled_out=more > 0,
        has_scaled_in=more < 0,
        starts=max(0, more),
    )


def _serving(counts: Mapping[DomainState, int]) -> int:
    return sum(count for state, count in counts.items() if state in SERVING)


def _pool(counts: Mapping[DomainState, int]) -> PoolView:
    """Domains without names or leases: only their number is known."""
    views = [
        DomainView(
            f"{state.value}-{number}",
            state,
            Lifecycle.OFF if state is DomainState.OFF else Lifecycle.RUNNING,
        )
        for state, count in counts.items()
        for number in range(count)
    ]
    return PoolView.of(views)


def _points(series: Mapping[str, Any]) -> _Points:
    return {round(float(at)): float(value) for at, value in series["values"]}


def _reading(points: _Points, at: int, query: SignalQuery) -> Reading:
    value = points.get(at)
    if value is None:
        return Empty()
    if not math.isfinite(value):
        return NotANumber()
    fault = implausible(value, is_share=query.is_share)
    return Known(value, 0.0) if fault is None else Failed(fault)
