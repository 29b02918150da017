"""What the dispatcher's process does instead of serving: back up, restore and check its store.

A PostgreSQL store has the server's own tools for copies; what they cannot know is done here.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dispatcher import config, sqlite_backup
from dispatcher.database import PostgresqlUrl
from dispatcher.sqlite_backup import BackupError
from servicekit.lifecycle import EXIT_FAILED, EXIT_OK


class Report:
    """Says how far it is: lines for people, or one JSON object a line for programs."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._last_percent = -1

    def copied(self, done: int, total: int) -> None:
        """See `sqlite_backup.Progress`."""
        percent = 100 * done // max(1, total)
        if self._as_json:
            self._write({"event": "copied", "done": done, "total": total})
        elif percent // 10 > self._last_percent // 10:
            sys.stdout.write(f"copied {percent} %\n")
            sys.stdout.flush()
        self._last_percent = percent

    def ended(self, text: str, **facts: Any) -> None:
        """The last line."""
        if self._as_json:
            self._write({"event": "ended", "text": text, **facts})
        else:
            sys.stdout.write(text + "\n")

    def _write(self, event: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(event) + "\n")
        sys.stdout.flush()


def back_up(database: Path, target: Path, *, force: bool, report: Report) -> int:
    """Copies the store while a dispatcher runs on it, or while none does."""

    def act() -> None:
        size = sqlite_backup.backup(database, target, force=force, progress=report.copied)
        report.ended(f"{target}: {size:,} bytes, checked", file=str(target), bytes=size)

    return _run(database, act)


def restore(database: Path, source: Path, *, report: Report) -> int:
    """Puts a copy in the place of the store."""

    def act() -> None:
        kept = sqlite_backup.restore(source, database, progress=report.copied)
        text = f"{database}: restored from {source}"
        if kept is not None:
            text += f"; the store that was there is {kept}"
        report.ended(text, file=str(database), kept=None if kept is None else str(kept))

    return _run(database, act)


def check_store(database: Path, *, report: Report) -> int:
    """Looks the whole store over."""
    found: list[str] = []

    def act() -> None:
        fault = sqlite_backup.check(database)
        if fault is None:
            report.ended(f"{database}: no fault found", fault=None)
        else:
            found.append(fault)
            report.ended(f"{database}: damaged: {fault}; restore a backup", fault=fault)

    return _run(database, act) or (EXIT_FAILED if found else EXIT_OK)


def work_on_postgresql(
    url: PostgresqlUrl, password_file: Path | None, wanted: str, *, report: Report
) -> int:
    """Does for a PostgreSQL store what is `wanted`, or says what does it instead."""
    # Whoever keeps jobs in a file needs no client of PostgreSQL.
    from dispatcher import postgresql_offline

    if wanted in ("backup", "restore"):
        sys.stderr.write(f"error: {url} is a PostgreSQL database: {_INSTEAD[wanted]}\n")
        return EXIT_FAILED
    try:
        if wanted == "begin_era":
            postgresql_offline.begin_era(url, password_file)
            report.ended(f"{url}: an era has begun; start the dispatcher")
            return EXIT_OK
        fault = postgresql_offline.check(url, password_file)
    except postgresql_offline.OfflineError as error:
        sys.stderr.write(f"error: {error}\n")
        return EXIT_FAILED
    if fault is None:
        text = f"{url}: no contradiction found; pg_amcheck looks at the server's pages"
        report.ended(text, fault=None)
        return EXIT_OK
    report.ended(f"{url}: damaged: {fault}; restore a backup", fault=fault)
    return EXIT_FAILED


_INSTEAD = {
    "backup": "copy it with pg_dump --format custom --file FILE URL, also while it is in use",
    "restore": "with no dispatcher on it, pg_restore --clean --if-exists --single-transaction "
    "--dbname URL FILE, then virtscale-dispatcher --database URL --begin-era",
}


def _run(database: Path, act: Callable[[], None]) -> int:
    if database == config.IN_MEMORY:
        sys.stderr.write("error: database = :memory: keeps nothing; name a file with --database\n")
        return EXIT_FAILED
    try:
        act()
    except BackupError as error:
        sys.stderr.write(f"error: {error}\n")
        return EXIT_FAILED
    return EXIT_OK
