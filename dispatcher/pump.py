"""The loop around the ledger: events in, effects out. One event loop, no locks.

Every event mutates the ledger and applies its effects before it returns, so nobody ever sees a
half-done step. Leasing is deferred to the end of the loop's turn: all jobs and credits that arrived
in one turn go out together, at no delay when there is one.
"""

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, ParamSpec, TypeVar

from dispatcher import effects, hashing
from dispatcher.followers import Followers, Following, OnFinal
from dispatcher.jobs import (
    Attempt,
    Cancelled,
    Done,
    Failed,
    Final,
    Job,
    JobKey,
    JobState,
    Lease,
    NewJob,
    Outcome,
    Refused,
    Result,
)
from dispatcher.ledger import Ledger
from dispatcher.ports import Assignment, JobStore, StoreUnavailableError, WorkerLine
from dispatcher.recent_results import RecentResults
from dispatcher.sessions import Hello, SessionKey
from dispatcher.store_health import StoreHealth
from dispatcher.telemetry import Telemetry
from servicekit import logs
from servicekit.clock import Clock

P = ParamSpec("P")
T = TypeVar("T")

_MAX_KEPT_JOBS = 50_000
_STORE_RETRY_SECONDS = 0.5
_LATE_SECONDS = 0.5
_HEARING_SECONDS = 2.0


