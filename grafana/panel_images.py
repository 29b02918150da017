"""Panels as pictures: what Grafana would show, drawn small."""

from collections.abc import Sequence
from dataclasses import dataclass

from grafana.arguments import clock
from grafana.axes import time_ticks, unit_ticks, whole_ticks, written
from grafana.canvas import Canvas, Point
from grafana.filling import Window
from grafana.lines import Curve, cells, curves, extent
from grafana.palette import CARD, EDGE, GRID, INK, PALE_INK, heat, named
from grafana.series import Series
from grafana.written import Panel, Target

_PAD, _TITLE, _FOOT, _LEGEND_ROW = 12.0, 30.0, 18.0, 15.0
_SMALL, _TITLE_SIZE = 9.5, 11.5
_NEAR = 1.25
"""A limit that is further above the highest value than that is not drawn."""
Answers = Sequence[tuple[Target, Sequence[Series]]]


@dataclass(frozen=True)
class Event:
    """A mark at one time."""

    at: float
    colour: str
    words: str


@dataclass(frozen=True)
class _Plot:
    """Where the points of a chart are."""

    left: float
    top: float
    right: float
    bottom: float
    window: Window
    low: float
    high: float

    def x(self, at: float) -> float:
        share = (at - self.window.start) / (self.window.end - self.window.start)
        return self.left + min(max(share, 0.0), 1.0) * (self.right - self.left)

    def y(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return self.bottom - share * (self.bottom - self.top)


def draw(
    canvas: Canvas,
    corner: Point,
    size: Point,
    panel: Panel,
    answers: Answers,
    window: Window,
    events: Sequence[Event] = (),
) -> None:
    """One panel with its frame and title."""
    canvas.box(corner, size, CARD, edge=EDGE, round_by=3)
    title = (corner[0] + _PAD, corner[1] + 20)
    canvas.text(title, panel.title, INK, size=_TITLE_SIZE)
    if panel.kind == "stat":
        _stat(canvas, corner, size, panel, answers)
    elif not any(series for _, series in answers):
        middle = (corner[0] + size[0] / 2, corner[1] + size[1] / 2)
        canvas.text(middle, "no data", PALE_INK, anchor="mm")
    elif panel.kind == "heatmap":
        _heatmap(canvas, corner, size, panel, answers, window)
    elif panel.kind == "state-timeline":
        _states(canvas, corner, size, panel, answers, window)
    else:
        _chart(canvas, corner, size, panel, answers, window, events)


def _stat(canvas: Canvas, corner: Point, size: Point, panel: Panel, answers: Answers) -> None:
    found = [(target, one) for target, series in answers for one in series]
    words, colour = "-", INK
    if found:
        target, one = found[0]
        value = one.points[-1][1]
        is_bad = panel.bad_from is not None and value >= panel.bad_from
        words, colour = (
            written(value, panel.unit, panel.decimals),
            named("red" if is_bad else "green"),
        )
        if f"{value:g}" in panel.texts:
            words, name = panel.texts[f"{value:g}"]
            colour = named(name)
        if target.labels:
            words = target.name(one.labels)
    letters = 26.0
    while letters > 8 and canvas.width(words, letters) > size[0] - 2 * _PAD:
        letters -= 1
    middle = (corner[0] + size[0] / 2, corner[1] + _TITLE + (size[1] - _TITLE) / 2 - 4)
    canvas.text(middle, words, colour, size=letters, anchor="mm")


def _legend(
    canvas: Canvas, left: float, right: float, names: Sequence[tuple[str, str, bool]]
) -> list[list[tuple[float, str, str, bool]]]:
    """Rows of (place, name, colour, dashed) that fit between left and right."""
    rows: list[list[tuple[float, str, str, bool]]] = [[]]
    place = left
    for name, colour, is_dashed in names:
        wide = canvas.width(name, _SMALL) + 28
        if place + wide > right and rows[-1]:
            rows.append([])
            place = left
        rows[-1].append((place, name, colour, is_dashed))
        place += wide
    return rows


def _draw_legend(
    canvas: Canvas, bottom: float, rows: Sequence[Sequence[tuple[float, str, str, bool]]]
) -> None:
    for number, row in enumerate(reversed(rows)):
        base = bottom - number * _LEGEND_ROW
        for place, name, colour, is_dashed in row:
            stroke = canvas.dashes if is_dashed else canvas.line
            stroke([(place, base - 3.5), (place + 14, base - 3.5)], colour, 2.5)
            canvas.text((place + 19, base), name, INK, size=_SMALL)


def _frame(canvas: Canvas, plot: _Plot, marks: Sequence[float], words: Sequence[str]) -> None:
    for value, label in zip(marks, words, strict=True):
        height = plot.y(value)
        canvas.line([(plot.left, height), (plot.right, height)], GRID, 1)
        canvas.text((plot.left - 7, height), label, PALE_INK, size=_SMALL, anchor="rm")
    most = max(2, int((plot.right - plot.left) / 70))
    times = time_ticks(plot.window.start, plot.window.end, most)
    has_seconds = any(at % 60 for at in times)
    for at in times:
        across = plot.x(at)
        canvas.line([(across, plot.top), (across, plot.bottom)], GRID, 1)
        label = clock(at, has_seconds=has_seconds)
        half = canvas.width(label, _SMALL) / 2
        middle = min(max(across, plot.left + half - 20), plot.right - half)
        canvas.text((middle, plot.bottom + 14), label, PALE_INK, size=_SMALL, anchor="ms")


def _chart(
    canvas: Canvas,
    corner: Point,
    size: Point,
    panel: Panel,
    answers: Answers,
    window: Window,
    events: Sequence[Event],
) -> None:
    found = curves(panel, answers)
    low, high = extent(panel, found)
    if panel.bad_from is not None and panel.bad_from <= high * _NEAR:
        high = max(high, panel.bad_from)
    most = max(2, min(5, int(size[1] / 45)))
    is_whole = panel.decimals == 0
    marks = whole_ticks(low, high, most) if is_whole else unit_ticks(low, high, panel.unit, most)
    words = [written(abs(value), panel.unit) for value in marks]
    has_words = bool(events) and panel.is_stepped and not panel.is_stacked
    right = corner[0] + size[0] - _PAD
    named_curves = [(one.name, one.colour, one.is_dashed) for one in found]
    rows = _legend(canvas, corner[0] + _PAD, right, named_curves)
    bottom = corner[1] + size[1] - 10
    plot = _Plot(
        left=corner[0] + _PAD + max(canvas.width(one, _SMALL) for one in words) + 7,
        top=corner[1] + _TITLE + (14 if has_words else 4),
        right=right,
        bottom=bottom - _LEGEND_ROW * len(rows) - _FOOT,
        window=window,
        low=marks[0],
        high=marks[-1],
    )
    _frame(canvas, plot, marks, words)
    _draw_events(canvas, plot, events, has_words=has_words)
    for curve in found:
        _curve(canvas, plot, panel, curve, window.step * 1.5 + 1)
    if panel.bad_from is not None and plot.low <= panel.bad_from <= plot.high:
        height = plot.y(panel.bad_from)
        canvas.dashes([(plot.left, height), (plot.right, height)], named("red"), 1)
    _draw_legend(canvas, bottom, rows)


def _draw_events(canvas: Canvas, plot: _Plot, events: Sequence[Event], *, has_words: bool) -> None:
    free_from = plot.left
    for event in sorted(events, key=lambda one: one.at):
        across, colour = plot.x(event.at), named(event.colour)
        canvas.dashes([(across, plot.top), (across, plot.bottom)], colour, 1)
        foot = [(across, plot.bottom - 5), (across - 3.5, plot.bottom), (across + 3.5, plot.bottom)]
        canvas.area(foot, colour, 1.0)
        wide = canvas.width(event.words, _SMALL)
        left = min(across - 3, plot.right - wide)
        if has_words and left >= free_from:
            canvas.text((left, plot.top - 5), event.words, colour, size=_SMALL)
            free_from = left + wide + 8


def _curve(canvas: Canvas, plot: _Plot, panel: Panel, curve: Curve, gap: float) -> None:
    if panel.is_barred:
        half = max(1.0, (plot.x(plot.window.start + plot.window.step) - plot.left) * 0.4)
        for (at, value), floor in zip(curve.points, curve.floor, strict=True):
            if value != floor:
                top, foot = sorted((plot.y(value), plot.y(floor)))
                canvas.box((plot.x(at) - half, top), (2 * half, foot - top), curve.colour)
        return
    for part in curve.parts(gap):
        over = [(plot.x(at), plot.y(value)) for at, value, _ in part]
        under = [(plot.x(at), plot.y(floor)) for at, _, floor in part]
        if panel.is_stepped:
            over, under = _stairs(over), _stairs(under)
        if len(over) == 1:
            over, under = [over[0], (over[0][0] + 2, over[0][1])], [*under, *under]
        if panel.is_stacked or not (curve.is_dashed or panel.is_stepped):
            canvas.area([*over, *reversed(under)], curve.colour, 0.45 if panel.is_stacked else 0.09)
        stroke = canvas.dashes if curve.is_dashed else canvas.line
        stroke(over, curve.colour, 1.0 if panel.is_stacked else 1.7)


def _stairs(points: Sequence[Point]) -> list[Point]:
    corners: list[Point] = []
    for x, y in points:
        if corners and corners[-1][1] != y:
            corners.append((x, corners[-1][1]))
        corners.append((x, y))
    return corners


def _heatmap(
    canvas: Canvas, corner: Point, size: Point, panel: Panel, answers: Answers, window: Window
) -> None:
    found = cells([one for _, series in answers for one in series])
    rows = _between(answers, {(one.low, one.high) for one in found})
    words = [written(high, panel.unit) if high < 1e300 else "more" for _, high in rows]
    plot = _rows_plot(canvas, corner, size, words, window)
    every = 1 + len(rows) // max(1, int((plot.bottom - plot.top) / 13))
    for place in range(0, len(rows), every):
        edge = (plot.left - 7, plot.y(place + 1.0))
        canvas.text(edge, words[place], PALE_INK, size=_SMALL, anchor="rm")
    most = max((one.count for one in found), default=1.0)
    wide = (plot.right - plot.left) * window.step / (window.end - window.start)
    for one in found:
        place = rows.index((one.low, one.high))
        left = plot.x(one.at)
        across = min(wide, plot.right - left)
        if across > 1:
            box = (across - 0.7, (plot.bottom - plot.top) / len(rows) - 0.7)
            canvas.box((left, plot.y(place + 1) + 0.7), box, heat((one.count / most) ** 0.5))


def _rows_plot(
    canvas: Canvas, corner: Point, size: Point, words: Sequence[str], window: Window
) -> _Plot:
    """A frame with one row for each word, from below, and room for the words on the left."""
    plot = _Plot(
        left=corner[0] + _PAD + max(canvas.width(one, _SMALL) for one in words) + 7,
        top=corner[1] + _TITLE + 4,
        right=corner[0] + size[0] - _PAD,
        bottom=corner[1] + size[1] - 10 - _FOOT,
        window=window,
        low=0.0,
        high=float(len(words)),
    )
    _frame(canvas, plot, (), ())
    return plot


def _between(answers: Answers, used: set[tuple[float, float]]) -> list[tuple[float, float]]:
    """All buckets from the lowest to the highest in which anything fell."""
    bounds = sorted({float(one.labels["le"]) for _, series in answers for one in series})
    rows = list(zip([0.0, *bounds], bounds, strict=False))
    places = [place for place, row in enumerate(rows) if row in used] or [0]
    return rows[places[0] : places[-1] + 1]


def _states(
    canvas: Canvas, corner: Point, size: Point, panel: Panel, answers: Answers, window: Window
) -> None:
    named_series = [(target.name(one.labels), one) for target, series in answers for one in series]
    plot = _rows_plot(canvas, corner, size, [name for name, _ in named_series], window)
    for place, (name, one) in enumerate(named_series):
        top, bottom = plot.y(place + 0.9), plot.y(place + 0.1)
        canvas.text((plot.left - 7, (top + bottom) / 2), name, PALE_INK, size=_SMALL, anchor="rm")
        for at, value in one.points:
            _, colour = panel.texts.get(f"{value:g}", ("", "text"))
            left = plot.x(at)
            box = (plot.x(at + window.step) - left, bottom - top)
            canvas.box((left, top), box, named(colour))
