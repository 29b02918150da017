"""The charts of a report, at the scale and in the look of the simulator's. Pure."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from scaler.report.steps import Steps, together
from scaler.simulator import plot
from scaler.simulator.drawing import Area, Line, Mark, Picture, Text

BLUE, RED, GREEN, AMBER, GREY = "#1f5fbf", "#bf2f1f", "#1f8f3f", "#bf8f1f", "#777777"
PURPLE = "#7f3fbf"
_COLUMNS = 900
"""More changes than this are drawn as what they lie between."""
_LETTER = 6.8
_ROWS_NAMED = 14
_LEGEND_END = plot.WIDTH - 8
_UNKNOWN = "#999999"

Clock = Callable[[float], str]
Curve = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Axis:
    """The stretch of time that all charts of a report share."""

    since: float
    until: float
    marks: Sequence[tuple[float, str]]
    """Moments with their labels."""

    def across(self, at: float) -> float:
        """The share of the width at which a moment is."""
        return min(1.0, max(0.0, (at - self.since) / (self.until - self.since)))

    def x(self, at: float) -> float:
        """In pixels."""
        return plot.place(self.across(at), 0.0)[0]


@dataclass(frozen=True, slots=True)
class Named:
    """One curve with its legend. `pieces` are drawn apart: between them nothing is known."""

    label: str
    colour: str
    pieces: Sequence[Curve]
    width: float = 1.5


def nice(highest: float, least: float = 1.0) -> float:
    """The end of a scale: round, and halved well."""
    wanted = max(highest, least)
    power = 10.0 ** math.floor(math.log10(wanted))
    for step in (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0):
        if step * power >= wanted * 0.999:
            return step * power
    return 10.0 * power


def whole(highest: float) -> float:
    """The end of a scale of domains: even, so that its half is a number of domains too."""
    return max(2.0, 2.0 * math.ceil(highest / 2))


def curves(
    title: str,
    axis: Axis,
    named: Sequence[Named],
    highest: float,
    *,
    unit: str = "",
    beneath: Sequence[Mark] = (),
) -> Picture:
    """Curves over time."""
    marks = [*_grid(axis), *beneath, *plot.frame(title, highest, "", unit)]
    for one in named:
        for piece in one.pieces:
            points = [_point(axis, at, value, highest) for at, value in piece]
            if len(points) == 1:
                x, y = points[0]
                points = [(x - 1.5, y), (x + 1.5, y)]
            marks.append(Line(points, one.colour, one.width))
    marks += _legend(title, [(one.label, one.colour) for one in named])
    return Picture(plot.WIDTH, plot.HEIGHT, tuple(marks))


def stairs(steps: Steps, axis: Axis) -> list[Curve]:
    """A course as pieces to be drawn; what changes too fast to be seen is drawn as its range."""
    pieces: list[list[tuple[float, float]]] = []
    end_before: float | None = None
    for begin, end, value in steps.known_spans(axis.since, axis.until):
        if end_before is None or begin > end_before:
            pieces.append([])
        pieces[-1] += [(begin, value), (end, value)]
        end_before = end
    return [_thinned(piece, axis) for piece in pieces]


def line(pieces: Iterable[Curve], axis: Axis) -> list[Curve]:
    """Samples as pieces to be drawn."""
    return [_thinned(piece, axis) for piece in pieces]


def _thinned(piece: Curve, axis: Axis) -> Curve:
    if len(piece) <= 4 * _COLUMNS:
        return piece
    width = (axis.until - axis.since) / _COLUMNS
    found: list[tuple[float, float]] = []
    column: list[tuple[float, float]] = []
    for point in [*piece, (math.inf, 0.0)]:
        if column and point[0] - column[0][0] >= width:
            values = [value for _, value in column]
            at = column[0][0]
            found += [(at, column[0][1]), (at, min(values)), (at, max(values)), column[-1]]
            column = []
        column.append(point)
    return found


def stack(axis: Axis, layers: Sequence[tuple[Steps, str]], highest: float) -> list[Mark]:
    """Courses filled one on top of the other."""
    marks: list[Mark] = []
    courses = [steps for steps, _ in layers]
    for spans in _connected(_columns(courses, axis)):
        floor = [0.0] * len(spans)
        for number, (_, colour) in enumerate(layers):
            top = [low + values[number] for low, (_, _, values) in zip(floor, spans, strict=True)]
            if any(high > low for high, low in zip(top, floor, strict=True)):
                edge = [
                    (at, high) for (b, e, _), high in zip(spans, top, strict=True) for at in (b, e)
                ]
                under = [
                    (at, low) for (b, e, _), low in zip(spans, floor, strict=True) for at in (b, e)
                ]
                corners = [_point(axis, at, value, highest) for at, value in [*edge, *under[::-1]]]
                marks.append(Area(corners, colour, 0.55))
            floor = top
    return marks


def between(axis: Axis, upper: Steps, lower: Steps, colour: str, highest: float) -> list[Mark]:
    """Fills where the first is above the second."""
    marks: list[Mark] = []
    for begin, end, (high, low) in _columns([upper, lower], axis):
        if high > low:
            corners = [(begin, low), (begin, high), (end, high), (end, low)]
            points = [_point(axis, at, value, highest) for at, value in corners]
            marks.append(Area(points, colour, 0.25))
    return marks


def unknown(axis: Axis, spans: Iterable[tuple[float, float]]) -> list[Mark]:
    """Grey where nothing is known."""
    return [
        Area(
            [plot.place(axis.across(at), up) for at, up in ((b, 0), (b, 1), (e, 1), (e, 0))],
            _UNKNOWN,
            0.15,
        )
        for b, e in spans
    ]


def heat(
    title: str,
    axis: Axis,
    rows: Sequence[str],
    cells: Sequence[tuple[float, float, int, float]],
    beneath: Sequence[Mark] = (),
) -> Picture:
    """A histogram over time: (begin, end, row, share of the darkest) each a cell; rows from below.

    A cell with anything in it can be seen.
    """
    marks: list[Mark] = [*_grid(axis), *beneath]
    height = 1.0 / max(1, len(rows))
    for begin, end, row, share in cells:
        low, high = row * height, (row + 1) * height
        corners = ((begin, low), (begin, high), (end, high), (end, low))
        points = [plot.place(axis.across(at), up) for at, up in corners]
        marks.append(Area(points, BLUE, round(0.12 + 0.88 * share, 2)))
    every = math.ceil(len(rows) / _ROWS_NAMED)
    for number, label in enumerate(rows):
        if (len(rows) - 1 - number) % every:
            continue
        _, y = plot.place(0.0, (number + 0.5) * height)
        marks.append(Text(plot.LEFT - 6, y + 4, label, anchor="end"))
    marks.append(Text(plot.LEFT, 16, title))
    bottom = plot.HEIGHT - plot.BOTTOM
    marks.append(
        Line(((plot.LEFT, plot.TOP), (plot.LEFT, bottom), (_LEGEND_END, bottom)), "black", 1.0)
    )
    return Picture(plot.WIDTH, plot.HEIGHT, tuple(marks))


def _columns(courses: Sequence[Steps], axis: Axis) -> list[tuple[float, float, tuple[float, ...]]]:
    """Stretches in which all are known; of too many, the middle of each column stands for it."""
    spans = list(together(courses, axis.since, axis.until))
    if len(spans) > _COLUMNS:
        width = (axis.until - axis.since) / _COLUMNS
        begins = [axis.since + number * width for number in range(_COLUMNS)]
        spans = [
            ((begin, begin + width), tuple(one.at(begin + width / 2) for one in courses))
            for begin in begins
        ]
    found = []
    for (begin, end), values in spans:
        known = tuple(value for value in values if value is not None)
        if len(known) == len(values):
            found.append((begin, end, known))
    return found


def _connected(
    spans: Sequence[tuple[float, float, tuple[float, ...]]],
) -> list[list[tuple[float, float, tuple[float, ...]]]]:
    found: list[list[tuple[float, float, tuple[float, ...]]]] = []
    for span in spans:
        if found and math.isclose(found[-1][-1][1], span[0]):
            found[-1].append(span)
        else:
            found.append([span])
    return found


def _point(axis: Axis, at: float, value: float, highest: float) -> tuple[float, float]:
    return plot.place(axis.across(at), min(1.0, max(0.0, value / highest)))


def _grid(axis: Axis) -> list[Mark]:
    marks: list[Mark] = []
    for at, label in axis.marks:
        x = axis.x(at)
        marks.append(Line(((x, plot.TOP), (x, plot.HEIGHT - plot.BOTTOM)), plot.GRID, 1.0))
        marks.append(Text(x, plot.HEIGHT - plot.BOTTOM + 16, label, GREY, "middle"))
    return marks


def _legend(title: str, named: Sequence[tuple[str, str]]) -> list[Mark]:
    """After the title, as many as there is room for: where a page is narrow, the left is seen."""
    x = plot.LEFT + _LETTER * len(title) + 28
    marks: list[Mark] = []
    for place, (label, colour) in enumerate(named):
        rest = len(named) - place - 1
        needed = _width(label) + (_width(f"and {rest} more") if rest else 0.0)
        if x + needed > _LEGEND_END:
            marks.append(Text(x, 16, f"and {rest + 1} more", GREY))
            break
        marks.append(Text(x, 16, label, colour))
        x += _width(label)
    return marks


def _width(label: str) -> float:
    return _LETTER * len(label) + 16