class Pump:
    """Owns the ledger. See `ports.WorkDesk` for what workers' streams call."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        store: JobStore,
        clock: Clock,
        telemetry: Telemetry,
        join_key: bytes,
        cost: hashing.Cost,
        health: StoreHealth | None = None,
    ) -> None:
        self.ledger = ledger
        self._store = store
        self._clock = clock
        self._telemetry = telemetry
        self.health = StoreHealth(telemetry) if health is None else health
        self._join_key = join_key
        self._cost = cost
        self._log = logs.get()
        self._lines: dict[SessionKey, WorkerLine] = {}
        self._last_session = 0
        self._jobs: dict[JobKey, NewJob] = {}
        self._unsettled: list[Final] = []
        self._attempts: list[tuple[JobKey, Attempt]] = []
        self._work_queued = asyncio.Event()
        self._wake = asyncio.Event()
        self._sleeps_until = math.inf
        self._is_leasing = False
        self._followers = Followers()
        self._drains: dict[str, list[asyncio.Future[tuple[effects.DrainOutcome, int]]]] = {}
        self._connected: dict[str, bool] = {}
        self.is_stopping = False
        self.recent = RecentResults()

    async def run(self) -> None:
        """Keeps time and stores what settles, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_time())
            tasks.create_task(self._keep_storing())

    # -- clients ---------------------------------------------------------------------------------

    def submitted(self, first: JobKey, jobs: Sequence[NewJob], at: float) -> None:
        """A batch is on disk."""
        self.ledger.submit(first, [job.payload.profile for job in jobs], at)
        if len(self._jobs) < _MAX_KEPT_JOBS:
            self._jobs.update(zip(map(JobKey, range(first, first + len(jobs))), jobs, strict=True))
        self._lease_soon()

    def cancel(self, keys: Sequence[JobKey]) -> None:
        """Withdraws what is unfinished."""
        self._apply(self.ledger.cancel(keys))

    def follow(self, on_final: OnFinal) -> Following:
        """See `ports.ClientDesk.follow`."""
        return Following(self._followers, on_final)

    # -- fleet -----------------------------------------------------------------------------------

    def drain(
        self, worker_id: str, reason: str, seconds: float
    ) -> "asyncio.Future[tuple[effects.DrainOutcome, int]]":
        """Starts or joins a drain; the future tells how it ended."""
        ended: asyncio.Future[tuple[effects.DrainOutcome, int]]
        ended = asyncio.get_running_loop().create_future()
        self._drains.setdefault(worker_id, []).append(ended)
        self._log.info("worker.drain_asked", worker=worker_id, reason=reason, seconds=seconds)
        self._apply(self.ledger.drain(worker_id, reason, self._clock.monotonic() + seconds))
        return ended

    def uncordon(self, worker_id: str) -> None:
        """Lifts a cordon and cancels a drain."""
        self._apply(self.ledger.uncordon(worker_id))
        self._lease_soon()

    # -- workers ---------------------------------------------------------------------------------

    def hello(
        self, hello: Hello, join_token: str, line: WorkerLine, *, is_certified: bool = False
    ) -> SessionKey | None:
        """See `ports.WorkDesk.hello`."""
        is_token_needed = bool(join_token) or not is_certified
        if is_token_needed and not hashing.is_join_token(
            self._join_key, hello.worker_id, join_token
        ):
            self._telemetry.hello_refused()
            return None
        self._last_session += 1
        key = SessionKey(self._last_session)
        self._lines[key] = line
        self._log.info(
            "worker.connected",
            worker=hello.worker_id,
            session=key,
            instance=hello.instance_id,
            slots=hello.slots,
            held=len(hello.held),
            boot_seconds=hello.boot_seconds,
            version=hello.software_version,
        )
        self._apply(self.ledger.hello(key, hello, self._clock.monotonic()))
        self._note_connected(hello.worker_id, True)
        self._lease_soon()
        return key

    def credit(self, session: SessionKey, jobs: int) -> None:
        """See `ports.WorkDesk.credit`."""
        self.ledger.credit(session, jobs, self._clock.monotonic())
        self._lease_soon()

    def release(self, session: SessionKey, leases: Sequence[Lease], credit: int) -> None:
        """See `ports.WorkDesk.release`."""
        self._apply(self.ledger.release(session, leases, credit, self._clock.monotonic()))

    def may_be_silent(self, worker_id: str) -> bool:
        """See `ports.WorkDesk.may_be_silent`."""
        return self.ledger.is_cordoned(worker_id)

    def heartbeat(self, session: SessionKey, held: Sequence[Lease], busy_slots: int) -> None:
        """See `ports.WorkDesk.heartbeat`."""
        self._apply(self.ledger.renew(session, held, busy_slots, self._clock.monotonic()))

    async def outcomes(self, session: SessionKey, outcomes: Sequence[Outcome]) -> None:
        """See `ports.WorkDesk.outcomes`."""
        await self._load([outcome.lease.key for outcome in outcomes])
        checked = [self._checked(outcome) for outcome in outcomes]
        self._apply(self.ledger.complete(session, checked, self._clock.monotonic()))
        self._lease_soon()

    def leaving(self, session: SessionKey, reason: str) -> None:
        """See `ports.WorkDesk.leaving`."""
        self._log.info("worker.leaving", session=session, reason=reason)
        self.ledger.leaving(session, self._clock.monotonic())

    def goodbye(self, session: SessionKey, reason: str) -> None:
        """See `ports.WorkDesk.goodbye`."""
        self._log.info("worker.left", session=session, reason=reason)
        self._apply(self.ledger.goodbye(session))
        self._lease_soon()

    def parted(self, session: SessionKey) -> None:
        """See `ports.WorkDesk.parted`."""
        # While stopping, workers are expected back: what they hold must not look lost.
        if self._lines.pop(session, None) is not None and not self.is_stopping:
            self._apply(self.ledger.parted(session, self._clock.monotonic()))
            self._lease_soon()

    async def assignments(self, session: SessionKey, leases: Sequence[Lease]) -> list[Assignment]:
        """See `ports.WorkDesk.assignments`."""
        await self._load([lease.key for lease in leases])
        found = [
            Assignment(lease, self._jobs[lease.key].payload)
            for lease in leases
            if self.ledger.holds(session, lease) and lease.key in self._jobs
        ]
        if len(found) < len(leases):
            self.ledger.unsent(session, len(leases) - len(found))
            self._lease_soon()
        return found

    async def _load(self, keys: Iterable[JobKey]) -> None:
        """Reads what is not in memory: jobs beyond the kept ones, or from before a restart."""
        ledger = self.ledger
        missing = [key for key in keys if key not in self._jobs and ledger.is_unfinished(key)]
        if missing:
            for key, job in (await self._store.unfinished(missing)).items():
                if ledger.is_unfinished(key):
                    self._jobs[key] = job

    # -- effects ---------------------------------------------------------------------------------

    def _apply(self, found: Iterable[effects.Effect]) -> None:
        for effect in found:
            match effect:
                case effects.Grant():
                    self._grant(effect)
                case effects.Settle(finals=finals):
                    self._unsettled += finals
                    self._work_queued.set()
                case effects.CountAttempt():
                    self._count_attempt(effect)
                case effects.Requeued():
                    self._telemetry.requeued(effect.reason, len(effect.keys))
                    self._log.info(
                        "lease.requeued",
                        worker=effect.worker_id,
                        jobs=len(effect.keys),
                        reason=effect.reason,
                    )
                    self._lease_soon()
                case effects.DrainEnded():
                    self._drain_ended(effect)
                case effects.SessionClosed(worker_id=worker_id, session=session):
                    self._log.info("worker.disconnected", worker=worker_id, session=session)
                    self._note_connected(worker_id, False)
                case _:
                    self._tell(effect)
        due = self.ledger.next_deadline()
        if due is not None and due < self._sleeps_until:
            self._wake.set()

    def _tell(self, effect: effects.Effect) -> None:
        """Effects that are messages to one worker; without a line there is nobody to tell."""
        line = self._lines.get(getattr(effect, "session", SessionKey(0)))
        if line is None:
            return
        match effect:
            case effects.Welcome(kept=kept, is_cordoned=is_cordoned):
                line.welcome(kept, is_cordoned)
            case effects.Acknowledge(leases=leases):
                line.acknowledge(leases)
            case effects.Revoke(leases=leases):
                line.revoke(leases)
            case effects.AskDrain(deadline=deadline):
                line.drain(max(0.0, deadline - self._clock.monotonic()))
            case effects.LiftDrain():
                line.lift_drain()
            case effects.ConfirmGoodbye():
                line.confirm_goodbye()
            case effects.EndSession(session=session, reason=reason):
                self._log.warning("session.ended", session=session, reason=reason)
                del self._lines[session]
                line.end(reason)

    def _grant(self, grant: effects.Grant) -> None:
        now = self._clock.wall()
        for accepted_at, jobs in grant.first_accepted:
            self._telemetry.waited(max(0.0, now - accepted_at), jobs)
        line = self._lines.get(grant.session)
        if line is not None:
            line.assign(grant.leases)

    def _count_attempt(self, effect: effects.CountAttempt) -> None:
        self._telemetry.attempted(effect.cause)
        attempt = Attempt(
            *(effect.attempts, effect.cause, effect.worker_id, self._clock.wall()),
            is_certain=effect.is_certain,
            message=effect.message,
        )
        self._attempts.append((effect.key, attempt))
        self._work_queued.set()

    def _drain_ended(self, effect: effects.DrainEnded) -> None:
        self._log.info(
            "worker.drained",
            worker=effect.worker_id,
            outcome=effect.outcome,
            taken_back=effect.taken_back,
        )
        for ended in self._drains.pop(effect.worker_id, []):
            if not ended.done():
                ended.set_result((effect.outcome, effect.taken_back))

    def _checked(self, outcome: Outcome) -> Outcome:
        """A result that cannot be one counts as a refusal: it must not reach the store."""
        if isinstance(outcome, Refused):
            return outcome
        job = self._jobs.get(outcome.lease.key)
        if job is None or hashing.is_result_of(job.payload, outcome.hash, self._cost):
            return outcome
        self._telemetry.result_malformed()
        self._log.warning("result.refused", job_key=outcome.lease.key, reason="not its hash")
        message = "the worker sent a wrong hash"
        return Refused(outcome.lease, is_retryable=True, message=message, is_wrong=True)

    # -- deferred work ---------------------------------------------------------------------------

    def _lease_soon(self) -> None:
        if not self._is_leasing:
            self._is_leasing = True
            asyncio.get_running_loop().call_soon(self._lease)

    def _lease(self) -> None:
        self._is_leasing = False
        if not self.health.is_leasing:
            return
        self._apply(self.ledger.lease(self._clock.monotonic()))

    async def _keep_time(self) -> None:
        while True:
            self._wake.clear()
            due = self.ledger.next_deadline()
            self._sleeps_until = math.inf if due is None else due
            if due is None:
                await self._wake.wait()
                continue
            wait = due - self._clock.monotonic()
            if wait > 0:
                # Not wait_for: on Python 3.11 it forgets a cancellation that meets the event.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._wake.wait()
                if self._clock.monotonic() < due:
                    continue
            late = self._clock.monotonic() - due
            if late > _LATE_SECONDS:
                # This process stood still, not the workers: first hear what they have said since.
                self._log.warning("clock.jumped", late_seconds=round(late, 3))
                await self._clock.sleep(_HEARING_SECONDS)
            self._apply(self.ledger.expire(self._clock.monotonic()))
            self._lease_soon()

    async def _keep_storing(self) -> None:
        """Stores what settles, in groups; keeps trying while the store cannot write."""
        while True:
            await self._work_queued.wait()
            self._work_queued.clear()
            finals, self._unsettled = self._unsettled, []
            attempts, self._attempts = self._attempts, []
            connected, self._connected = self._connected, {}
            writes: list[Awaitable[Any]] = [
                self._stored(self._store.set_connected, worker_id, is_connected)
                for worker_id, is_connected in connected.items()
            ]
            if attempts:
                writes.append(self._stored(self._store.count_attempts, attempts))
            at = self._clock.wall()
            if finals:
                writes.append(self._stored(self._store.settle, finals, at))
            # Queued together, they share one transaction. A lone one needs no task of its own.
            found = await asyncio.gather(*writes) if len(writes) > 1 else [await writes[0]]
            if finals:
                await self._settled(finals, at, found[-1])

    async def _stored(
        self, write: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        while True:
            try:
                kept = await write(*args, **kwargs)
                if self.health.written():
                    self._lease_soon()
                return kept
            except StoreUnavailableError as error:
                self.health.failed(error)
                await self._clock.sleep(_STORE_RETRY_SECONDS)

    async def _settled(self, finals: Sequence[Final], at: float, cursor: int | None) -> None:
        followed = [final for final in finals if self._followers.is_followed(final.key)]
        told = [self._finished(final, at) for final in followed]
        self._keep_recent(finals, at, cursor)
        states = [(final.key, _state(final)) for final in finals]
        self._apply(self.ledger.settled(states))
        for final in finals:
            self._jobs.pop(final.key, None)
            if isinstance(final, Failed):
                self._telemetry.gave_up(final.failure.reason)
        self._telemetry.served([each.service_seconds for each in finals if isinstance(each, Done)])
        self.recent.tell()
        unknown = [final.key for final, job in zip(followed, told, strict=True) if job is None]
        read = await self._read(unknown) if unknown else []
        self._followers.tell([job for job in (*told, *read) if job is not None])

    def _keep_recent(self, finals: Sequence[Final], at: float, cursor: int | None) -> None:
        if not self.recent.is_followed:
            return
        results = [final for final in finals if not isinstance(final, Cancelled)]
        jobs = [job for final in results if (job := self._finished(final, at)) is not None]
        if cursor is None or len(jobs) < len(results):
            self.recent.forget()
        elif jobs:
            self.recent.add(cursor, jobs)

    def _finished(self, final: Final, at: float) -> Job | None:
        """The job as the store has it now, put together from memory; None when that is not all."""
        job = self._jobs.get(final.key)
        accepted_at = self.ledger.accepted_at(final.key)
        if job is None or accepted_at is None or not isinstance(final, Done):
            return None
        if self.ledger.attempts(final.key):
            return None  # its history is in the store only
        return Job(
            final.key,
            JobState.DONE,
            job.payload.profile,
            accepted_at,
            0,
            job.reference,
            Result(final.hash, at, final.worker_id, final.service_seconds),
        )

    async def _read(self, keys: Sequence[JobKey]) -> list[Job | None]:
        while True:
            try:
                return await self._store.jobs(keys)
            except StoreUnavailableError as error:
                self._log.error("store.unavailable", reason=str(error))
                await self._clock.sleep(_STORE_RETRY_SECONDS)

    def _note_connected(self, worker_id: str, is_connected: bool) -> None:
        self._connected[worker_id] = is_connected
        self._work_queued.set()


def _state(final: Final) -> JobState:
    if isinstance(final, Done):
        return JobState.DONE
    return JobState.CANCELLED if isinstance(final, Cancelled) else JobState.FAILED
