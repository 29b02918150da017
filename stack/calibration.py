"""How heavy a job must be so that one guest saturates on the machine at hand."""

from dataclasses import dataclass
from typing import Literal

LoadName = Literal["none", "collision", "busy", "verify", "auto"]

SATURATION = 1.5
"""Demand in the high phase, in guests: enough to need a second one, little enough for two."""

FIRST_REPETITIONS = 8
MAX_REPETITIONS = 10_000_000
_ENOUGH_SECONDS = 0.15
_GROWTH = 16


@dataclass(frozen=True)
class JobLoad:
    """Extra work of each job: `collision` bits, `verify` repetitions, `busy` seconds."""

    kind: Literal["none", "collision", "busy", "verify"]
    amount: float = 0.0

    def __post_init__(self) -> None:
        fault = difficulty_fault(self.kind, self.amount)
        if fault:
            raise ValueError(fault)

    def describe(self) -> str:
        """For the screen: `verify, 41,000 repetitions`."""
        units = {"collision": "bits", "verify": "repetitions", "busy": "s of CPU time"}
        if self.kind == "none":
            return "the hash alone"
        amount = f"{self.amount:,.1f}" if self.kind == "busy" else f"{int(self.amount):,}"
        return f"{self.kind}, {amount} {units[self.kind]}"


def difficulty_fault(kind: str, amount: float) -> str | None:
    """Why `amount` cannot be the difficulty of the load `kind`; None when it can."""
    bounds: dict[str, tuple[float, float, str]] = {
        "collision": (1, 40, "bits, 1 to 40"),
        "verify": (1, MAX_REPETITIONS, "repetitions, 1 to 10,000,000"),
        "busy": (0.001, 3600, "seconds of CPU time, 0.001 to 3600"),
    }
    if kind not in bounds:
        return None
    low, high, words = bounds[kind]
    if not low <= amount <= high:
        return f"difficulty = {amount:g}: a {kind} load takes {words}"
    return None


NO_LOAD = JobLoad("none")
"""The hash alone."""


def is_long_enough(service_seconds: float) -> bool:
    """True when a job took long enough for its time to mean something."""
    return service_seconds >= _ENOUGH_SECONDS


def next_repetitions(repetitions: int) -> int:
    """The next probe after one that was too short to measure."""
    return min(repetitions * _GROWTH, MAX_REPETITIONS)


def saturating_load(
    *,
    repetitions: int,
    service_seconds: float,
    highest_rate: float,
    slots: int,
) -> JobLoad:
    """The verify load that keeps `SATURATION` guests of `slots` vCPUs busy at `highest_rate`.

    `repetitions` verifications took `service_seconds` of CPU time on one of the guest's vCPUs.
    """
    per_second = repetitions / max(service_seconds, 1e-6)
    wanted_seconds = SATURATION * max(1, slots) / highest_rate
    amount = round(per_second * wanted_seconds)
    return JobLoad("verify", max(1, min(amount, MAX_REPETITIONS)))
