"""Other autoscalers as formulas: what is seen in, how many domains they want out.

Sources: the projects' own code and documents; where a vendor publishes no formula, the assumption
is said. All hold 80 % of CPU where they hold CPU, so that they differ in their rules only.
"""

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from scaler.simulator.workload import TARGET_RATIO


@dataclass(frozen=True, slots=True)
class Sight:
    """What a baseline sees of the pool in one turn."""

    now: float
    ready: int
    """Domains that take jobs."""
    booting: int
    cpu: float | None
    """Mean utilisation of ready domains, 0 to 1; None: no answer, or not a number."""
    demand: float | None
    """Busy slots and waiting jobs; None: no answer. An empty answer and NaN are 0, which is what
    KEDA makes of them (`ignoreNullValues` is true by default)."""
    slots: int

    @property
    def owned(self) -> int:
        """Domains that work or are expected to."""
        return self.ready + self.booting


class Victims(StrEnum):
    """Whom an autoscaler stops, and how."""

    IDLE_AS_SEEN = "idle_as_seen"
    """One that was idle when it was looked at, else any; without a lease or a drain."""
    YOUNGEST = "youngest"
    """Not ready first, then the youngest."""
    OLDEST = "oldest"
    RANDOM = "random"
    LEAST_BUSY = "least_busy"


class Baseline(Protocol):
    """An autoscaler's rule. It keeps its own memory; a restart makes a new one."""

    name: str
    interval_seconds: float
    victims: Victims
    grace_seconds: float
    """How long a chosen domain may go on with what it holds; then it loses its power."""

    def desired(self, sight: Sight, least: int, most: int) -> int | None:
        """Domains wanted; None: no change."""
        ...


def _bounded(count: float, least: int, most: int) -> int:
    return max(least, min(most, math.ceil(count - 1e-9)))


class StaticMaximum:
    """All the domains there are, all the time."""

    name = "static_max"
    interval_seconds = 1.0
    victims = Victims.LEAST_BUSY
    grace_seconds = 3600.0

    def desired(self, sight: Sight, least: int, most: int) -> int | None:
        """The maximum."""
        return most


class ReferenceRule:
    """The reference program: above 80 % one more, below what one fewer could carry one fewer.

    Booting domains are not counted. It stops an idle one, without a lease: a job may have begun.
    """

    victims = Victims.IDLE_AS_SEEN
    grace_seconds = 0.0

    def __init__(self, interval_seconds: float) -> None:
        self.interval_seconds = interval_seconds
        self.name = f"reference_{interval_seconds:g}s"

    def desired(self, sight: Sight, least: int, most: int) -> int | None:
        """One more, one fewer, or as it is."""
        count = sight.ready
        if count == 0:
            return max(1, sight.owned)
        if sight.cpu is None:
            return None
        if sight.cpu > TARGET_RATIO:
            return _bounded(sight.owned + 1, least, most)
        if (TARGET_RATIO - sight.cpu) * count > TARGET_RATIO:
            return _bounded(sight.owned - 1, least, most)
        return None


class _PodBehaviour:
    """HPA v2's default behaviour.

    Down to the highest wish of 300 s, up at most doubling or by four in 15 s.
    """

    def __init__(self) -> None:
        self._wishes: deque[tuple[float, int]] = deque()
        self._sizes: deque[tuple[float, int]] = deque()

    def apply(self, wish: int, sight: Sight, least: int, most: int) -> int:
        now, current = sight.now, sight.owned
        wishes, sizes = self._wishes, self._sizes
        wishes.append((now, wish))
        while wishes[0][0] < now - 300:
            wishes.popleft()
        sizes.append((now, current))
        while sizes[0][0] < now - 15:
            sizes.popleft()
        if wish < current:
            wish = min(current, max(count for _, count in wishes))
        start = min(count for _, count in sizes)
        return max(least, min(most, wish, max(2 * start, start + 4, current)))


class HorizontalPodAutoscaler:
    """Kubernetes HPA v2 on CPU: tolerance 10 %, 15 s sync (`replica_calculator.go`).

    Booting ones count 0 % on the way up; SIGTERM, then 30 s of grace.
    """

    name = "hpa_v2"
    interval_seconds = 15.0
    victims = Victims.YOUNGEST
    grace_seconds = 30.0

    def __init__(self) -> None:
        self._behaviour = _PodBehaviour()

    def desired(self, sight: Sight, least: int, most: int) -> int | None:
        """ceil(ready * ratio), with the fill-ins, then the default behaviour."""
        if sight.cpu is None or sight.ready == 0:
            return None
        ratio = sight.cpu / TARGET_RATIO
        current = sight.owned
        if abs(ratio - 1) <= 0.1:
            wish = current
        elif ratio > 1 and sight.booting:
            filled = ratio * sight.ready / current
            # The direction flips or the change is within the tolerance: nothing is done.
            wish = current if filled <= 1.1 else math.ceil(filled * current - 1e-9)
        else:
            wish = math.ceil(ratio * sight.ready - 1e-9)
        return self._behaviour.apply(max(least, wish), sight, least, most)


