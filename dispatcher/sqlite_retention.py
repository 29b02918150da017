"""Removing final jobs from the SQLite store, oldest first, a batch at a time.

The pages they leave are overwritten (`secure_delete`) and used again by new jobs, so the file stops
growing once as much is removed as is added; a backup is made without them.
"""

import apsw

_RESULTS = (
    "SELECT key, final_order, completed_at FROM jobs WHERE final_order > 0 "
    "ORDER BY final_order LIMIT ?"
)
_CANCELLED = (
    "SELECT key, -final_order, completed_at FROM jobs WHERE final_order < 0 "
    "ORDER BY final_order DESC LIMIT ?"
)


def remove_finals(
    connection: apsw.Connection, *, before: float | None, keep: int | None, limit: int
) -> int:
    """See `ports.JobStore.remove_finals`."""
    ((last_result, last_cancelled),) = connection.execute(
        "SELECT final_order, cancelled_order FROM numbers"
    )
    keys: list[int] = []
    for statement, last in ((_RESULTS, last_result), (_CANCELLED, last_cancelled)):
        for key, place, completed_at in connection.execute(statement, (limit - len(keys),)):
            is_surplus = keep is not None and place <= last - keep
            is_old = before is not None and completed_at < before
            if not (is_surplus or is_old):
                break
            keys.append(key)
    connection.executemany("DELETE FROM attempts WHERE key = ?", [(key,) for key in keys])
    connection.executemany("DELETE FROM jobs WHERE key = ?", [(key,) for key in keys])
    return len(keys)
