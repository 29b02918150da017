"""What the scaler remembers of each domain from turn to turn, and the state it derives from that.

With no memory the same observation leads to the same states, only silence is timed from the restart
on. What must survive one is how often boots have failed (see `lessons`).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress, count, filterfalse
from operator import attrgetter, is_not
from typing import NamedTuple

from scaler.incidents import Incident, incident_of
from scaler.pool import (
    POWER_ONS,
    ActionKind,
    DomainRecord,
    DomainState,
    DomainView,
    Lifecycle,
    OperationKind,
    PoolView,
    WorkerRecord,
    WorkerState,
)

_CONNECTED_BEFORE_START_SECONDS = 2.0
"""The start is recorded by one clock and the connection by another; so far may they differ."""

START_DOUBT_SECONDS = 120.0
"""A start call that got no answer may be carried out so much later: libvirt waits for its locks."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Deadlines of the steps in a domain's life, in seconds."""

    boot_deadline_seconds: float = 60.0
    """From the start to the worker's Hello."""
    silence_deadline_seconds: float = 60.0
    """A running domain whose worker stays away for longer has failed."""
    worker_return_seconds: float = 15.0
    """Workers need so long to come back after the dispatcher was away."""
    drain_deadline_seconds: float = 7200.0
    shutdown_resend_seconds: float = 10.0
    shutdown_deadline_seconds: float = 30.0
    """From the first shutdown request to cutting the power."""
    wake_deadline_seconds: float = 15.0
    """From the wake of a standby domain to its worker's Hello."""


@dataclass(frozen=True, slots=True)
class Track:
    """Memory of one domain."""

    state: DomainState = DomainState.OFF
    silent_since: float | None = None
    shutdown_sent_at: float | None = None
    failures: int = 0
    in_flight: ActionKind | None = None
    is_start_answered: bool = False
    """The last start call has succeeded or failed, or its domain was seen active since."""
    is_failure_counted: bool = False
    """The boot or wake that it is in, or was in last, is among the failures."""
    begun_at: float | None = None
    """When its last boot or wake was begun."""
    late_start_until: float | None = None
    """Until then a start call that got no answer may still be carried out, whatever was seen."""
    unanswered_wakes: int = 0
    """Calls to wake it that got no answer, in a row."""


BOOTS = frozenset({ActionKind.START, ActionKind.PREPARE, ActionKind.RESTORE})
"""Actions whose call powers a domain on."""

BEGINNINGS = BOOTS | {ActionKind.RESUME}
"""Actions after which a worker is awaited."""


class _Awaited(NamedTuple):
    """A domain whose worker is expected."""

    state: DomainState
    deadline_seconds: Callable[[Timing], float]


def _boot_deadline(timing: Timing) -> float:
    return timing.boot_deadline_seconds


def _wake_deadline(timing: Timing) -> float:
    return timing.wake_deadline_seconds


_AWAITED = {
    OperationKind.START: _Awaited(DomainState.BOOTING, _boot_deadline),
    OperationKind.PREPARE: _Awaited(DomainState.PREPARING, _boot_deadline),
    OperationKind.RESUME: _Awaited(DomainState.WAKING, _wake_deadline),
    OperationKind.RESTORE: _Awaited(DomainState.WAKING, _wake_deadline),
}


@dataclass(frozen=True, slots=True)
class Fleet:
    """The dispatcher's view. While it is unknown, the last known workers stand in."""

    workers: Mapping[str, WorkerRecord]
    known_since: float | None = None
    """None: not known now."""


@dataclass(frozen=True, slots=True)
class Past:
    """What the last turn saw, in the order of the records; it only saves time.

    A domain at rest, of which record, worker and track are object for object what they were, has
    the view it had. Finding the others is left to loops of the interpreter, not of Python.
    """

    records: tuple[DomainRecord, ...]
    names: tuple[str, ...]
    workers: tuple[WorkerRecord | None, ...]
    tracks: Mapping[str, Track]
    views: tuple[DomainView, ...]
    restless: frozenset[int]
    """Places of domains that the passing of time may change."""
    newest_token: int
    is_sorted: bool
    """True when the records come in the order of their names."""


_AT_REST = (DomainState.OFF, DomainState.READY, DomainState.QUARANTINED_OFF)
"""States that no passing of time changes, while no operation is under way."""


