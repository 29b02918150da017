"""How many slots keep the wait short: the queue M/M/c. Pure arithmetic."""

import math

_NEARLY = 1e-9


def mean_wait(slots: int, busy: float, service_seconds: float) -> float:
    """Mean seconds that a job waits for one of `slots` when `busy` of them work on average.

    Erlang's formula C for Poisson arrivals and exponential service times (A. K. Erlang, 1917):
    C * service / (slots - busy), C from the recursion B(k) = busy B(k-1) / (k + busy B(k-1)).
    Infinite when the slots cannot carry the load.
    """
    if busy <= 0:
        return 0.0
    if slots <= busy:
        return math.inf
    blocked = 1.0
    for count in range(1, slots + 1):
        blocked = busy * blocked / (count + busy * blocked)
    waits = slots * blocked / (slots - busy * (1 - blocked))
    return waits * service_seconds / (slots - busy)


def slots_for_wait(busy: float, service_seconds: float, goal_seconds: float) -> int:
    """Fewest slots that keep the mean wait at `goal_seconds` or below."""
    if busy <= 0:
        return 0
    slots, blocked = 0, 1.0
    while True:
        slots += 1
        blocked = busy * blocked / (slots + busy * blocked)
        if slots <= busy:
            continue
        waits = slots * blocked / (slots - busy * (1 - blocked))
        if waits * service_seconds <= goal_seconds * (slots - busy) + _NEARLY:
            return slots
