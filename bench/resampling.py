"""Medians with confidence intervals, and who is better on the same seeds. Pure, seeded."""

import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

_RESAMPLES = 1000


class Outcome(StrEnum):
    """Of a comparison in which less is better."""

    WIN = "win"
    TIE = "tie"
    LOSS = "loss"


@dataclass(frozen=True)
class Interval:
    """A median with its 95 % bootstrap confidence interval (percentile method)."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        """As people write it."""
        return f"{self.median:.2f} [{self.low:.2f}, {self.high:.2f}]"


def interval(values: Sequence[float]) -> Interval:
    """The median of `values` and where 95 % of the medians of resamples lie."""
    source = random.Random(len(values))
    count = len(values)
    medians = sorted(statistics.median(source.choices(values, k=count)) for _ in range(_RESAMPLES))
    return Interval(
        statistics.median(values),
        medians[int(0.025 * _RESAMPLES)],
        medians[int(0.975 * _RESAMPLES) - 1],
    )


def compare(ours: Sequence[float], theirs: Sequence[float]) -> Outcome:
    """Win or loss only when the interval of the paired differences leaves out zero."""
    difference = interval([our - their for our, their in zip(ours, theirs, strict=True)])
    if difference.high < 0:
        return Outcome.WIN
    return Outcome.LOSS if difference.low > 0 else Outcome.TIE
