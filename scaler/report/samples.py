"""Series as Prometheus answers them, and what can be said of counters and histograms. Pure."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import pairwise

from scaler.report.steps import Steps

Points = Sequence[tuple[float, float]]
"""(Unix time, value), oldest first."""


@dataclass(frozen=True, slots=True)
class Series:
    """One series of an answer. Values that are no number are left out."""

    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]


def pieces(points: Points, longest_gap: float) -> list[list[tuple[float, float]]]:
    """Stretches without a silence of more than so many seconds."""
    found: list[list[tuple[float, float]]] = []
    for point in points:
        if found and point[0] - found[-1][-1][0] <= longest_gap:
            found[-1].append(point)
        else:
            found.append([point])
    return found


def steps(points: Points, longest_gap: float) -> Steps:
    """Each value until the next; not known from the end of a piece on, for as long as it lasts."""
    changes: list[tuple[float, float | None]] = []
    for piece in pieces(points, longest_gap):
        changes += piece
        # A sample stands for the time to the next one; the last of a piece for as long.
        seconds = piece[-1][0] - piece[-2][0] if len(piece) > 1 else 0.0
        changes.append((piece[-1][0] + seconds, None))
    return Steps.of(changes)


def grown(points: Points, anew: Container[float] = ()) -> tuple[tuple[float, float], ...]:
    """A counter as (moment, growth since its first point); it begins anew when it falls.

    What it counted before its first point is not known and not told. `anew` are moments at which it
    is known to have begun anew before, whether it fell or not.
    """
    total = 0.0
    told: list[tuple[float, float]] = []
    before: float | None = None
    for moment, value in points:
        if before is not None:
            total += value if value < before or moment in anew else value - before
        before = value
        told.append((moment, total))
    return tuple(told)


def increase(points: Points, anew: Container[float] = ()) -> float | None:
    """By how much a counter grew, see `grown`; None without two points."""
    return grown(points, anew)[-1][1] if len(points) > 1 else None


def grown_between(growth: Points, since: float, until: float) -> float | None:
    """By how much it grew from one moment to another; None where one of them is not known.

    `growth` as `grown` tells it. Between two points it is taken to have grown evenly.
    """
    begin, end = _interpolated(growth, since), _interpolated(growth, until)
    return None if begin is None or end is None else end - begin


def _interpolated(growth: Points, at: float) -> float | None:
    place = bisect_right(growth, at, key=_moment)
    if place == 0:
        return None
    before, value = growth[place - 1]
    if before == at:
        return value
    if place == len(growth):
        return None
    after, next_value = growth[place]
    return value + (next_value - value) * (at - before) / (after - before)


def rate(growth: Points, at: float, window_seconds: float) -> float | None:
    """Growth per second in a window around `at`, cut where the counter is not known."""
    if not growth:
        return None
    since = max(at - window_seconds / 2, growth[0][0])
    until = min(at + window_seconds / 2, growth[-1][0])
    if until - since < window_seconds / 2 - 1e-9:
        return None
    found = grown_between(growth, since, until)
    return None if found is None else found / (until - since)


@dataclass(frozen=True, slots=True)
class Buckets:
    """How many of something lay between bounds; the last upper bound is infinite."""

    bounds: tuple[float, ...]
    """Upper bounds, rising."""
    counts: tuple[float, ...]
    """In each bucket, not summed up."""

    @property
    def total(self) -> float:
        """Of all buckets."""
        return sum(self.counts)

    def quantile(self, share: float) -> float | None:
        """As `histogram_quantile` of Prometheus: even within a bucket; None without anything.

        What lies above the last finite bound is told as that bound.
        """
        total = self.total
        if total <= 0:
            return None
        rank, below = share * total, 0.0
        for place, (bound, count) in enumerate(zip(self.bounds, self.counts, strict=True)):
            if below + count >= rank and count > 0:
                lower = self.bounds[place - 1] if place else 0.0
                if math.isinf(bound):
                    return lower
                return lower + (bound - lower) * (rank - below) / count
            below += count
        return self.bounds[-1]

    def above(self, bound: float) -> float | None:
        """How many lay above a bound; None where no bucket ends there."""
        place = bisect_left(self.bounds, bound)
        if place == len(self.bounds) or not math.isclose(self.bounds[place], bound):
            return None
        return sum(self.counts[place + 1 :])


class Histogram:
    """The buckets of a Prometheus histogram over time, as counters per upper bound."""

    def __init__(self, series: Iterable[Series], anew: AbstractSet[float] = frozenset()) -> None:
        """`series` has one for each value of the label `le`; `anew` as `grown` has it."""
        of = {_bound(one.labels): one.points for one in series}
        # One process counts all of them: when one fell the others began anew, too. A bucket that
        # has caught up since the last scrape would hide it.
        fallen = frozenset(moment for points in of.values() for moment in _falls(points))
        found = {bound: grown(points, anew | fallen) for bound, points in of.items()}
        self.bounds = tuple(sorted(bound for bound in found if bound is not None))
        self._growth = [found[bound] for bound in self.bounds]

    def between(self, since: float, until: float) -> Buckets | None:
        """What was counted from one moment to another; None where that is not known."""
        cumulated = [grown_between(one, since, until) for one in self._growth]
        known = [one for one in cumulated if one is not None]
        if not known or len(known) < len(cumulated):
            return None
        # Interpolated at different places they might fall by a hair.
        counts = [max(0.0, one - below) for below, one in zip([0.0, *known], known, strict=False)]
        return Buckets(self.bounds, tuple(counts))

    def whole(self) -> Buckets | None:
        """All that was counted while it was scraped."""
        known = [one for one in self._growth if len(one) > 1]
        if not known:
            return None
        since = max(one[0][0] for one in known)
        return self.between(since, min(one[-1][0] for one in known))

    def known(self, longest_gap: float) -> list[tuple[float, float]]:
        """Stretches in which it was scraped without a silence of more than so many seconds."""
        scraped = [one for one in self._growth if len(one) > 1]
        found = pieces(scraped[0], longest_gap) if scraped else []
        return [(one[0][0], one[-1][0]) for one in found]


def _bound(labels: Mapping[str, str]) -> float | None:
    try:
        return float(labels.get("le", ""))
    except ValueError:
        return None


def _falls(points: Points) -> Iterator[float]:
    return (at for (_, before), (at, value) in pairwise(points) if value < before)


def _moment(point: tuple[float, float]) -> float:
    return point[0]
