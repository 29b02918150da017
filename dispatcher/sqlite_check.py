"""Looking a whole SQLite store over for damage, on a connection of its own."""

from pathlib import Path

import apsw

_MAX_FAULTS = 20


def fault(path: Path, *, is_thorough: bool) -> str | None:
    """What is damaged; None when nothing is found.

    Thorough also compares every index with its table, in about twice the time.

    Raises:
        apsw.Error: the file cannot be read at all, which is no damage by itself.

    """
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        connection.set_busy_timeout(5000)
        kind = "integrity_check" if is_thorough else "quick_check"
        rows = connection.execute(f"PRAGMA {kind}({_MAX_FAULTS})").fetchall()
    except (apsw.CorruptError, apsw.NotADBError) as error:
        return str(error)
    finally:
        connection.close()
    faults = [str(text) for (text,) in rows]
    return None if faults == ["ok"] else "; ".join(faults)
