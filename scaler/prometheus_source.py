"""Readings from Prometheus: one request per turn, every way not to know told apart."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import requests

from scaler.daemon_threads import DaemonThreads
from scaler.ports import SignalQuery
from scaler.readings import (
    Empty,
    Failed,
    Known,
    NotANumber,
    Partial,
    Reading,
    Stale,
    implausible,
)

_SIGNAL_LABEL = "virtscale_signal"
_PART_LABEL = "virtscale_part"
_VALUE = "value"
_AGE = "age"


class QueryRefusedError(Exception):
    """Prometheus understood the request and refuses the expression."""


class PrometheusSource:
    """Asks a Prometheus server. `stale_after_seconds` is the oldest value that counts as known."""

    def __init__(
        self, url: str, *, stale_after_seconds: float = 10.0, timeout_seconds: float = 2.0
    ) -> None:
        self._endpoint = url.rstrip("/") + "/api/v1/query"
        self._stale_after_seconds = stale_after_seconds
        self._timeout_seconds = timeout_seconds
        self._session = requests.Session()
        # Looking up proxies in the environment costs more than the request itself.
        self._session.trust_env = False
        self._thread = DaemonThreads(1, "prometheus")
        self._numbers: set[str] = set()
        """Queries that answer a number instead of series."""

    async def read(self, queries: Sequence[SignalQuery]) -> dict[str, Reading]:
        """See `MetricsSource.read`."""
        wanted = tuple(queries)
        # A server that trickles its answer can outlast the timeout of a single read.
        budget_seconds = self._timeout_seconds * 2
        try:
            return await self._thread.call(lambda: self._read(wanted), budget_seconds)
        except TimeoutError:
            return {query.signal: Failed("no answer in time") for query in wanted}

    def close(self) -> None:
        """Ends the connection."""
        self._thread.close()
        self._session.close()

    def _read(self, queries: tuple[SignalQuery, ...]) -> dict[str, Reading]:
        if not queries:
            return {}
        try:
            series, warning = self._ask(" or ".join(map(self._expression, queries)))
        except QueryRefusedError as error:
            if len(queries) == 1:
                return {queries[0].signal: self._read_refused(queries[0], error)}
            # One bad expression must not blind the others.
            return {query.signal: self._read((query,))[query.signal] for query in queries}
        except (requests.RequestException, ValueError) as error:
            failed = Failed(_describe(error))
            return {query.signal: failed for query in queries}
        return {query.signal: self._classify(query, series, warning) for query in queries}

    def _read_refused(self, query: SignalQuery, refusal: QueryRefusedError) -> Reading:
        """Asks for the query as it was written.

        It may be a number, and the places that an error names are those that its author sees.
        """
        try:
            kind = self._post(query.query)["data"].get("resultType")
        except QueryRefusedError as error:
            return Failed(str(error))
        except (requests.RequestException, ValueError) as error:
            return Failed(_describe(error))
        if kind == "scalar" and query.query not in self._numbers:
            self._numbers.add(query.query)
            return self._read((query,))[query.signal]
        if kind in ("matrix", "string"):
            told = "a range of samples" if kind == "matrix" else "text"
            return Failed(f"the query answers {told}; it must answer one series or a number")
        return Failed(str(refusal))

    def _expression(self, query: SignalQuery) -> str:
        if query.query in self._numbers:
            query = replace(query, query=f"vector({query.query}\n)")
        return _expression(query)

    def _ask(self, expression: str) -> tuple[list[Any], str]:
        answer = self._post(expression)
        if answer["data"].get("resultType") != "vector":
            raise ValueError("the answer is not a vector")
        warnings = answer.get("warnings") or []
        return answer["data"].get("result", []), "; ".join(str(warning) for warning in warnings)

    def _post(self, expression: str) -> dict[str, Any]:
        response = self._session.post(
            self._endpoint,
            data={"query": expression, "timeout": f"{self._timeout_seconds:g}s"},
            timeout=self._timeout_seconds,
            allow_redirects=False,
        )
        if response.status_code in (400, 422):
            raise QueryRefusedError(_refusal(response))
        if response.status_code != 200:
            raise ValueError(f"HTTP status {response.status_code}")
        answer = response.json()
        # Whoever listens there need not be a Prometheus.
        if not isinstance(answer, dict) or not isinstance(answer.get("data"), dict):
            raise ValueError("the answer is not one of Prometheus")
        return answer

    def _classify(self, query: SignalQuery, series: list[Any], warning: str) -> Reading:
        try:
            values = _samples(series, query.signal, _VALUE)
            ages = _samples(series, query.signal, _AGE)
        except (KeyError, IndexError, TypeError, ValueError):
            return Failed("the answer has an unknown form")
        if not values:
            return Empty()
        if len(values) > 1:
            return Failed(
                f"expected 1 series, got {len(values)}; aggregate them, e.g. with sum() or avg()"
            )
        if not math.isfinite(values[0]):
            return NotANumber()
        fault = implausible(values[0], is_share=query.is_share)
        if fault is not None:
            return Failed(fault)
        if not ages or not math.isfinite(max(ages)):
            return Stale(None)
        age = max(0.0, max(ages))
        if age > self._stale_after_seconds:
            return Stale(age)
        return Partial(values[0], age, warning) if warning else Known(values[0], age)


def _expression(query: SignalQuery) -> str:
    """Value and age of one signal, told apart by labels, so that all signals fit one request.

    The age is computed on the server: its clock made the samples.
    """
    newest = query.freshness or f"timestamp({query.query}\n)"
    age = f"time() - ({newest}\n)"
    return f"{_labelled(query.query, query.signal, _VALUE)} or {_labelled(age, query.signal, _AGE)}"


def _labelled(expression: str, signal: str, part: str) -> str:
    inner = f'label_replace(({expression}\n), "{_SIGNAL_LABEL}", "{signal}", "", "")'
    return f'label_replace({inner}, "{_PART_LABEL}", "{part}", "", "")'


def _samples(series: list[Any], signal: str, part: str) -> list[float]:
    return [
        float(one["value"][1])
        for one in series
        if one["metric"].get(_SIGNAL_LABEL) == signal and one["metric"].get(_PART_LABEL) == part
    ]


def _refusal(response: requests.Response) -> str:
    try:
        return f"refused: {response.json()['error']}"
    except (ValueError, KeyError, TypeError):
        return f"refused with HTTP status {response.status_code}"


def _describe(error: Exception) -> str:
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.ConnectionError):
        return "cannot connect"
    return str(error)
