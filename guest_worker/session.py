"""The worker's side of the stream as a pure machine: events in, messages and orders out.

No sockets, no clocks, no threads: `now` is an argument in monotonic seconds, and every method
returns what is to be done, in order. The rules it keeps:

1. A result stays here until its ResultAck and is offered again after every reconnect, even when its
   lease was lost: the dispatcher judges it by its epoch and acknowledges in any case.
2. Work in progress plus credit granted never exceeds the limit of `room`, except while that
   shrinks: then credit and jobs that could not begin soon are given back.
3. Nothing but Hello is sent before Welcome.
4. A drain only stops the credit: the worker stays connected, since a cancelled drain must cost
   nothing. Leaving is for `leave` (SIGTERM) alone.
"""

from collections.abc import Iterable
from typing import NamedTuple

from guest_worker.room import Room
from guest_worker.values import (
    Assignment,
    Cancel,
    Credit,
    Drain,
    DrainCancelled,
    Draining,
    Exit,
    Goodbye,
    GoodbyeAck,
    Heartbeat,
    Hello,
    Jobs,
    Lease,
    LeasesRevoked,
    MessageDown,
    Outcome,
    Output,
    Reconnect,
    Refusal,
    Release,
    ResultAcks,
    Results,
    Start,
    Welcome,
)

# Seconds. A Welcome later than this means a peer that accepts connections and does not serve.
WELCOME_TIMEOUT = 10.0
# How long a leave waits for acknowledgements of finished results, and then for GoodbyeAck.
FLUSH_TIMEOUT = 3.0
GOODBYE_TIMEOUT = 3.0
# More results than this without an acknowledgement, and four times what may be in progress: the
# dispatcher cannot store; ask for no more.
MAX_UNACKNOWLEDGED = 1024
MIN_HEARTBEAT_INTERVAL = 0.05

OFFLINE, HELLO_SENT, OPEN = "offline", "hello sent", "open"
STAYING, FLUSHING, LEAVING, GONE = "staying", "flushing", "leaving", "gone"


class Identity(NamedTuple):
    """What Hello says about the worker and does not change while the process lives."""

    worker_id: str
    instance_id: str
    join_token: str
    slots: int
    software_version: str
    image_generation: str
    profiles: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Identity({self.worker_id!r}, slots={self.slots})"


