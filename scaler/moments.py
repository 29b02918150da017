"""When operations began, on the clock that never jumps. Pure.

Metadata must hold wall times, because nothing else survives a restart. A wall clock that jumps
while an operation is under way would end its deadline early, or never; so each operation is dated
once, when it is written or else at first sight, and keeps that date.
"""

from collections.abc import Container, Iterable, Mapping
from dataclasses import replace

from scaler.pool import DomainRecord, Operation, WorkerRecord

Moments = Mapping[str, tuple[Operation, float]]
"""By domain: its operation as the metadata tell it, and the moment at which it began."""


def date(
    records: Iterable[DomainRecord], known: Moments, written: Moments, offset: float, now: float
) -> tuple[tuple[DomainRecord, ...], dict[str, tuple[Operation, float]]]:
    """Records with operations on the clock of `now`, and the moments to remember.

    `written` has the newest operation that this process wrote for each domain. `offset` added to a
    wall time gives a time on that clock. A time in the future, left by a clock that was set back
    since, becomes `now`.
    """
    dated: list[DomainRecord] = []
    moments: dict[str, tuple[Operation, float]] = {}
    for record in records:
        operation = record.operation
        if operation is None:
            dated.append(record)
            continue
        since = min(now, operation.since + offset)
        for source in (written, known):
            seen, moment = source.get(record.name, (None, since))
            if seen == operation:
                since = moment
        moments[record.name] = (operation, since)
        dated.append(replace(record, operation=replace(operation, since=since)))
    return tuple(dated), moments


Sessions = Mapping[str, tuple[WorkerRecord, WorkerRecord]]
"""By worker: as the dispatcher told it last, and on the clock of `now`."""


def date_workers(
    workers: Iterable[WorkerRecord], known: Sessions, offset: float, awaited: Container[str]
) -> tuple[tuple[WorkerRecord, ...], dict[str, tuple[WorkerRecord, WorkerRecord]]]:
    """Workers with their moments on the clock of `now`, and the sessions to remember.

    A worker that is told as before is the same object as before: dated anew, its moments would
    differ by what two clocks drift apart in a second, and each turn would find a thousand changes.
    Of those in `awaited`, whose domains are under way, the last sign of life counts as well.
    """
    dated: list[WorkerRecord] = []
    sessions: dict[str, tuple[WorkerRecord, WorkerRecord]] = {}
    for worker in workers:
        name = worker.worker_id
        before = known.get(name)
        if before is None or before[0] != worker or name in awaited:
            before = worker, _on_clock(worker, offset)
        sessions[name] = before
        dated.append(before[1])
    return tuple(dated), sessions


def _on_clock(worker: WorkerRecord, offset: float) -> WorkerRecord:
    connected, oldest = worker.connected_since, worker.oldest_lease_since
    return replace(
        worker,
        connected_since=None if connected is None else connected + offset,
        oldest_lease_since=None if oldest is None else oldest + offset,
    )
