"""Questions to Prometheus, as Grafana asks them."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import requests

from grafana.filling import Window, filled
from grafana.series import Series
from grafana.written import Board, Target

_TIMEOUT_SECONDS = 30


class QueryError(RuntimeError):
    """Prometheus does not answer, or refuses a query. The text has the query and the reason."""


class Prometheus:
    """A Prometheus, or what speaks its protocol, at an address such as http://127.0.0.1:9090."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._session = requests.Session()

    def close(self) -> None:
        """Gives the connection back."""
        self._session.close()

    def range(self, expr: str, window: Window) -> list[Series]:
        """The query at every step of the window.

        Raises:
            QueryError: there is no answer.

        """
        # Grafana asks at multiples of the step.
        start = window.start // window.step * window.step
        asked = {"query": expr, "start": start, "end": window.end, "step": window.step}
        found = self._ask("query_range", asked)
        return [Series(one["metric"], _points(one["values"])) for one in found]

    def instant(self, expr: str, at: float) -> list[Series]:
        """The query at one time.

        Raises:
            QueryError: there is no answer.

        """
        found = self._ask("query", {"query": expr, "time": at})
        return [Series(one["metric"], _points([one["value"]])) for one in found]

    def values(self, selector: str, label: str, window: Window) -> list[str]:
        """Values of a label over the window, sorted.

        Raises:
            QueryError: there is no answer.

        """
        asked = {"match[]": selector, "start": window.start, "end": window.end}
        return sorted({one[label] for one in self._ask("series", asked) if label in one})

    def target(self, target: Target, window: Window, chosen: Mapping[str, str]) -> list[Series]:
        """What a panel's query brings.

        Raises:
            QueryError: there is no answer.

        """
        expr = filled(target.expr, window, chosen)
        return self.instant(expr, window.end) if target.is_instant else self.range(expr, window)

    def chosen(
        self, board: Board, window: Window, wishes: Mapping[str, str] = MappingProxyType({})
    ) -> dict[str, str]:
        """Values of a dashboard's variables: as wished, else as it opens, the first of each or all.

        A variable without any value is empty, which selects nothing.

        Raises:
            QueryError: there is no answer.

        """
        values = {**board.texts, **wishes}
        for choice in (one for one in board.choices if one.name not in wishes):
            found = self.values(filled(choice.selector, window, values), choice.label, window)
            values[choice.name] = choice.all_value or (found[0] if found else "")
        return values

    def _ask(self, what: str, asked: Mapping[str, object]) -> list[dict[str, Any]]:
        try:
            answer = self._session.post(
                f"{self._url}/api/v1/{what}", data=asked, timeout=_TIMEOUT_SECONDS
            )
            said = answer.json()
        except (requests.RequestException, ValueError) as error:
            raise QueryError(f"no answer from {self._url}: {error}") from error
        if said.get("status") != "success":
            raise QueryError(
                f"{asked.get('query', asked)}: {said.get('error', answer.status_code)}"
            )
        data = said["data"]
        return data if isinstance(data, list) else data["result"]


def _points(values: list[list[Any]]) -> tuple[tuple[float, float], ...]:
    return tuple((float(str(at)), float(str(value))) for at, value in values)
