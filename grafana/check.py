"""Asks every query of every dashboard and says what is wrong: `python -m grafana.check --help`."""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from grafana.arguments import asked_of, moment
from grafana.filling import Window, filled
from grafana.prometheus_api import Prometheus, QueryError
from grafana.verdicts import EMPTY, excuse, faults, mark_faults
from grafana.written import Board, boards

PROGRAM = "python -m grafana.check"
_POINTS = 200
"""About as many as a chart has pixels for, a few each."""


@dataclass(frozen=True)
class Finding:
    """Something wrong at `dashboard / panel / line`."""

    place: str
    fault: str

    @property
    def excuse(self) -> str | None:
        """Why it is nothing bad; None when it is."""
        return excuse(self.place) if self.fault == EMPTY else None


def findings(
    prometheus: Prometheus, window: Window, wishes: Mapping[str, str] = MappingProxyType({})
) -> list[Finding]:
    """What is wrong with any dashboard, its variables as wished, or as it opens.

    Raises:
        QueryError: Prometheus does not answer.

    """
    return [
        found
        for name, board in boards().items()
        for found in _of_board(
            prometheus, window, name, board, prometheus.chosen(board, window, wishes)
        )
    ]


def _of_board(
    prometheus: Prometheus, window: Window, name: str, board: Board, chosen: Mapping[str, str]
) -> Iterator[Finding]:
    for choice in board.choices:
        selector = filled(choice.selector, window, chosen)
        if not prometheus.values(selector, choice.label, window):
            yield Finding(f"{name} / variable / {choice.name}", "no value to choose")
    yield from _of_panels(prometheus, window, name, board, chosen)
    for mark in board.marks:
        try:
            answer = prometheus.range(filled(mark.expr, window, chosen), window)
            said = list(mark_faults(mark, answer))
        except QueryError as error:
            said = [str(error)]
        yield from (Finding(f"{name} / mark / {mark.name}", one) for one in said)


def _of_panels(
    prometheus: Prometheus, window: Window, name: str, board: Board, chosen: Mapping[str, str]
) -> Iterator[Finding]:
    for panel in board.panels:
        for target in panel.targets:
            try:
                said = list(
                    faults(panel, target, prometheus.target(target, window, chosen), window)
                )
            except QueryError as error:
                said = [str(error)]
            place = f"{name} / {panel.title} / {target.legend}"
            yield from (Finding(place, one) for one in said)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = asked_of("Asks every query of every dashboard and says what is wrong.", PROGRAM)
    parser.add_argument("--from", dest="start", type=moment, metavar="TIME")
    parser.add_argument("--to", dest="end", type=moment, metavar="TIME")
    given = parser.parse_args(arguments)
    end = time.time() if given.end is None else given.end
    start = end - 3600 if given.start is None else given.start
    if start >= end:
        parser.error(f"--from {start:.0f} is not before --to {end:.0f}")
    prometheus = Prometheus(given.prometheus)
    try:
        found = findings(prometheus, Window.fitting(start, end, _POINTS), dict(given.set))
    except QueryError as error:
        sys.stderr.write(f"grafana.check: {error}\n")
        return 2
    finally:
        prometheus.close()
    for one in found:
        why = f" ({one.excuse})" if one.excuse else ""
        sys.stdout.write(f"{one.place}: {one.fault}{why}\n")
    bad = [one for one in found if one.excuse is None]
    sys.stdout.write(f"{len(bad)} faults; {len(found) - len(bad)} rightly empty\n")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
