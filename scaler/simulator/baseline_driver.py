"""Carries out what a baseline wants, with the victims and the grace that it really has.

All are given two things that some lack: a domain that does not boot in time is stopped, and no
more domains are started than are defined.
"""

from collections.abc import Callable

from scaler.pool import Lifecycle
from scaler.readings import Empty, NotANumber
from scaler.recommendation import DEMAND
from scaler.simulator.baselines import Baseline, Sight, Victims
from scaler.simulator.domains import SimulatedDomain, SimulatedPool
from scaler.simulator.signals import Signals

_START_SECONDS = 0.5


class BaselineScaler:
    """One baseline at work on a pool."""

    def __init__(
        self,
        pool: SimulatedPool,
        signals: Signals,
        make: Callable[[], Baseline],
        *,
        least: int,
        most: int,
        boot_deadline_seconds: float,
    ) -> None:
        self._pool = pool
        self._signals = signals
        self._make = make
        self._rule = make()
        self._least, self._most = least, most
        self._boot_deadline_seconds = boot_deadline_seconds
        self._leaving: set[int] = set()
        self._seen_busy: dict[int, int] = {}
        self._is_away = False
        self.turns = 0
        pool.on_drained = self._finish_leaving
        pool.at(pool.now, self._turn, None)

    def kill(self) -> None:
        """Its memory is lost."""
        self._is_away = True
        self._rule = self._make()

    def restart(self) -> None:
        """Goes on."""
        self._is_away = False

    def forget_records(self) -> None:
        """The wall clock has jumped; none of them looks at it."""

    def _turn(self, _: None) -> None:
        pool = self._pool
        pool.at(pool.now + self._rule.interval_seconds, self._turn, None)
        if self._is_away or pool.hypervisor_away:
            return
        self.turns += 1
        sight = self._look()
        wanted = self._rule.desired(sight, self._least, self._most)
        if wanted is None:
            wanted = max(self._least, sight.owned)
        if wanted > sight.owned:
            self._start(wanted - sight.owned)
        elif wanted < sight.owned:
            self._stop(sight.owned - wanted)
        self._seen_busy = {
            one.index: len(one.leases or ()) for one in pool.domains if one.is_connected
        }

    def _look(self) -> Sight:
        pool = self._pool
        ready = booting = 0
        for domain in pool.domains:
            if domain.lifecycle is Lifecycle.OFF or domain.index in self._leaving:
                continue
            if domain.is_connected:
                ready += 1
            elif pool.now - domain.started_at > self._boot_deadline_seconds:
                pool.power_off(domain, "destroyed", by_scale_in=True)
            else:
                booting += 1
        reading = self._signals.readings()[DEMAND]
        switches = self._signals.switches
        is_blind = switches.does_not_answer
        is_null = isinstance(reading, Empty | NotANumber)
        return Sight(
            now=pool.now,
            ready=ready,
            booting=booting,
            cpu=None if is_blind or is_null else self._signals.cpu(),
            demand=None if is_blind else 0.0 if is_null else self._signals.demand(),
            slots=pool.scenario.slots,
        )

    def _start(self, count: int) -> None:
        pool = self._pool
        if pool.host_full:
            return
        off = [
            one
            for one in pool.domains
            if one.lifecycle is Lifecycle.OFF and one.index not in self._leaving
        ]
        for domain in off[:count]:
            pool.start(domain)

    def _stop(self, count: int) -> None:
        pool = self._pool
        candidates = [
            one
            for one in pool.domains
            if one.lifecycle is not Lifecycle.OFF and one.index not in self._leaving
        ]
        for domain in self._order(candidates)[:count]:
            if not domain.is_connected:
                pool.power_off(domain, "destroyed", by_scale_in=True)
                continue
            self._leaving.add(domain.index)
            if self._rule.grace_seconds <= 0:
                self._press(domain)
                continue
            pool.cordon(domain)
            if not domain.leases:
                self._press(domain)
                continue
            end = pool.now + self._rule.grace_seconds
            pool.at(end, self._give_up, (domain, domain.started_at))

    def _order(self, candidates: list[SimulatedDomain]) -> list[SimulatedDomain]:
        pool = self._pool
        match self._rule.victims:
            case Victims.IDLE_AS_SEEN:
                seen = self._seen_busy
                return sorted(candidates, key=lambda one: (seen.get(one.index, 0), one.index))
            case Victims.YOUNGEST:
                return sorted(candidates, key=lambda one: (one.is_connected, -one.started_at))
            case Victims.OLDEST:
                return sorted(candidates, key=lambda one: one.started_at)
            case Victims.RANDOM:
                return pool.random.sample(candidates, len(candidates))
            case Victims.LEAST_BUSY:
                return sorted(
                    candidates,
                    key=lambda one: (one.is_connected, len(one.leases or ()), one.index),
                )

    def _press(self, domain: SimulatedDomain) -> None:
        self._pool.press_power(domain)
        # Twice the usual time, then the power is cut.
        end = self._pool.now + 10 * self._pool.scenario.shutdown.mean_seconds
        self._pool.at(end, self._settle, (domain, domain.started_at))

    def _finish_leaving(self, domain: SimulatedDomain) -> None:
        if domain.index in self._leaving:
            self._press(domain)

    def _give_up(self, subject: tuple[SimulatedDomain, float]) -> None:
        domain, started_at = subject
        if domain.index in self._leaving and domain.started_at == started_at and domain.leases:
            self._press(domain)

    def _settle(self, subject: tuple[SimulatedDomain, float]) -> None:
        domain, started_at = subject
        if domain.started_at == started_at:
            self._pool.power_off(domain, "destroyed", by_scale_in=True)
            self._pool.uncordon(domain)
            self._leaving.discard(domain.index)
