"""The loop: observe, decide, record, act, feed results back, wait for a moment or an event."""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from scaler import overrides
from scaler.alerts import NO_ALERTS
from scaler.decision import (
    ActionResult,
    Decision,
    Observation,
    Outcome,
    Settings,
    State,
    decide,
)
from scaler.executor import Executor
from scaler.feedback import feed
from scaler.lessons import begin, learned
from scaler.moments import Moments, Sessions, date, date_workers
from scaler.ports import (
    AlertBoard,
    DecisionLog,
    FleetControl,
    FleetError,
    Hypervisor,
    HypervisorError,
    LessonStore,
    MetricsSource,
    OverrideStore,
    SignalQuery,
)
from scaler.records import result_record
from scaler.shadows import Shadow, Shadows
from scaler.turns import Turn
from servicekit.clock import Clock
from servicekit.lifecycle import Stop

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Ports:
    """Everything outside."""

    metrics: MetricsSource
    hypervisor: Hypervisor
    fleet: FleetControl
    log: DecisionLog
    overrides: OverrideStore
    clock: Clock
    alerts: AlertBoard | None = None
    lessons: LessonStore | None = None


class Observer(Protocol):
    """Is shown every turn and every result: telemetry, status, the service's log."""

    def decided(self, decision: Decision, state: State, wall: float) -> None:
        """A turn was decided."""
        ...

    def resulted(self, result: ActionResult) -> None:
        """An action ended."""
        ...