class Session:
    """What the worker holds and owes. Survives the stream: a reconnect carries everything over."""

    def __init__(self, identity: Identity, prefetch: int | None) -> None:
        self._identity = identity
        self._room = Room(identity.slots, prefetch)
        self._stream = OFFLINE
        self._leave = STAYING
        self._leave_reason = ""
        # The lease of each job in progress, by the job's key: a job has one at a time.
        self._working: dict[int, Lease] = {}
        self._unacknowledged: dict[Lease, Outcome] = {}
        self._store_id = ""
        self._credit = 0
        self._draining = False
        self._heartbeat_interval = 1.0
        self._heartbeat_due = 0.0
        self._welcome_due = 0.0
        self._leave_due = 0.0

    # --- what others may look at ------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether Welcome has arrived on the present stream."""
        return self._stream == OPEN

    @property
    def is_leaving(self) -> bool:
        """Whether `leave` was called."""
        return self._leave != STAYING

    @property
    def credit(self) -> int:
        """Jobs the dispatcher may still send against what it was granted.

        Negative when jobs arrived that were sent before credit was taken back.
        """
        return self._credit

    @property
    def busy_slots(self) -> int:
        """Slots at work: a slot is idle only when no work waits for it."""
        return min(self._identity.slots, len(self._working))

    @property
    def in_progress(self) -> int:
        """Jobs started and not finished."""
        return len(self._working)

    @property
    def unacknowledged(self) -> tuple[Lease, ...]:
        """Leases whose result waits for its acknowledgement."""
        return tuple(self._unacknowledged)

    @property
    def held(self) -> tuple[Lease, ...]:
        """Leases with an unacknowledged result, then leases in progress."""
        return (*self._unacknowledged, *self._working.values())

    @property
    def wake_at(self) -> float | None:
        """When `tick` has something to do, in monotonic seconds; None: only an event can."""
        dues = []
        if self._stream == OPEN:
            dues.append(self._heartbeat_due)
        elif self._stream == HELLO_SENT:
            dues.append(self._welcome_due)
        if self._leave in (FLUSHING, LEAVING):
            dues.append(self._leave_due)
        return min(dues, default=None)

    # --- the stream -------------------------------------------------------------------------------

    def connected(self, now: float, uptime: float | None) -> list[Output]:
        """Begin a stream: the first message is Hello with everything still held."""
        self._stream = HELLO_SENT
        self._welcome_due = now + WELCOME_TIMEOUT
        self._credit = 0
        identity = self._identity
        return [Hello(*identity[:6], self.held, uptime, identity.profiles, self._store_id)]

    def disconnected(self) -> list[Output]:
        """The stream ended, however. Work goes on; a leave with nothing left to say is over."""
        self._stream = OFFLINE
        self._credit = 0
        self._draining = False
        if self._leave == LEAVING or (self._leave == FLUSHING and not self._unacknowledged):
            return self._exit(clean=False)
        return []

    def receive(self, message: MessageDown, now: float) -> list[Output]:
        """Take one message from the dispatcher."""
        if isinstance(message, Welcome):
            return self._welcomed(message, now)
        if self._stream != OPEN:
            return []
        if isinstance(message, Jobs):
            return self._assigned(message.assignments)
        if isinstance(message, ResultAcks):
            return self._acknowledged(message.leases, now)
        if isinstance(message, LeasesRevoked):
            return [*self._drop(message.leases), *self._top_up()]
        if isinstance(message, Drain):
            self._draining = True
            return []
        if isinstance(message, DrainCancelled):
            self._draining = False
            return self._top_up()
        if isinstance(message, GoodbyeAck) and self._leave == LEAVING:
            return self._exit(clean=True)
        return []

    def tick(self, now: float) -> list[Output]:
        """Do what is due by `now`: heartbeat, and the deadlines of Welcome and of a leave."""
        outputs: list[Output] = []
        if self._stream == OPEN and now >= self._heartbeat_due:
            outputs.append(Heartbeat(self.held, self.busy_slots))
            # From now, not from when it was due: after a pause there is nothing to catch up.
            self._heartbeat_due = now + self._heartbeat_interval
        if self._stream == HELLO_SENT and now >= self._welcome_due:
            self._welcome_due = now + WELCOME_TIMEOUT
            outputs.append(Reconnect(f"no Welcome within {WELCOME_TIMEOUT:g} s"))
        if self._leave == FLUSHING and now >= self._leave_due:
            outputs.extend(self._say_goodbye(now))
        elif self._leave == LEAVING and now >= self._leave_due:
            outputs.extend(self._exit(clean=False))
        return outputs

    # --- the work ---------------------------------------------------------------------------------

    def finished(self, outcomes: Iterable[Outcome]) -> list[Output]:
        """Hashing processes are done with these. Outcomes nobody waits for any more are dropped."""
        wanted: list[Outcome] = []
        for outcome in outcomes:
            lease = outcome.lease
            if self._working.get(lease.key) == lease:
                self._room.measured(outcome)
                self._end(lease)
                self._unacknowledged[lease] = outcome
                wanted.append(outcome)
        outputs: list[Output] = []
        if wanted and self._stream == OPEN:
            outputs.append(Results(tuple(wanted)))
        return [*outputs, *self._top_up()]

    def leave(self, reason: str, now: float) -> list[Output]:
        """End in order: give unfinished work back, wait for acknowledgements, say Goodbye."""
        if self._leave != STAYING:
            return []
        self._leave_reason = reason
        self._leave = FLUSHING
        self._leave_due = now + FLUSH_TIMEOUT
        outputs = self._drop(tuple(self._working.values()))
        if self._stream == OPEN:
            outputs.insert(0, Draining(reason))
        if not self._unacknowledged and self._stream != HELLO_SENT:
            outputs.extend(self._say_goodbye(now))
        return outputs

    # --- inside -----------------------------------------------------------------------------------

    def _welcomed(self, welcome: Welcome, now: float) -> list[Output]:
        if self._stream != HELLO_SENT:
            return []
        self._stream = OPEN
        self._draining = False
        self._heartbeat_interval = max(MIN_HEARTBEAT_INTERVAL, welcome.heartbeat_interval)
        self._heartbeat_due = now + self._heartbeat_interval
        if self._store_id not in ("", welcome.store_id):
            # Another store: nobody there needs these, and its keys mean other jobs.
            self._unacknowledged.clear()
        self._store_id = welcome.store_id
        kept = set(welcome.kept)
        working = self._working.values()
        outputs = self._drop([lease for lease in working if lease not in kept])
        if self._unacknowledged:
            outputs.append(Results(tuple(self._unacknowledged.values())))
        if self._leave == FLUSHING:
            outputs.append(Draining(self._leave_reason))
            if not self._unacknowledged:
                outputs.extend(self._say_goodbye(now))
        return [*outputs, *self._top_up()]

    def _assigned(self, assignments: tuple[Assignment, ...]) -> list[Output]:
        # The bound is for a dispatcher that ignores credit: it must not earn more by that.
        self._credit = max(-self._room.most_overrun, self._credit - len(assignments))
        if self._leave != STAYING:
            return []  # Goodbye gives them back
        starts: list[Assignment] = []
        stale: list[Lease] = []
        known: list[Outcome] = []
        released: list[Lease] = []
        for assignment in assignments:
            lease = assignment.lease
            if lease in self._unacknowledged:
                known.append(self._unacknowledged[lease])
                continue
            mine = self._working.get(lease.key)
            if mine is not None:
                if mine.epoch >= lease.epoch:
                    continue
                stale.append(mine)
                self._end(mine)
            if assignment.profile not in self._identity.profiles:
                known.append(self._refuse(assignment))
            elif self._room.has_place(assignment, len(self._working)):
                self._working[lease.key] = lease
                self._room.begun(assignment)
                starts.append(assignment)
            else:
                released.append(lease)
        outputs: list[Output] = []
        if stale:
            outputs.append(Cancel(tuple(stale)))
        surplus = self._room.surplus(len(self._working), self._credit)
        if released or surplus:
            self._credit -= surplus
            outputs.append(Release(tuple(released), surplus))
        if starts:
            outputs.append(Start(tuple(starts)))
        if known:
            outputs.append(Results(tuple(known)))
        return [*outputs, *self._top_up()]

    def _acknowledged(self, leases: tuple[Lease, ...], now: float) -> list[Output]:
        for lease in leases:
            self._unacknowledged.pop(lease, None)
        if self._leave == FLUSHING and not self._unacknowledged:
            return self._say_goodbye(now)
        return self._top_up()

    def _drop(self, leases: Iterable[Lease]) -> list[Output]:
        """Forget unfinished work. Results are not touched: only an acknowledgement ends them."""
        dropped = tuple([lease for lease in leases if self._end(lease)])
        return [Cancel(dropped)] if dropped else []

    def _end(self, lease: Lease) -> bool:
        """Ends the work under a lease; whether there was any."""
        if self._working.get(lease.key) != lease:
            return False
        del self._working[lease.key]
        self._room.ended(lease.key)
        return True

    def _refuse(self, assignment: Assignment) -> Outcome:
        refusal = Refusal(False, f"profile {assignment.profile!r} is not computed by this worker")
        outcome = Outcome(assignment.lease, refusal, 0.0)
        self._unacknowledged[assignment.lease] = outcome
        return outcome

    def _top_up(self) -> list[Output]:
        if self._stream != OPEN or self._draining or self._leave != STAYING:
            return []
        limit, slots = self._room.limit, self._identity.slots
        if len(self._unacknowledged) >= max(MAX_UNACKNOWLEDGED, 4 * limit):
            return []
        room = limit - len(self._working) - self._credit
        # Half of what may wait, so that much of it means few and large messages; or all there is
        # when every slot may be about to run dry.
        if room <= 0 or (room < (limit - slots) // 2 and limit - room >= slots):
            return []
        self._credit += room
        return [Credit(room)]

    def _say_goodbye(self, now: float) -> list[Output]:
        if self._stream != OPEN:
            return self._exit(clean=False)
        self._leave = LEAVING
        self._leave_due = now + GOODBYE_TIMEOUT
        return [Goodbye(self._leave_reason)]

    def _exit(self, *, clean: bool) -> list[Output]:
        self._leave = GONE
        return [Exit(clean)]
