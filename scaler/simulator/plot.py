"""Plots as one HTML file with inline SVG: nothing to install, nothing to fetch."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from scaler.simulator.simulation import Run

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 960, 240, 50, 30, 24
_MOST_POINTS = 4000
_COLOURS = (
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


def page(title: str, sections: Sequence[str]) -> str:
    """A whole HTML document."""
    style = (
        "body{font-family:sans-serif;max-width:1000px;margin:2em auto}"
        "table{border-collapse:collapse}td,th{padding:2px 8px;text-align:right}"
        "td:first-child,th:first-child{text-align:left}"
    )
    body = "\n".join(sections)
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{style}</style></head><body><h1>{escape(title)}</h1>\n{body}\n</body></html>\n"
    )


def table(rows: Sequence[Sequence[str]]) -> str:
    """A table; the first row is its head."""
    head, *rest = rows
    lines = ["<tr>" + "".join(f"<th>{escape(cell)}</th>" for cell in head) + "</tr>"]
    lines += [
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rest
    ]
    return "<table>" + "\n".join(lines) + "</table>"


def course(name: str, run: Run, length_seconds: float) -> str:
    """Demand, ready and active domains of one run over time."""
    within = [one for one in run.course if 0 <= one[0] <= length_seconds]
    before = [one for one in run.course if one[0] < 0]
    if before:
        within.insert(0, (0.0, before[-1][1], before[-1][2]))
    highest = max([1, *(count for _, count in run.demand), *(one[2] for one in within)])
    series = (
        ("demand", "#999999", list(run.demand)),
        ("active", "#bf8f1f", [(moment, active) for moment, _, active in within]),
        ("ready", "#1f5fbf", [(moment, ready) for moment, ready, _ in within]),
    )
    return steps(name, series, length_seconds, highest)


def steps(
    name: str,
    series: Sequence[tuple[str, str, Sequence[tuple[float, int]]]],
    length_seconds: float,
    highest: int,
) -> str:
    """Several (label, colour, points) in one plot; a value holds until the next point."""
    parts = [_frame(name, highest, f"{length_seconds:,.0f} s")]
    for place, (label, colour, points) in enumerate(series):
        path = _stairs(points, length_seconds, highest)
        parts.append(f'<path fill="none" stroke="{colour}" stroke-width="1.5" d="{path}"/>')
        across = _WIDTH - 240 + 80 * place
        parts.append(f'<text x="{across}" y="16" fill="{colour}">{label}</text>')
    return "\n".join([*parts, "</svg>"])


def _frame(title: str, highest: float, end: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}"'
        ' font-family="sans-serif" font-size="12">'
        '<rect width="100%" height="100%" fill="white"/>'
        f'<text x="{_LEFT}" y="16">{escape(title)}</text>'
        f'<text x="4" y="{_TOP + 10}">{highest:,.4g}</text>'
        f'<text x="4" y="{_HEIGHT - _BOTTOM}">0</text>'
        f'<text x="{_WIDTH - 90}" y="{_HEIGHT - 8}">{escape(end)}</text>'
        f'<path stroke="black" fill="none" d="M{_LEFT} {_TOP}V{_HEIGHT - _BOTTOM}H{_WIDTH - 8}"/>'
    )


def _place(across: float, up: float) -> tuple[float, float]:
    """Shares of the plot's width and height as co-ordinates."""
    return (
        _LEFT + across * (_WIDTH - _LEFT - 8),
        _HEIGHT - _BOTTOM - up * (_HEIGHT - _BOTTOM - _TOP),
    )


def _stairs(points: Sequence[tuple[float, int]], length_seconds: float, highest: float) -> str:
    every = max(1, len(points) // _MOST_POINTS)
    parts: list[str] = []
    for moment, count in points[::every]:
        x, y = _place(moment / length_seconds, count / highest)
        parts.append(f"H{x:.1f}V{y:.1f}" if parts else f"M{x:.1f} {y:.1f}")
    parts.append(f"H{_place(1.0, 0.0)[0]:.1f}" if parts else "")
    return "".join(parts)


def scatter(title: str, across: str, points: Sequence[Point]) -> str:
    """Points with names; the smaller both co-ordinates and the circle, the better."""
    right = max([1e-9, *(point.across for point in points)]) * 1.1
    top = max([1e-9, *(point.up for point in points)]) * 1.1
    largest = max([1e-9, *(point.size for point in points)])
    parts = [_frame(title, top, f"{across}: {right:,.3g}")]
    for place, point in enumerate(points):
        colour = _COLOURS[place % len(_COLOURS)]
        x, y = _place(point.across / right, point.up / top)
        radius = 3 + 9 * (point.size / largest) ** 0.5
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="{colour}" opacity="0.6"/>'
            f'<text x="{x + radius:.1f}" y="{y + 4:.1f}" fill="{colour}">'
            f"{escape(point.name)}</text>"
        )
    return "\n".join([*parts, "</svg>"])
