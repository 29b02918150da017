"""Knows the future: when each job will come and how long it will take."""

import math
from bisect import bisect_left, bisect_right

from scaler.simulator.baselines import Sight, Victims
from scaler.simulator.scenario import Scenario
from scaler.simulator.workload import Workload


class Oracle:
    """Starts each domain one boot before it is needed.

    It keeps one that will be needed again before it could have stopped and booted. What it cannot
    foresee are boot times and faults.
    """

    name = "oracle"
    interval_seconds = 1.0
    victims = Victims.LEAST_BUSY
    grace_seconds = 3600.0

    def __init__(self, workload: Workload, scenario: Scenario, trace_start: float) -> None:
        self._moments, self._busy = _concurrency(workload, trace_start)
        self._lead_seconds = 1.6 * scenario.boot.mean_seconds + 2.0
        self._keep_seconds = scenario.boot.mean_seconds + 10.0

    def desired(self, sight: Sight, least: int, most: int) -> int | None:
        """The most slots busy at once within the lead, if each job began when it comes."""
        wanted = self._most(sight.now, sight.now + self._lead_seconds, sight.slots)
        if wanted < sight.owned:
            horizon = sight.now + self._lead_seconds + self._keep_seconds
            wanted = min(sight.owned, self._most(sight.now, horizon, sight.slots))
        # A queue that faults have left behind was not foreseen.
        late = math.ceil((sight.demand or 0.0) / sight.slots)
        return max(least, min(most, max(wanted, late)))

    def _most(self, start: float, end: float, slots: int) -> int:
        first = max(0, bisect_right(self._moments, start) - 1)
        last = bisect_left(self._moments, end)
        return math.ceil(max(self._busy[first:last], default=0) / slots)


def _concurrency(workload: Workload, trace_start: float) -> tuple[list[float], list[int]]:
    """Slots busy over time, were there always a free one."""
    changes = [(trace_start + moment, 1) for moment in workload.arrivals]
    changes += [
        (trace_start + moment + length, -1)
        for moment, length in zip(workload.arrivals, workload.lengths, strict=True)
    ]
    changes.sort()
    moments, busy, count = [0.0], [0], 0
    for moment, difference in changes:
        count += difference
        moments.append(moment)
        busy.append(count)
    return moments, busy
