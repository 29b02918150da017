"""Lengths that vary: of jobs, boots and shutdowns. Randomness is an argument."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from random import Random


class SpreadKind(StrEnum):
    """The family of distributions a length is drawn from."""

    FIXED = "fixed"
    NORMAL = "normal"
    EXPONENTIAL = "exponential"
    LOGNORMAL = "lognormal"
    PARETO = "pareto"


_DEFAULT_SHAPE: Mapping[SpreadKind, float] = {
    SpreadKind.NORMAL: 0.3,
    SpreadKind.LOGNORMAL: 1.0,
    SpreadKind.PARETO: 1.5,
}


@dataclass(frozen=True, slots=True)
class Spread:
    """A distribution of seconds by its mean.

    `shape` is the standard deviation as a share of the mean for `normal`, the sigma of the
    logarithm for `lognormal`, and the tail index (above 1) for `pareto`.
    """

    kind: SpreadKind
    mean_seconds: float
    shape: float = 0.0

    def draw(self, random: Random) -> float:
        """One length; never negative. A Pareto length is cut at a thousand means."""
        mean = self.mean_seconds
        match self.kind:
            case SpreadKind.FIXED:
                return mean
            case SpreadKind.NORMAL:
                return max(0.1 * mean, random.gauss(mean, self.shape * mean))
            case SpreadKind.EXPONENTIAL:
                return random.expovariate(1.0 / mean)
            case SpreadKind.LOGNORMAL:
                middle = math.log(mean) - self.shape**2 / 2
                return random.lognormvariate(middle, self.shape)
            case SpreadKind.PARETO:
                least = mean * (self.shape - 1) / self.shape
                return min(1000 * mean, least * random.paretovariate(self.shape))


def parse_spread(text: str) -> Spread:
    """`KIND:MEAN[:SHAPE]` or a plain number of seconds, which is fixed.

    Raises:
        ValueError: one sentence about what is wrong.

    """
    parts = text.split(":")
    if len(parts) == 1:
        parts = [SpreadKind.FIXED.value, *parts]
    kinds = ", ".join(SpreadKind)
    if parts[0] not in list(SpreadKind) or len(parts) > 3:
        raise ValueError(f"{text!r}: must be SECONDS or KIND:MEAN[:SHAPE] with KIND one of {kinds}")
    kind = SpreadKind(parts[0])
    try:
        numbers = [float(part) for part in parts[1:]]
    except ValueError:
        raise ValueError(f"{text!r}: mean and shape must be numbers") from None
    shape = numbers[1] if len(numbers) == 2 else _DEFAULT_SHAPE.get(kind, 0.0)
    if not all(math.isfinite(number) for number in numbers) or numbers[0] <= 0:
        raise ValueError(f"{text!r}: the mean must be above 0 and finite")
    if kind is SpreadKind.PARETO and shape <= 1:
        raise ValueError(f"{text!r}: a Pareto tail needs a shape above 1 to have a mean")
    if shape < 0:
        raise ValueError(f"{text!r}: the shape must not be negative")
    return Spread(kind, numbers[0], shape)
