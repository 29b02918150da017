"""When requests arrive: open loop, planned ahead, whatever the system under load does.

A closed loop would wait for a slow system and so hide that it is slow.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

ShapeName = Literal["wave", "steady"]

# Two minutes show both directions: the low phase outlasts the queue that the high one leaves, the
# window of the CPU mean and the scaler's window for scaling in.
WAVE_HIGH_SECONDS = 30.0
WAVE_LOW_SECONDS = 60.0
WAVE_SLOPE_SECONDS = 5.0
WAVE_PERIOD_SECONDS = WAVE_HIGH_SECONDS + WAVE_LOW_SECONDS + 2 * WAVE_SLOPE_SECONDS
WAVE_HIGH = 2.4
# Makes the mean over a period 1, whatever the other four say.
WAVE_LOW = (WAVE_PERIOD_SECONDS - WAVE_HIGH * (WAVE_HIGH_SECONDS + WAVE_SLOPE_SECONDS)) / (
    WAVE_LOW_SECONDS + WAVE_SLOPE_SECONDS
)


@dataclass(frozen=True)
class Arrivals:
    """A Poisson stream whose rate follows a shape.

    `delta` is the mean time between requests in seconds, averaged over the shape's period;
    `start` is the time at which the shape begins (same clock as the times asked for).
    """

    delta: float
    shape: ShapeName
    start: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.delta) and self.delta > 0):
            raise ValueError(f"delta = {self.delta}: must be a number of seconds above 0")

    def rate(self, at: float) -> float:
        """Requests per second at the time `at`."""
        return multiplier(self.shape, at - self.start) / self.delta

    def next_after(self, after: float, draw: Callable[[], float]) -> float:
        """Time of the first arrival after `after`. `draw` gives uniform values in [0, 1)."""
        highest = highest_multiplier(self.shape) / self.delta
        at = after
        while True:
            # Thinning (Lewis and Shedler 1979): exact for any bounded rate, without integrals.
            at += -math.log1p(-draw()) / highest
            if draw() * highest < self.rate(at):
                return at


def multiplier(shape: ShapeName, elapsed: float) -> float:
    """The rate relative to the mean, `elapsed` seconds into the shape."""
    if shape == "steady":
        return 1.0
    position = elapsed % WAVE_PERIOD_SECONDS
    if position < WAVE_HIGH_SECONDS:
        return WAVE_HIGH
    position -= WAVE_HIGH_SECONDS
    if position < WAVE_SLOPE_SECONDS:
        return WAVE_HIGH + (WAVE_LOW - WAVE_HIGH) * position / WAVE_SLOPE_SECONDS
    position -= WAVE_SLOPE_SECONDS
    if position < WAVE_LOW_SECONDS:
        return WAVE_LOW
    position -= WAVE_LOW_SECONDS
    return WAVE_LOW + (WAVE_HIGH - WAVE_LOW) * position / WAVE_SLOPE_SECONDS


def highest_multiplier(shape: ShapeName) -> float:
    """The greatest value of `multiplier` for the shape."""
    return 1.0 if shape == "steady" else WAVE_HIGH
