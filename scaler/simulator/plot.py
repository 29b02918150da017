"""Charts of runs, and a page of them as one HTML file: nothing to install, nothing to fetch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from scaler.simulator.drawing import (
    Area,
    Disc,
    Line,
    Mark,
    Paragraphs,
    Picture,
    Section,
    Table,
    Text,
)
from scaler.simulator.simulation import Run

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 960, 240, 50, 30, 24
_MOST_POINTS = 4000
_PAPER, GRID = "white", "#e4e4e4"
COLOURS = (
    *("#1f5fbf", "#bf2f1f", "#1f8f3f", "#8f5f1f", "#7f3fbf"),
    *("#1f9f9f", "#bf8f1f", "#5f5f5f", "#bf3f8f", "#3f3f9f"),
)


@dataclass(frozen=True, slots=True)
class Point:
    """One autoscaler in a scatter plot."""

    name: str
    across: float
    up: float
    size: float
    """What the area of its circle stands for."""


def page(title: str, sections: Sequence[Section]) -> str:
    """A whole HTML document."""
    style = (
        "body{font-family:sans-serif;max-width:1000px;margin:2em auto}"
        "table{border-collapse:collapse}td,th{padding:2px 8px;text-align:right}"
        "td:first-child,th:first-child{text-align:left}"
    )
    body = "\n".join(map(_html, sections))
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{style}</style></head><body><h1>{escape(title)}</h1>\n{body}\n</body></html>\n"
    )


def _html(section: Section) -> str:
    match section:
        case Picture():
            return svg(section)
        case Table(rows):
            lines = [_row("td" if number else "th", row) for number, row in enumerate(rows)]
            return "<table>" + "\n".join(lines) + "</table>"
        case Paragraphs(texts):
            return "\n".join(f"<p>{escape(text)}</p>" for text in texts)


def _row(cell: str, texts: Sequence[str]) -> str:
    return "<tr>" + "".join(f"<{cell}>{escape(text)}</{cell}>" for text in texts) + "</tr>"


def svg(picture: Picture, over: str = "") -> str:
    """A picture as an SVG element, its words escaped; `over` is SVG to be laid over it."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{picture.width}" height="{picture.height}"'
        f' viewBox="0 0 {picture.width} {picture.height}"'
        ' font-family="sans-serif" font-size="12">',
        f'<rect width="100%" height="100%" fill="{_PAPER}"/>',
        *map(_svg_mark, picture.marks),
        *([over] if over else []),
        "</svg>",
    ]
    return "\n".join(parts)


def _svg_mark(mark: Mark) -> str:
    match mark:
        case Text(across, up, words, colour, anchor):
            end = "" if anchor == "start" else f' text-anchor="{anchor}"'
            where = f'x="{across:.1f}" y="{up:.1f}"'
            return f'<text {where} fill="{colour}"{end}>{escape(words)}</text>'
        case Area(corners, colour, opacity):
            path = "".join(_svg_path(corners))
            return f'<path fill="{colour}" fill-opacity="{opacity:g}" d="{path}Z"/>'
        case Line(points, colour, width):
            path = "".join(_svg_path(points))
            return f'<path fill="none" stroke="{colour}" stroke-width="{width:g}" d="{path}"/>'
        case Disc(across, up, radius, colour):
            return (
                f'<circle cx="{across:.1f}" cy="{up:.1f}" r="{radius:.1f}" fill="{colour}"'
                ' opacity="0.6"/>'
            )


def _svg_path(points: Sequence[tuple[float, float]]) -> Iterator[str]:
    for x, y in points[:1]:
        yield f"M{x:.1f} {y:.1f}"
    for (before, height), (x, y) in pairwise(points):
        if height == y:
            yield f"H{x:.1f}"
        elif before == x:
            yield f"V{y:.1f}"
        else:
            yield f"L{x:.1f} {y:.1f}"


def peak(run: Run, length_seconds: float) -> int:
    """The highest number of domains in a run's chart, at least 1."""
    active = (count for _, _, count in _within(run, length_seconds))
    return max([1, *(count for _, count in run.demand), *active])


