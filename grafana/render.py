"""Draws dashboards from a Prometheus as PNG, by their own queries, without a Grafana."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from grafana.arguments import asked_of, clock, day, moment
from grafana.canvas import Canvas
from grafana.filling import Window, filled
from grafana.palette import INK, PALE_INK
from grafana.panel_images import Event, draw
from grafana.prometheus_api import Prometheus, QueryError
from grafana.written import Board, Mark, Panel, boards

_COLUMN, _ROW, _GAP, _MARGIN, _HEAD = 46.0, 27.0, 8.0, 16.0, 40.0
_COLUMNS = 24
_POINTS = 240


def picture(
    prometheus: Prometheus,
    board: Board,
    window: Window,
    titles: Sequence[str] = (),
    wishes: Mapping[str, str] = MappingProxyType({}),
) -> bytes:
    """A dashboard, or those of its panels that have these titles, as PNG.

    Raises:
        QueryError: Prometheus does not answer.
        ValueError: no panel has such a title.

    """
    chosen = prometheus.chosen(board, window, wishes)
    placed = _placed(board, titles)
    height = max(panel.top + panel.height for panel in placed) * _ROW
    canvas = Canvas(_COLUMNS * _COLUMN + 2 * _MARGIN, height + _HEAD + _MARGIN)
    canvas.text((_MARGIN, 26), board.title, INK, size=16)
    ends = f"{day(window.start)}   {clock(window.start)} to {clock(window.end)} UTC"
    pool = f"pool {chosen['pool']}   " if "pool" in chosen else ""
    right = _MARGIN + _COLUMNS * _COLUMN - _GAP
    canvas.text((right, 26), pool + ends, PALE_INK, anchor="rs")
    events = [
        event
        for mark in board.marks
        if mark.is_shown
        for event in _events(prometheus, mark, window, chosen)
    ]
    for panel in placed:
        corner = (_MARGIN + panel.left * _COLUMN, _HEAD + panel.top * _ROW)
        size = (panel.width * _COLUMN - _GAP, panel.height * _ROW - _GAP)
        answers = [(one, prometheus.target(one, window, chosen)) for one in panel.targets]
        draw(canvas, corner, size, panel, answers, window, events)
    return canvas.png()


def _placed(board: Board, titles: Sequence[str]) -> list[Panel]:
    """The panels without the room that titles of rows take, or the chosen ones side by side."""
    unknown = set(titles) - {panel.title for panel in board.panels}
    if unknown:
        raise ValueError(f"{board.title} has no panel {', '.join(sorted(unknown))}")
    tops = sorted({panel.top for panel in board.panels})
    heights = {top: max(one.height for one in board.panels if one.top == top) for top in tops}
    found: list[Panel] = []
    if not titles:
        starts, at = {}, 0
        for top in tops:
            starts[top] = at
            at += heights[top]
        return [replace(panel, top=starts[panel.top]) for panel in board.panels]
    left = top = 0
    for title in titles:
        panel = next(one for one in board.panels if one.title == title)
        if left + panel.width > _COLUMNS:
            left, top = 0, max(one.top + one.height for one in found)
        found.append(replace(panel, left=left, top=top))
        left += panel.width
    return found


def _events(
    prometheus: Prometheus, mark: Mark, window: Window, chosen: Mapping[str, str]
) -> list[Event]:
    """One for each run of points, as Grafana makes regions of them."""
    found = []
    for series in prometheus.range(filled(mark.expr, window, chosen), window):
        before = float("-inf")
        for at, _ in series.points:
            if at - before > window.step:
                found.append(Event(at, mark.colour, mark.words(series.labels)))
            before = at
    return found


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = asked_of(__doc__, "python -m grafana.render")
    parser.add_argument("--from", dest="start", type=moment, required=True, metavar="TIME")
    parser.add_argument("--to", dest="end", type=moment, required=True, metavar="TIME")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument(
        "--dashboard", choices=sorted(boards()), action="append", help="again for more; default all"
    )
    parser.add_argument(
        *("--panel", "-p"),
        metavar="TITLE",
        action="append",
        help="only panels with this title; again for more, in this order; wants one --dashboard",
    )
    given = parser.parse_args(arguments)
    if given.start >= given.end:
        parser.error(f"--from {given.start:.0f} is not before --to {given.end:.0f}")
    if given.panel and len(given.dashboard or ()) != 1:
        parser.error("--panel wants exactly one --dashboard")
    return given


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    given = _arguments(arguments)
    prometheus = Prometheus(given.prometheus)
    window = Window.fitting(given.start, given.end, _POINTS)
    try:
        given.out.mkdir(parents=True, exist_ok=True)
        for name, board in boards().items():
            if given.dashboard and name not in given.dashboard:
                continue
            path = given.out / f"{name}.png"
            path.write_bytes(picture(prometheus, board, window, given.panel or (), dict(given.set)))
            sys.stdout.write(f"{path}\n")
    except (QueryError, ValueError, OSError) as error:
        sys.stderr.write(f"grafana.render: {error}\n")
        return 1
    finally:
        prometheus.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