@dataclass(frozen=True, slots=True)
class Tracked:
    """One turn's result. `past` only saves time: without it the result is the same."""

    tracks: Mapping[str, Track]
    pool: PoolView
    incidents: tuple[tuple[str, Incident], ...]
    newest_token: int = 0
    """The highest token in the metadata of any domain but another scaler's."""
    has_moved: bool = True
    """False when every domain is in the state of the turn before."""
    past: Past | None = field(default=None, compare=False, repr=False)


def track(
    tracks: Mapping[str, Track],
    records: tuple[DomainRecord, ...],
    fleet: Fleet,
    timing: Timing,
    now: float,
    last: Tracked | None = None,
    remembered: Mapping[str, Track] | None = None,
) -> Tracked:
    """Brings memory and pool up to date with what was observed at `now`.

    `last` is the result of the turn before; most domains are still what they were then.
    `remembered` is of an earlier life, for domains that are seen for the first time in this one.
    """
    past, renewed = _past(None if last is None else last.past, records)
    names = tuple(map(attrgetter("name"), records)) if past is None else past.names
    workers = tuple(map(fleet.workers.get, names))
    kept = dict(tracks)
    views: list[DomainView] = [] if past is None else list(past.views)
    restless: set[int] = set() if past is None else set(past.restless)
    incidents: list[tuple[str, Incident]] = []
    has_moved = len(tracks) != len(records)
    unsure = range(len(records)) if past is None else _unsure(past, renewed, workers, tracks)
    for place in unsure:
        record, name, sent = records[place], names[place], workers[place]
        known = tracks.get(name)
        before = known or _first_sight(record, (remembered or {}).get(name, Track()))
        worker = _session(sent, record, timing, now)
        after = _follow(before, record, worker, fleet, timing, now)
        if known is not None:
            incident = incident_of(before.state, after.state, record)
            if incident in _FAILED and before.is_failure_counted:
                incident = None
            if incident is not None:
                incidents.append((name, incident))
                after = _count_boot(after, incident)
        view = _view(record, worker, after, now)
        # Without a past every place comes in turn: then this appends.
        views[place : place + 1] = [view]
        kept[name] = after
        if _is_at_rest(view):
            restless.discard(place)
        else:
            restless.add(place)
        has_moved = has_moved or known is None or after.state is not before.state
    if len(kept) != len(records):
        for name in sorted(kept.keys() - set(names)):
            del kept[name]
            incidents.append((name, Incident.VANISHED))
    if last is not None and past is not None and past.is_sorted:
        pool = last.pool.changed(views, unsure)
    else:
        pool = PoolView.of(views)
    newest = past.newest_token if past is not None and not renewed else _newest_token(records)
    is_sorted = list(names) == sorted(names) if past is None else past.is_sorted
    seen = tuple(views)
    past = Past(records, names, workers, kept, seen, frozenset(restless), newest, is_sorted)
    return Tracked(kept, pool, tuple(incidents), newest, has_moved, past)


def _is_at_rest(view: DomainView) -> bool:
    is_idle = view.in_flight is None and view.operation is None and not view.is_start_doubtful
    return is_idle and view.state in _AT_REST


def _newest_token(records: Sequence[DomainRecord]) -> int:
    # Another scaler's domains are in quarantine; its tokens are of its own counting.
    ours = filterfalse(attrgetter("foreign_scaler"), records)
    return max(map(attrgetter("token"), ours), default=0)


def _past(
    past: Past | None, records: tuple[DomainRecord, ...]
) -> tuple[Past | None, Sequence[int]]:
    """The past, if it is of the same domains, and the places of records that are not the same."""
    if past is None or len(past.records) != len(records):
        return None, ()
    renewed = _differing(past.records, records)
    if any(records[place].name != past.names[place] for place in renewed):
        return None, ()
    return past, [place for place in renewed if records[place] != past.records[place]]


def _differing(before: Iterable[object], after: Iterable[object]) -> list[int]:
    """Places where two columns do not hold the same object."""
    return list(compress(count(), map(is_not, before, after)))


def _first_sight(record: DomainRecord, remembered: Track) -> Track:
    """The memory of a domain that was not there, or not looked at, before."""
    operation = record.operation
    begun = operation is not None and operation.kind in _AWAITED
    begun_at = operation.since if operation is not None and begun else None
    return replace(remembered, begun_at=begun_at)


