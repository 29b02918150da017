"""From a panel's answers to what is drawn: names, colours, parts without gaps, stacks."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from grafana.palette import named, unnamed
from grafana.series import Series
from grafana.written import Look, Panel, Target

Point = tuple[float, float]


@dataclass(frozen=True)
class Curve:
    """One series of a panel."""

    name: str
    colour: str
    is_dashed: bool
    points: tuple[Point, ...]
    """(Unix time, value); values that are no numbers are left out."""
    floor: tuple[float, ...]
    """What each point stands on: 0, or the curves below it in a stack."""

    def parts(self, longest_gap: float) -> list[list[tuple[float, float, float]]]:
        """(time, value, floor) in runs without a gap."""
        runs: list[list[tuple[float, float, float]]] = []
        for (at, value), floor in zip(self.points, self.floor, strict=True):
            if not runs or at - runs[-1][-1][0] > longest_gap:
                runs.append([])
            runs[-1].append((at, value, floor))
        return runs


def curves(panel: Panel, answers: Sequence[tuple[Target, Sequence[Series]]]) -> list[Curve]:
    """In the order of the legend; stacked ones stand on those before them."""
    found: list[Curve] = []
    heaps: dict[bool, dict[float, float]] = {False: {}, True: {}}
    for target, series in answers:
        for one in sorted(series, key=lambda one: target.name(one.labels)):
            name = target.name(one.labels)
            look = panel.looks.get(name, Look())
            sign = -1.0 if look.is_below else 1.0
            points = [(at, sign * value) for at, value in one.points if math.isfinite(value)]
            floor = [0.0] * len(points)
            if panel.is_stacked:
                heap = heaps[look.is_below]
                floor = [heap.get(at, 0.0) for at, _ in points]
                points = [(at, value + low) for (at, value), low in zip(points, floor, strict=True)]
                heap.update(points)
            colour = named(look.colour) if look.colour else unnamed(len(found))
            found.append(Curve(name, colour, look.is_dashed, tuple(points), tuple(floor)))
    return found


def extent(panel: Panel, found: Sequence[Curve]) -> tuple[float, float]:
    """The lowest and highest value that the axis has to show."""
    values = [value for curve in found for _, value in curve.points]
    high = max([0.0, *values, *([panel.soft_max] if panel.soft_max else [])])
    return min([0.0, *values]), high if high > 0 else 1.0


@dataclass(frozen=True)
class Cell:
    """Of a heatmap: how many fell between two bounds at one time."""

    at: float
    low: float
    high: float
    count: float


def cells(series: Sequence[Series]) -> list[Cell]:
    """What a histogram's cumulative buckets say; cells without anything are left out."""
    buckets = sorted(series, key=lambda one: float(one.labels["le"]))
    found: list[Cell] = []
    below: dict[float, float] = {}
    low = 0.0
    for one in buckets:
        high = float(one.labels["le"])
        for at, count in one.points:
            if math.isfinite(count):
                inside = count - below.get(at, 0.0)
                if inside > 1e-9:
                    found.append(Cell(at, low, high, inside))
                below[at] = count
        low = high
    return found
