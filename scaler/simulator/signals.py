"""What Prometheus would answer: scraped, a little late, sometimes not at all.

The formulas are those of the recording rules in `prometheus/rules/virtscale.yml`; the mean CPU is
the busy share of the slots of connected workers over the window.
"""

import math
from bisect import bisect_left
from dataclasses import dataclass

from scaler.policies.backlog import BUSY, BUSY_AVERAGE, SERVICE, WAITING
from scaler.readings import Empty, Failed, Known, NotANumber, Reading, Stale
from scaler.recommendation import CPU, DEMAND, DEMAND_AVERAGE
from scaler.simulator.domains import SimulatedPool

_RULE_LAG_SECONDS = 0.5
"""From a scrape to the evaluation of the rules over it."""
_CPU_WINDOW_SECONDS = 30.0
DEMAND_WINDOW_SECONDS = 30.0
_SERVICE_WINDOW_SECONDS = 60.0
_QUEUE_GOAL_SECONDS = 5.0
GOAL_SIGNALS = (WAITING, BUSY, BUSY_AVERAGE, SERVICE)
_SIGNALS = (CPU, DEMAND, DEMAND_AVERAGE, *GOAL_SIGNALS)


@dataclass(slots=True)
class Switches:
    """How Prometheus is ill, if it is."""

    does_not_answer: bool = False
    answers_not_a_number: bool = False
    answers_nothing: bool = False


class Signals:
    """Scrapes the pool and answers as of the newest sample that the rules have seen."""

    def __init__(
        self, pool: SimulatedPool, *, demand_window_seconds: float = DEMAND_WINDOW_SECONDS
    ) -> None:
        self._pool = pool
        self._demand_window_seconds = demand_window_seconds
        self.switches = Switches()
        self._moments: list[float] = []
        self._busy: list[float] = []
        self._connected: list[float] = []
        self._service: list[float] = []
        self._done: list[int] = []
        self._demand: list[float] = []
        self._demand_sums: list[float] = [0.0]
        self._busy_slots: list[int] = []
        self._busy_sums: list[int] = [0]
        self._waiting: list[int] = []
        # In no step with the scaler's turns, as on a real host.
        first = pool.now + pool.random.random() * pool.scenario.scrape_seconds
        pool.at(first, self._scrape, None)

    def _scrape(self, _: None) -> None:
        pool = self._pool
        pool.at(pool.now + pool.scenario.scrape_seconds, self._scrape, None)
        if pool.random.random() < pool.scenario.faults.scrape_loss_ratio:
            return
        ledger = pool.ledger
        ledger.advance(pool.now)
        self._moments.append(pool.now)
        self._busy.append(ledger.busy_seconds)
        self._connected.append(ledger.connected_seconds)
        self._service.append(pool.service_seconds_done)
        self._done.append(ledger.done)
        self._demand.append(self._demand_now())
        self._demand_sums.append(self._demand_sums[-1] + self._demand[-1])
        self._busy_slots.append(pool.taking_busy_slots)
        self._busy_sums.append(self._busy_sums[-1] + pool.taking_busy_slots)
        self._waiting.append(len(pool.queue) + pool.taking_ahead)

    def _demand_now(self) -> float:
        pool = self._pool
        waiting = len(pool.queue) + pool.taking_ahead
        if not waiting:
            return float(pool.taking_busy_slots)
        mean = self._mean_service(len(self._moments) - 1, pool.now)
        if mean is not None:
            waiting = math.ceil(waiting * min(1.0, mean / _QUEUE_GOAL_SECONDS))
        return float(pool.taking_busy_slots + waiting)

    def _mean_service(self, place: int, now: float) -> float | None:
        """Seconds per job of those finished in the minute up to a sample; None when none was."""
        first = self._first(now - _SERVICE_WINDOW_SECONDS)
        done = self._done[place] - self._done[first]
        return (self._service[place] - self._service[first]) / done if done > 0 else None

    def _first(self, moment: float) -> int:
        """Place of the first sample that is not before `moment`."""
        return bisect_left(self._moments, moment, max(0, len(self._moments) - 400))

    def _newest(self, lag_seconds: float = _RULE_LAG_SECONDS) -> int | None:
        """Place of the newest sample that the rules have seen."""
        limit = self._pool.now - lag_seconds
        place = len(self._moments) - 1
        while place >= 0 and self._moments[place] > limit:
            place -= 1
        return place if place >= 0 else None

    def cpu(self, window_seconds: float = _CPU_WINDOW_SECONDS) -> float | None:
        """Mean utilisation of connected workers; None when it is not known."""
        place = self._newest()
        if place is None:
            return None
        first = self._first(self._moments[place] - window_seconds)
        connected = self._connected[place] - self._connected[first]
        if connected <= 0:
            return None
        return min(1.0, (self._busy[place] - self._busy[first]) / connected)

    def readings(self, *, for_goal: bool = True) -> dict[str, Reading]:
        """One reading for each signal of `reference` and `backlog`.

        `for_goal`: those, too, that only a waiting-time goal looks at.
        """
        unknown = self._unknown()
        place = self._newest()
        if unknown is not None or place is None:
            reading = unknown or Empty()
            return dict.fromkeys(_SIGNALS, reading)
        age = self._pool.now - self._moments[place]
        if age > self._pool.scenario.stale_after_seconds:
            return dict.fromkeys(_SIGNALS, Stale(age))
        first = self._first(self._moments[place] - self._demand_window_seconds)
        count = place + 1 - first
        total = self._demand_sums[place + 1] - self._demand_sums[first]
        # The present is asked of the scraped series, not of a rule.
        present = self._newest(0.0)
        assert present is not None
        newest_age = self._pool.now - self._moments[present]
        ratio = self.cpu()
        found: dict[str, Reading] = {
            CPU: Empty() if ratio is None else Known(ratio, age),
            DEMAND: Known(self._demand[present], newest_age),
            DEMAND_AVERAGE: Known(total / count, age),
        }
        if not for_goal:
            return found
        busy = self._busy_sums[place + 1] - self._busy_sums[first]
        service = self._mean_service(place, self._moments[place])
        return found | {
            WAITING: Known(float(self._waiting[present]), newest_age),
            BUSY: Known(float(self._busy_slots[present]), newest_age),
            BUSY_AVERAGE: Known(busy / count, age),
            SERVICE: Empty() if service is None else Known(service, age),
        }

    def _unknown(self) -> Reading | None:
        if self.switches.does_not_answer:
            return Failed("cannot connect")
        if self.switches.answers_not_a_number:
            return NotANumber()
        return Empty() if self.switches.answers_nothing else None

    def demand(self) -> float | None:
        """The newest demand in slots; None when none is known."""
        place = self._newest()
        return None if place is None else self._demand[place]