def course(name: str, run: Run, length_seconds: float, highest: int) -> Picture:
    """Demand, ready and active domains of one run over time; `highest` is the scale's end.

    Charts that are looked at side by side want the same one, such as the largest `peak` of all.
    """
    within = _within(run, length_seconds)
    series = (
        ("demand", "#999999", list(run.demand)),
        ("active", "#bf8f1f", [(moment, active) for moment, _, active in within]),
        ("ready", "#1f5fbf", [(moment, ready) for moment, ready, _ in within]),
    )
    return steps(name, series, length_seconds, highest)


def _within(run: Run, length_seconds: float) -> list[tuple[float, int, int]]:
    within = [one for one in run.course if 0 <= one[0] <= length_seconds]
    before = [one for one in run.course if one[0] < 0]
    if before:
        within.insert(0, (0.0, before[-1][1], before[-1][2]))
    return within


def steps(
    name: str,
    series: Sequence[tuple[str, str, Sequence[tuple[float, int]]]],
    length_seconds: float,
    highest: int,
) -> Picture:
    """Several (label, colour, points) in one chart; a value holds until the next point."""
    marks = frame(name, highest, f"{length_seconds:,.0f} s")
    for number, (label, colour, points) in enumerate(series):
        marks.append(Line(_stairs(points, length_seconds, highest), colour))
        marks.append(Text(WIDTH - 240 + 80 * number, 16, label, colour))
    return Picture(WIDTH, HEIGHT, tuple(marks))


def frame(title: str, highest: float, end: str, unit: str = "") -> list[Mark]:
    """What every chart has: its name, lines at nothing, half and `highest`, and its end."""
    middle = HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) / 2
    return [
        Line(((LEFT, TOP), (WIDTH - 8, TOP)), GRID, 1.0),
        Line(((LEFT, middle), (WIDTH - 8, middle)), GRID, 1.0),
        Text(LEFT, 16, title),
        Text(4, TOP + 10, f"{highest:,.4g}{unit}"),
        Text(4, middle + 4, f"{highest / 2:,.4g}{unit}"),
        Text(4, HEIGHT - BOTTOM, "0"),
        Text(WIDTH - 90, HEIGHT - 8, end),
        Line(
            (
                (LEFT, TOP),
                (LEFT, HEIGHT - BOTTOM),
                (WIDTH - 8, HEIGHT - BOTTOM),
            ),
            "black",
            1.0,
        ),
    ]


def place(across: float, up: float) -> tuple[float, float]:
    """Shares of the plot's width and height as co-ordinates."""
    return (
        LEFT + across * (WIDTH - LEFT - 8),
        HEIGHT - BOTTOM - up * (HEIGHT - BOTTOM - TOP),
    )


def _stairs(
    points: Sequence[tuple[float, int]], length_seconds: float, highest: float
) -> list[tuple[float, float]]:
    every = max(1, len(points) // _MOST_POINTS)
    corners: list[tuple[float, float]] = []
    for moment, count in points[::every]:
        x, y = place(moment / length_seconds, count / highest)
        if corners:
            corners.append((x, corners[-1][1]))
        corners.append((x, y))
    if corners:
        corners.append((place(1.0, 0.0)[0], corners[-1][1]))
    return corners


def scatter(title: str, across: str, points: Sequence[Point]) -> Picture:
    """Points with names; the smaller both co-ordinates and the circle, the better."""
    right = max([1e-9, *(point.across for point in points)]) * 1.1
    top = max([1e-9, *(point.up for point in points)]) * 1.1
    largest = max([1e-9, *(point.size for point in points)])
    marks = frame(title, top, f"{across}: {right:,.3g}")
    for number, point in enumerate(points):
        colour = COLOURS[number % len(COLOURS)]
        x, y = place(point.across / right, point.up / top)
        radius = 3 + 9 * (point.size / largest) ** 0.5
        marks.append(Disc(x, y, radius, colour))
        marks.append(Text(x + radius, y + 4, point.name, colour))
    return Picture(WIDTH, HEIGHT, tuple(marks))
