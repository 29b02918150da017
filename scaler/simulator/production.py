"""Drives the production `decide` and `feed`, unchanged, as the service's loop and executor do."""

from collections.abc import Callable

from scaler import lessons
from scaler.decision import (
    ActionResult,
    Decision,
    Observation,
    Outcome,
    Settings,
    State,
    decide,
)
from scaler.feedback import feed
from scaler.planner import Action
from scaler.pool import ActionKind, DomainRecord, OperationKind, WorkerRecord
from scaler.simulator.domains import SimulatedDomain, SimulatedPool
from scaler.simulator.signals import GOAL_SIGNALS, Signals

START_CALL_SECONDS = 0.5
"""From the decision to start a domain to libvirt's answer; then its boot begins."""

_CALL_SECONDS = {
    ActionKind.START: START_CALL_SECONDS,
    ActionKind.DRAIN: 0.02,
    ActionKind.CANCEL_DRAIN: 0.02,
    ActionKind.SHUTDOWN: 0.05,
    ActionKind.DESTROY: 0.5,
    ActionKind.SETTLE: 0.02,
}
"""How long libvirt and the dispatcher take, as measured on a small host."""

_OPERATIONS = {
    ActionKind.START: OperationKind.START,
    ActionKind.DRAIN: OperationKind.DRAIN,
    ActionKind.SHUTDOWN: OperationKind.SHUTDOWN,
    ActionKind.DESTROY: OperationKind.DESTROY,
}


