"""When operations began, on the clock that never jumps. Pure.

Metadata must hold wall times, because nothing else survives a restart. A wall clock that jumps
while an operation is under way would end its deadline early, or never; so each operation is dated
once, at first sight, and keeps that date.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from scaler.pool import DomainRecord, Operation

Moments = Mapping[str, tuple[Operation, float]]
"""By domain: its operation as the metadata tell it, and the moment at which it began."""


def date(
    records: Iterable[DomainRecord], known: Moments, offset: float, now: float
) -> tuple[tuple[DomainRecord, ...], dict[str, tuple[Operation, float]]]:
    """Records with operations on the clock of `now`, and the moments to remember.

    `offset` added to a wall time gives a time on that clock. A time in the future, left by a clock
    that was set back since, becomes `now`.
    """
    dated: list[DomainRecord] = []
    moments: dict[str, tuple[Operation, float]] = {}
    for record in records:
        operation = record.operation
        if operation is None:
            dated.append(record)
            continue
        seen, since = known.get(record.name, (None, 0.0))
        if seen != operation:
            since = min(now, operation.since + offset)
        moments[record.name] = (operation, since)
        dated.append(replace(record, operation=replace(operation, since=since)))
    return tuple(dated), moments
