"""Decisions in a file of JSON lines, rotated by size, readable by anybody."""

import json
import os
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from servicekit import logs

_MEMORY_RECORDS = 1000


class JsonLinesLog:
    """Appends to `path`; a full file becomes `path.1`, that `path.2`, and so on.

    The newest records stay in memory for the API. Without a path they are all there is.
    """

    def __init__(self, path: Path | None, *, max_bytes: int = 10_000_000, keep: int = 3) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._keep = keep
        self._recent: deque[dict[str, Any]] = deque(maxlen=_MEMORY_RECORDS)
        self._logger = logs.get()
        self._is_failing = False
        # A crash may have cut the last line short: the next record needs a line of its own.
        self._needs_newline = path is not None and _is_cut(path)
        if path is not None:
            self._recent.extend(read(path))

    def append(self, record: Mapping[str, Any]) -> None:
        """See `DecisionLog.append`."""
        self._recent.append(dict(record))
        if self._path is None:
            return
        try:
            self._rotate(self._path)
            with self._path.open("a", encoding="utf-8") as file:
                start = "\n" if self._needs_newline else ""
                file.write(start + json.dumps(record, separators=(",", ":")) + "\n")
                self._needs_newline = False
        except OSError as error:
            if not self._is_failing:
                self._logger.error(
                    "decision_log.write_failed", path=str(self._path), error=error.strerror
                )
            self._is_failing = True
            return
        self._is_failing = False

    def recent(self, limit: int, since: float = 0.0) -> list[dict[str, Any]]:
        """The newest records from `since` on, oldest first, at most `limit`."""
        found = [record for record in tuple(self._recent) if record.get("time", 0.0) >= since]
        return found[-limit:] if limit > 0 else []

    def _rotate(self, path: Path) -> None:
        try:
            if path.stat().st_size < self._max_bytes:
                return
        except FileNotFoundError:
            return
        for number in range(self._keep - 1, 0, -1):
            older = _numbered(path, number)
            if older.exists():
                older.replace(_numbered(path, number + 1))
        path.replace(_numbered(path, 1))


def read(path: Path, limit: int = _MEMORY_RECORDS) -> list[dict[str, Any]]:
    """The newest records of a log. A line cut short by a crash is skipped."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            lines = deque(file, maxlen=limit)
    except OSError:
        return []
    records = []
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict):
            records.append(record)
    return records


def _is_cut(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) != b"\n"
    except OSError:
        return False


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")