def _unsure(
    past: Past,
    renewed: Sequence[int],
    workers: tuple[WorkerRecord | None, ...],
    tracks: Mapping[str, Track],
) -> list[int]:
    """Places of domains that may be something else than in the last turn."""
    unsure = past.restless.union(renewed)
    known = past.workers
    unsure |= {place for place in _differing(known, workers) if known[place] != workers[place]}
    if tracks is not past.tracks:
        before, after = map(past.tracks.get, past.names), map(tracks.get, past.names)
        unsure |= frozenset(_differing(before, after))
    return sorted(unsure)


def _view(
    record: DomainRecord, worker: WorkerRecord | None, memory: Track, now: float
) -> DomainView:
    operation = record.operation
    is_start_doubtful = (
        memory.state is DomainState.OFF
        and operation is not None
        and operation.kind in POWER_ONS
        and not memory.is_start_answered
        and now - operation.since < START_DOUBT_SECONDS
    ) or (
        memory.state is DomainState.OFF
        and memory.late_start_until is not None
        and now < memory.late_start_until
    )
    return DomainView(
        name=record.name,
        state=memory.state,
        lifecycle=record.lifecycle,
        cause=record.cause,
        operation=record.operation,
        worker=worker,
        in_flight=memory.in_flight,
        failures=memory.failures,
        shutdown_sent_at=memory.shutdown_sent_at,
        silent_since=memory.silent_since,
        generation=record.generation,
        defined_generation=record.defined_generation,
        kept_generation=record.kept_generation,
        is_start_doubtful=is_start_doubtful,
        memory_bytes=record.memory_bytes,
        foreign_scaler=record.foreign_scaler,
        is_unclaimed=record.is_unclaimed,
    )


"""After these the worker has to connect anew; a guest that is resumed may find its session open."""


def _session(
    worker: WorkerRecord | None, record: DomainRecord, timing: Timing, now: float
) -> WorkerRecord | None:
    """The worker, unless its session is a left-over from before the domain's start or wake."""
    operation = record.operation
    if worker is not None and operation is not None and operation.kind is OperationKind.RESUME:
        silent = worker.silent_seconds
        # The dispatcher keeps the session of a frozen guest: what counts is that it was heard of.
        return None if silent is not None and now - silent < operation.since else worker
    if worker is None or operation is None or operation.kind not in POWER_ONS:
        return worker
    if now - operation.since >= timing.boot_deadline_seconds:
        # The dispatcher ends a silent session much sooner: this one lives, the start is misdated.
        return worker
    oldest = operation.since - _CONNECTED_BEFORE_START_SECONDS
    if worker.connected_since is None or worker.connected_since < oldest:
        return None
    return worker


def _is_connected(worker: WorkerRecord | None) -> bool:
    return worker is not None and worker.state is not WorkerState.DISCONNECTED


def _follow(
    before: Track,
    record: DomainRecord,
    worker: WorkerRecord | None,
    fleet: Fleet,
    timing: Timing,
    now: float,
) -> Track:
    silent_since: float | None = None
    if record.lifecycle is Lifecycle.RUNNING and fleet.known_since is not None:
        silent_since = None if _is_connected(worker) else (before.silent_since or now)
    after = before
    if silent_since != before.silent_since:
        after = replace(before, silent_since=silent_since)
    state = _state(after, record, worker, fleet, timing, now)
    # Under way counts too: a turn for another domain may come before the metadata say so.
    is_sent = before.in_flight in (ActionKind.SHUTDOWN, ActionKind.DESTROY)
    is_going = is_sent or state is DomainState.SHUTTING_DOWN
    sent_at = before.shutdown_sent_at if is_going else None
    answered = before.is_start_answered or record.lifecycle is not Lifecycle.OFF
    is_same = state is after.state and sent_at == after.shutdown_sent_at
    if is_same and answered == after.is_start_answered:
        return after
    return replace(after, state=state, shutdown_sent_at=sent_at, is_start_answered=answered)