class NomadTargetValue:
    """nomad-autoscaler's target-value: threshold 1 %, one cooldown of 5 min for both directions.

    No turn while a node is not ready; drains the least busy node for up to 15 min.
    """

    name = "nomad_target"
    interval_seconds = 10.0
    victims = Victims.LEAST_BUSY
    grace_seconds = 900.0

    def __init__(self) -> None:
        self._free_at = -math.inf

    def desired(self, sight: Sight, least: int, most: int) -> int | None:
        """ceil(n * metric / target) unless within the threshold or cooling down."""
        if sight.cpu is None or sight.booting or sight.now < self._free_at:
            return None
        factor = sight.cpu / TARGET_RATIO
        if abs(factor - 1) <= 0.01:
            return None
        wish = _bounded(sight.ready * factor, least, most)
        if wish == sight.ready:
            return None
        self._free_at = sight.now + 300
        return wish


class KedaDefault:
    """KEDA on the length of the queue and what runs, one slot a piece.

    Polled each 30 s, an empty answer or NaN is 0, then an HPA with its default behaviour.
    """

    name = "keda_default"
    interval_seconds = 15.0
    victims = Victims.YOUNGEST
    grace_seconds = 30.0

    def __init__(self) -> None:
        self._behaviour = _PodBehaviour()
        self._polled_at = -math.inf
        self._value: float | None = None

    def desired(self, sight: Sight, least: int, most: int) -> int | None:
        """ceil(value / threshold) with a tolerance of 10 %."""
        if sight.now - self._polled_at >= 30:
            self._polled_at, self._value = sight.now, sight.demand
        if self._value is None:
            return None
        current = max(1, sight.owned)
        ratio = self._value / (sight.slots * current)
        wish = current if abs(ratio - 1) <= 0.1 else math.ceil(self._value / sight.slots - 1e-9)
        return self._behaviour.apply(max(least, wish), sight, least, most)


class TenMinutePeak:
    """GCP's managed instance groups: the highest need of the last 10 min.

    Assumed: evaluated each 15 s; any instance is stopped, and its guest may take 90 s.
    """

    name = "gcp_peak"
    interval_seconds = 15.0
    victims = Victims.RANDOM
    grace_seconds = 90.0

    def __init__(self) -> None:
        self._needs: deque[tuple[float, int]] = deque()

    def desired(self, sight: Sight, least: int, most: int) -> int | None:
        """Max over 10 min of ceil(need)."""
        if sight.cpu is None:
            return None
        need = _bounded(sight.ready * sight.cpu / TARGET_RATIO, least, most)
        needs = self._needs
        needs.append((sight.now, need))
        while needs[0][0] < sight.now - 600:
            needs.popleft()
        return max(count for _, count in needs)


class StepScaling:
    """AWS step scaling on CPU at one-minute periods.

    Out by 10 % above 80 %, 30 % above 90 %, after one period; in by 10 % below 50 %, 30 % below
    30 %, after five; 300 s of warm-up, in which an instance does not count. Assumed: the oldest is
    stopped, and its guest may take 90 s.
    """

    name = "aws_step"
    interval_seconds = 60.0
    victims = Victims.OLDEST
    grace_seconds = 90.0
    _WARM_UP_SECONDS = 300.0

    def __init__(self) -> None:
        self._low_periods = 0
        self._out_at = -math.inf
        self._out_base = 0

    def desired(self, sight: Sight, least: int, most: int) -> int | None:
        """The step of the breach, on the size without warming instances."""
        if sight.cpu is None:
            return None
        is_warming = sight.now - self._out_at < self._WARM_UP_SECONDS
        self._low_periods = self._low_periods + 1 if sight.cpu < 0.5 else 0
        if sight.cpu >= 0.8:
            base = self._out_base if is_warming else sight.owned
            step = max(1, math.floor(base * (0.3 if sight.cpu >= 0.9 else 0.1)))
            wish = _bounded(max(sight.owned, base + step), least, most)
            if wish > sight.owned:
                self._out_at, self._out_base = sight.now, base
                return wish
            return None
        if self._low_periods >= 5 and not is_warming:
            self._low_periods = 0
            step = max(1, math.floor(sight.owned * (0.3 if sight.cpu < 0.3 else 0.1)))
            return _bounded(sight.owned - step, least, most)
        return None


BASELINES: Mapping[str, Callable[[], Baseline]] = {
    "static_max": StaticMaximum,
    "reference_5s": lambda: ReferenceRule(5.0),
    "reference_30s": lambda: ReferenceRule(30.0),
    "hpa_v2": HorizontalPodAutoscaler,
    "nomad_target": NomadTargetValue,
    "keda_default": KedaDefault,
    "gcp_peak": TenMinutePeak,
    "aws_step": StepScaling,
}
"""Each by its name, made without a past. The oracle needs the future and is in `oracle`."""
