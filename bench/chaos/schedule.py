"""Which faults, when, on whom: all from the seed. Pure."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

WEIGHTS = {
    "worker_kill": 22,
    "worker_stop": 8,
    "worker_term": 6,
    "worker_replace": 4,
    "dispatcher_kill": 5,
    "dispatcher_term": 2,
    "dispatcher_stop": 2,
    "cut": 12,
    "half_open": 7,
    "black_hole": 6,
    "delay": 4,
    "disk_full": 3,
    "disk_read_only": 1,
    "disk_error": 2,
    "clock_step": 4,
    "drain": 5,
    "drain_cancel": 4,
    "cordon": 4,
    "cancel_jobs": 4,
    "stream_cut": 4,
    "repeat_request": 4,
}
"""How often each kind comes, relative to the others."""


@dataclass(frozen=True)
class Fault:
    """One fault. `gap` and `seconds` are in seconds; `victim` counts workers; `dice` is 0 to 1."""

    place: int
    kind: str
    gap: float
    victim: int
    seconds: float
    dice: float


def schedule(
    seed: int, faults: int, *, workers: int, seconds: float, kinds: Sequence[str] = ()
) -> list[Fault]:
    """The run's faults in order, about `seconds` long in all.

    Every kind is there in proportion to its weight, and at least once when there is room.
    """
    dice = random.Random(seed)
    weights = {kind: WEIGHTS[kind] for kind in kinds or WEIGHTS}
    total = sum(weights.values())
    drawn = [kind for kind, weight in weights.items() for _ in range(faults * weight // total)]
    missing = [kind for kind in weights if kind not in drawn]
    drawn += missing[: max(0, faults - len(drawn))]
    drawn += dice.choices(list(weights), list(weights.values()), k=faults - len(drawn))
    dice.shuffle(drawn)
    mean = seconds / max(1, faults)
    return [
        Fault(
            place=place,
            kind=kind,
            gap=dice.expovariate(1 / mean),
            victim=dice.randrange(workers),
            seconds=dice.choice((0.05, 0.3, 1.0, 2.5, 4.5)) * dice.uniform(0.8, 1.2),
            dice=dice.random(),
        )
        for place, kind in enumerate(drawn)
    ]
