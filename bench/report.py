"""Tables and plots: what was measured, beside what was asked for."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_BAR_COLUMNS = 40


@dataclass(frozen=True)
class Goal:
    """One figure, with the floor it must reach and the aim it should."""

    what: str
    unit: str
    floor: float | None
    aim: float | None
    is_more_better: bool = False

    def verdict(self, measured: float) -> str:
        """`aim`, `floor` or `MISSED`; `shown` when nothing was asked."""
        if self.aim is not None and self._reaches(measured, self.aim):
            return "aim"
        if self.floor is not None:
            return "floor" if self._reaches(measured, self.floor) else "MISSED"
        return "shown" if self.aim is None else "MISSED"

    def _reaches(self, measured: float, wanted: float) -> bool:
        return measured >= wanted if self.is_more_better else measured <= wanted


@dataclass(frozen=True)
class Figure:
    """A goal and what came out, with the ratio to the best peer of the same call."""

    goal: Goal
    measured: float
    ratio: str = ""


def print_figures(figures: Sequence[Figure]) -> bool:
    """Prints the table; whether every floor was reached."""
    rows = [("what", "unit", "floor", "aim", "measured", "reached", "ratio to best peer")]
    for each in figures:
        goal = each.goal
        rows.append(
            (
                goal.what,
                goal.unit,
                _number(goal.floor),
                _number(goal.aim),
                _number(each.measured),
                goal.verdict(each.measured),
                each.ratio or "-",
            )
        )
    print()
    print_rows(rows)
    return all(each.goal.verdict(each.measured) != "MISSED" for each in figures)


def print_rows(rows: Sequence[Sequence[str]]) -> None:
    """Prints rows under one another; the first column to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells).rstrip(), flush=True)


def print_bars(title: str, points: Sequence[tuple[str, float]], unit: str) -> None:
    """A plot of text: one bar per point."""
    top = max((value for _, value in points), default=0) or 1
    width = max((len(name) for name, _ in points), default=0)
    print(f"\n{title}")
    for name, value in points:
        bar = "#" * max(1, round(value / top * _BAR_COLUMNS))
        print(f"{name:>{width}} |{bar:<{_BAR_COLUMNS}} {value:,.1f} {unit}", flush=True)


def write_json(path: Path | None, figures: Sequence[Figure], details: dict[str, Any]) -> None:
    """Writes figures and everything behind them."""
    if path is None:
        return
    table = [
        {
            "what": each.goal.what,
            "unit": each.goal.unit,
            "floor": each.goal.floor,
            "aim": each.goal.aim,
            "measured": each.measured,
            "reached": each.goal.verdict(each.measured),
            "ratio_to_best_peer": each.ratio or None,
        }
        for each in figures
    ]
    path.write_text(json.dumps({"figures": table, **details}, indent=2))


def quantile(ordered: Sequence[float], share: float) -> float:
    """The first of the ordered samples that this share is not above (nearest rank); NaN of none."""
    if not ordered:
        return float("nan")
    # Rounded first: 0.95 of 20 is 19, whatever a float makes of it.
    return ordered[max(0, math.ceil(round(share * len(ordered), 9)) - 1)]


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.2f}"