class Reconciler:
    """Runs one pool."""

    def __init__(
        self,
        settings: Settings,
        queries: Sequence[SignalQuery],
        ports: Ports,
        observers: Sequence[Observer] = (),
        *,
        tick_seconds: float = 1.0,
        is_dry_run: bool = False,
        shadows: Shadows | None = None,
    ) -> None:
        self._settings = settings
        self._queries = tuple(queries)
        self._ports = ports
        self._observers = tuple(observers)
        self._tick_seconds = tick_seconds
        self._is_dry_run = is_dry_run
        self._state = self._recalled()
        self._moments: Moments = {}
        self._sessions: Sessions = {}
        self._results: list[ActionResult] = []
        self._wakeup = asyncio.Event()
        self._executor = Executor(ports.hypervisor, ports.fleet, ports.clock, self._report)
        self._shadows = shadows or Shadows()
        self._reconfigured: tuple[Settings, tuple[SignalQuery, ...], tuple[Shadow, ...]] | None
        self._reconfigured = None

    def _recalled(self) -> State:
        """The state of before the restart, as far as it cannot be seen anew."""
        lessons, clock = self._ports.lessons, self._ports.clock
        if lessons is None:
            return State()
        now = clock.monotonic()
        longest = self._settings.breaker.max_backoff_seconds
        return begin(lessons.recall(now - clock.wall(), now, longest))

    def wake(self) -> None:
        """Starts the next turn now. Only from the loop's thread."""
        self._wakeup.set()

    def reconfigure(
        self, settings: Settings, queries: Sequence[SignalQuery], shadows: Sequence[Shadow] = ()
    ) -> None:
        """Decides by these from the next turn on; what is remembered stays."""
        self._reconfigured = settings, tuple(queries), tuple(shadows)
        self.wake()

    async def run(self, stop: Stop) -> None:
        """Turns until the end is requested. What is under way is left to the next start."""
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_requested:
                started = self._ports.clock.monotonic()
                decision = await self.turn()
                await self._wait(decision, started, stopping)
        finally:
            stopping.cancel()
            await self._executor.stop()

    async def turn(self) -> Decision:
        """One turn: observe, decide, record, act."""
        if self._reconfigured is not None:
            # Not within a turn: signals are read for the policies that will look at them.
            self._settings, self._queries, shadows = self._reconfigured
            self._reconfigured = None
            self._shadows.replace(shadows)
        self._take_results()
        observation = await self._observe()
        # What is recorded as the turn's time is the time that its policies have seen.
        now, wall = self._ports.clock.monotonic(), round(self._ports.clock.wall(), 3)
        observation = replace(observation, wall=wall)
        before = self._state
        self._state, decision = decide(self._settings, before, observation, now)
        self._record(decision, observation, before, wall)
        if self._ports.alerts is not None:
            # Before the actions: a base taken anew after a crash would count what they have raised.
            self._ports.alerts.remember(decision.bases)
        if self._ports.lessons is not None:
            # Before the actions too: the next boot must not begin before it is known why not.
            self._ports.lessons.remember(learned(self._state), now - wall)
        for action in decision.plan.actions:
            if self._is_dry_run or decision.orders.is_dry_run:
                self._report(ActionResult(action.kind, action.domain, Outcome.SKIPPED))
                continue
            assert self._state.token is not None
            self._executor.launch(action, self._state.token)
        return decision

    async def evaluate(self) -> Decision:
        """One observation and its decision; nothing is done and nothing recorded."""
        observation = await self._observe()
        _, decision = decide(
            self._settings, self._state, observation, self._ports.clock.monotonic()
        )
        return decision

    def _report(self, result: ActionResult) -> None:
        self._results.append(result)
        # What did not work is tried again at the next tick, not at once and for ever.
        if result.outcome is Outcome.DONE:
            self._wakeup.set()

    def _take_results(self) -> None:
        # Before observing: what an action changed is then in what is observed.
        results, self._results = self._results, []
        now, wall = self._ports.clock.monotonic(), self._ports.clock.wall()
        for result in results:
            self._state = feed(self._settings, self._state, result, now)
            if result.outcome is not Outcome.SKIPPED:
                self._ports.log.append(result_record(result, wall))
            for observer in self._observers:
                observer.resulted(result)

    async def _observe(self) -> Observation:
        ports = self._ports
        domains, workers, readings, room = await asyncio.gather(
            _known(ports.hypervisor.list()),
            _known(ports.fleet.workers()),
            ports.metrics.read(self._queries),
            _known(ports.hypervisor.room()),
        )
        # The core knows only one clock; the wall's may jump, so moments become ages.
        now, wall = ports.clock.monotonic(), ports.clock.wall()
        given = ports.overrides.active()
        offset = now - wall
        errors = tuple(str(one) for one in (domains, workers) if isinstance(one, Exception))
        if not isinstance(domains, Exception):
            domains, self._moments = date(
                domains, self._moments, self._executor.written, offset, now
            )
        if not isinstance(workers, Exception):
            workers, self._sessions = date_workers(workers, self._sessions, offset, self._moments)
        return Observation(
            domains=None if isinstance(domains, Exception) else domains,
            workers=None if isinstance(workers, Exception) else workers,
            readings=readings,
            hold=overrides.pause(given),
            errors=errors,
            wall=wall,
            orders=overrides.orders(given),
            alerts=NO_ALERTS if ports.alerts is None else ports.alerts.sight(now),
            room=None if isinstance(room, Exception) else room,
        )

    def _record(
        self, decision: Decision, observation: Observation, before: State, wall: float
    ) -> None:
        for observer in self._observers:
            observer.decided(decision, self._state, wall)
        verdicts = self._shadows.judge(before, self._state, decision, observation)
        is_dry_run = self._is_dry_run or decision.orders.is_dry_run
        turn = Turn(decision, self._state, observation, self._settings, wall, verdicts, is_dry_run)
        self._ports.log.turned(turn)

    async def _wait(
        self, decision: Decision, started: float, stopping: "asyncio.Task[str]"
    ) -> None:
        now = self._ports.clock.monotonic()
        until = started + self._tick_seconds
        if decision.plan.wake_at is not None:
            until = min(until, decision.plan.wake_at)
        waking = asyncio.create_task(self._wakeup.wait())
        try:
            await asyncio.wait(
                [waking, stopping],
                timeout=max(0.0, until - now),
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            waking.cancel()
        self._wakeup.clear()


async def _known(call: Awaitable[Value]) -> Value | Exception:
    try:
        return await call
    except (HypervisorError, FleetError) as error:
        return error