class ProductionScaler:
    """The scaler of this project.

    One turn each `tick_seconds`, as soon as an action is done, and at the plan's `wake_at`.
    """

    def __init__(
        self,
        pool: SimulatedPool,
        signals: Signals,
        settings: Settings,
        *,
        tick_seconds: float = 1.0,
        watch: Callable[[Decision], None] | None = None,
    ) -> None:
        self._pool = pool
        self._signals = signals
        self._settings = settings
        self._tick_seconds = tick_seconds
        wanted = {signal for policy in settings.policies for signal in policy.signals}
        self._has_goal = not wanted.isdisjoint(GOAL_SIGNALS)
        self._watch = watch
        self._state = State()
        self._results: list[ActionResult] = []
        self._turn = 0
        self._orders = [0] * len(pool.domains)
        """Per domain the number of the newest action: what an older one does later is void."""
        self._records: list[DomainRecord] = [pool.record(one) for one in pool.domains]
        self._workers: list[WorkerRecord | None] = [None] * len(pool.domains)
        self._changed: set[SimulatedDomain] = set()
        pool.on_change = self._changed.add
        pool.on_drained = self._drained
        self.turns = 0
        self._is_away = False
        pool.at(pool.now, self._tick, self._turn)

    def kill(self) -> None:
        """As kill -9: memory is lost but for the lessons; calls under way are not followed."""
        self._is_away = True
        self._state = lessons.begin(lessons.learned(self._state))
        self._results.clear()
        self._turn += 1
        self._orders = [order + 1 for order in self._orders]
        for domain in self._pool.domains:
            domain.operation_since = None
            # The dispatcher ends a drain whose caller has gone; the cordon stays.
            if domain.is_draining:
                domain.is_draining = False
                self._changed.add(domain)

    def restart(self) -> None:
        """Begins anew with nothing but the lessons and what the world tells."""
        self._is_away = False
        self._wake()

    def forget_records(self) -> None:
        """Everything is to be read again: the wall clock has jumped."""
        self._changed.update(self._pool.domains)

    def _wake(self) -> None:
        self._turn += 1
        self._pool.at(self._pool.now, self._tick, self._turn)

    def _tick(self, turn: int) -> None:
        if turn != self._turn or self._is_away:
            return
        pool, now = self._pool, self._pool.now
        for result in self._results:
            self._state = feed(self._settings, self._state, result, now)
        self._results.clear()
        self._state, decision = decide(self._settings, self._state, self._observe(), now)
        self.turns += 1
        if self._watch is not None:
            self._watch(decision)
        for action in decision.plan.actions:
            self._launch(action)
        until = now + self._tick_seconds
        if decision.plan.wake_at is not None:
            until = max(now, min(until, decision.plan.wake_at))
        self._turn += 1
        pool.at(until, self._tick, self._turn)

    def _observe(self) -> Observation:
        pool = self._pool
        if self._changed:
            for domain in self._changed:
                self._records[domain.index] = pool.record(domain)
                self._workers[domain.index] = pool.worker(domain)
            self._changed.clear()
        return Observation(
            domains=None if pool.hypervisor_away else tuple(self._records),
            workers=tuple(filter(None, self._workers)),
            readings=self._signals.readings(for_goal=self._has_goal),
        )

    # Actions, as the executor carries them out.

    def _launch(self, action: Action) -> None:
        domain = self._pool.domains[int(action.domain.rpartition("-")[2])]
        self._orders[domain.index] += 1
        if action.kind is ActionKind.CANCEL_DRAIN:
            domain.is_draining = False
        kind = _OPERATIONS.get(action.kind)
        if kind is not None and not action.is_repeated and not self._pool.hypervisor_away:
            self._note(domain, kind)
        order = (action, domain, self._orders[domain.index])
        self._pool.at(self._pool.now + _CALL_SECONDS[action.kind], self._carry_out, order)

    def _note(self, domain: SimulatedDomain, kind: OperationKind | None) -> None:
        """Writes the operation into the domain's metadata."""
        domain.operation, domain.operation_wall = kind, self._pool.wall
        domain.operation_since = self._pool.dated(domain.operation_wall)
        if kind is not None and self._state.token is not None:
            domain.token = self._state.token
        self._changed.add(domain)

    def _carry_out(self, subject: tuple[Action, SimulatedDomain, int]) -> None:
        action, domain, order = subject
        if self._orders[domain.index] != order:
            return
        pool = self._pool
        if pool.hypervisor_away:
            self._report(action, Outcome.RETRYABLE)
            return
        match action.kind:
            case ActionKind.START:
                if pool.host_full:
                    self._report(action, Outcome.FAILED)
                    return
                pool.start(domain)
                pool.uncordon(domain)
            case ActionKind.DRAIN:
                self._drain(action, domain, order)
                return
            case ActionKind.CANCEL_DRAIN:
                self._note(domain, None)
                pool.uncordon(domain)
            case ActionKind.SHUTDOWN:
                pool.press_power(domain)
            case ActionKind.DESTROY:
                pool.power_off(domain, "destroyed", by_scale_in=True)
            case ActionKind.SETTLE:
                if action.lifts_cordon:
                    pool.uncordon(domain)
                self._note(domain, None)
        self._report(action, Outcome.DONE)

    def _drain(self, action: Action, domain: SimulatedDomain, order: int) -> None:
        held = len(domain.leases) if domain.leases else 0
        if action.max_leases is not None and held > action.max_leases:
            self._note(domain, None)
            self._report(action, Outcome.REFUSED)
            return
        domain.is_draining = True
        self._pool.cordon(domain)
        self._changed.add(domain)
        if held == 0:
            self._drained(domain)
            return
        assert action.deadline_seconds is not None
        deadline = self._pool.now + action.deadline_seconds
        self._pool.at(deadline, self._give_up_drain, (domain, order))

    def _give_up_drain(self, subject: tuple[SimulatedDomain, int]) -> None:
        domain, order = subject
        if self._orders[domain.index] == order and domain.is_draining:
            self._pool.take_back(domain, by_scale_in=True)
            self._drained(domain)
            # What was taken back waits; others may have a slot free.
            self._pool.lease_out()

    def _drained(self, domain: SimulatedDomain) -> None:
        if domain.is_draining:
            domain.is_draining = False
            self._changed.add(domain)
            self._results.append(ActionResult(ActionKind.DRAIN, domain.name, Outcome.DONE))
            self._wake()

    def _report(self, action: Action, outcome: Outcome) -> None:
        self._results.append(ActionResult(action.kind, action.domain, outcome))
        # What did not work is tried again at the next tick, not at once and for ever.
        if outcome is Outcome.DONE:
            self._wake()
