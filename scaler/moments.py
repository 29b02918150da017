"""When operations began, on the clock that never jumps. Pure.

Metadata must hold wall times, because nothing else survives a restart. A wall clock that jumps
while an operation is under way would end its deadline early, or never; so each operation is dated
once, when it is written or else at first sight, and keeps that date.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from scaler.pool import DomainRecord, Operation

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