def _state(
    memory: Track,
    record: DomainRecord,
    worker: WorkerRecord | None,
    fleet: Fleet,
    timing: Timing,
    now: float,
) -> DomainState:
    if record.foreign_scaler:
        off = record.lifecycle is Lifecycle.OFF
        return DomainState.QUARANTINED_OFF if off else DomainState.QUARANTINED
    operation = None if record.operation is None else record.operation.kind
    # While it is being started a domain is off, then paused, and neither is what it will be.
    if memory.in_flight is ActionKind.START and record.lifecycle in (
        Lifecycle.OFF,
        Lifecycle.PAUSED,
    ):
        return DomainState.STARTING
    if memory.in_flight is ActionKind.RESTORE and operation is OperationKind.SAVE:
        # The image brings back the metadata of the day it was made, until they are written again.
        return DomainState.WAKING
    standby = _standby_state(memory.in_flight, operation, record)
    if standby is not None:
        return standby
    if record.lifecycle is Lifecycle.OFF:
        return DomainState.OFF
    if record.lifecycle is Lifecycle.STOPPING:
        return DomainState.SHUTTING_DOWN
    if operation in (OperationKind.SHUTDOWN, OperationKind.DESTROY):
        return DomainState.SHUTTING_DOWN
    # A failed domain whose worker comes while nobody can destroy it works after all.
    is_destroyed = memory.in_flight is ActionKind.DESTROY
    is_failed = memory.state is DomainState.FAILED and (is_destroyed or not _is_connected(worker))
    if record.lifecycle is Lifecycle.CRASHED or is_failed:
        return DomainState.FAILED
    going = _GOING.get(operation) if record.lifecycle is Lifecycle.RUNNING else None
    if going is not None or operation is OperationKind.DRAIN:
        return going or DomainState.DRAINING
    if record.lifecycle is Lifecycle.PAUSED and operation is not OperationKind.RESTORE:
        return DomainState.PAUSED
    if _is_connected(worker) and record.lifecycle is Lifecycle.RUNNING:
        return _connected_state(operation, worker)
    return _waiting_state(memory, record, fleet, timing, now)


def _connected_state(operation: OperationKind | None, worker: WorkerRecord | None) -> DomainState:
    if worker is not None and worker.state is WorkerState.READY:
        return DomainState.READY
    prepared = operation is OperationKind.PREPARE
    return DomainState.PREPARING if prepared else DomainState.CORDONED


_GOING: dict[OperationKind | None, DomainState] = {
    OperationKind.SUSPEND: DomainState.SUSPENDING,
    OperationKind.SAVE: DomainState.SAVING,
}
"""Running, and on the way into standby."""


def _standby_state(
    in_flight: ActionKind | None, operation: OperationKind | None, record: DomainRecord
) -> DomainState | None:
    """What a domain that does not run is on its way into standby, in it, or out of it.

    None: no standby. An image is restored once: where a restore was begun, however it ended, the
    guest may have lived on from it, so an image that is still there counts for nothing.
    """
    off, paused = record.lifecycle is Lifecycle.OFF, record.lifecycle is Lifecycle.PAUSED
    if not (off or paused):
        return None
    if in_flight is ActionKind.PREPARE and operation is OperationKind.PREPARE:
        return DomainState.PREPARING
    if operation is OperationKind.SUSPEND and paused:
        return DomainState.STANDBY_PAUSED
    if operation is OperationKind.SAVE and paused:
        # Saving stops the guest first.
        return DomainState.SAVING
    if operation is OperationKind.SAVE and record.has_saved_image:
        return DomainState.STANDBY_SAVED
    if operation is OperationKind.RESUME and paused:
        waking = in_flight is ActionKind.RESUME
        return DomainState.WAKING if waking else DomainState.STANDBY_PAUSED
    if operation is OperationKind.RESTORE and in_flight is ActionKind.RESTORE:
        return DomainState.WAKING
    return None


def _waiting_state(
    memory: Track, record: DomainRecord, fleet: Fleet, timing: Timing, now: float
) -> DomainState:
    """Running, and no worker: booting or silent until the deadline, failed afterwards."""
    # A dispatcher that was away cannot tell a failed boot from a worker on its way back.
    judged = (
        fleet.known_since is not None and now - fleet.known_since >= timing.worker_return_seconds
    )
    operation = record.operation
    awaited = None if operation is None else _AWAITED.get(operation.kind)
    if operation is not None and awaited is not None:
        late = now - operation.since >= awaited.deadline_seconds(timing)
        return DomainState.FAILED if late and judged else awaited.state
    if memory.in_flight is ActionKind.START:
        return DomainState.BOOTING
    since = memory.silent_since
    late = since is not None and now - since >= timing.silence_deadline_seconds
    return DomainState.FAILED if late and judged else DomainState.SILENT


_FAILED = (Incident.BOOT_FAILED, Incident.WAKE_FAILED)


def _count_boot(memory: Track, incident: Incident) -> Track:
    if incident in (Incident.BOOT_FINISHED, Incident.WAKE_FINISHED):
        return replace(memory, failures=0, unanswered_wakes=0, is_failure_counted=False)
    if incident in _FAILED:
        return replace(memory, failures=memory.failures + 1, is_failure_counted=True)
    return memory
