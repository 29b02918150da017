"""The export's file: grows by whole results, and goes on exactly where it was, also after a crash.

Beside FILE stands FILE.cursor: how far the results' sequence was read and how long FILE was then.
What was written behind that point, but not recorded, is cut off when the export goes on.
"""

import contextlib
import csv
import io
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import IO, Literal

from virtscale.client.values import Exported

from servicekit.config import ConfigError

Format = Literal["csv", "jsonl"]
COLUMNS = (
    *("job_id", "state", "reference", "profile", "hash"),
    *("completed_at", "worker_id", "service_seconds", "failure"),
)


class ExportFile:
    """Use it in a `with`; `save` makes what was written count."""

    def __init__(self, path: Path | None, *, form: Format, cursor: str) -> None:
        """Without a path results go to standard output, and only the caller keeps the cursor.

        `cursor` is where a new file begins; empty for the first result.

        Raises:
            ConfigError: the file cannot be written, or is not one that can be continued.

        """
        self.cursor = cursor
        self.written = 0
        self._form: Format = form
        self._file: IO[bytes] = sys.stdout.buffer
        self._path = path
        self._is_changed = False
        self._is_empty = True
        if path is None:
            return
        self._state = path.with_name(path.name + ".cursor")
        length = self._continued(path, cursor)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            os.ftruncate(descriptor, length)
        except OSError as error:
            raise ConfigError(
                [f"{path}: cannot be written: {error.strerror}; choose another file"]
            ) from None
        self._file = os.fdopen(descriptor, "r+b")
        self._file.seek(length)
        self._is_empty = length == 0

    def __enter__(self) -> "ExportFile":
        if self._form == "csv" and self._is_empty:
            self._file.write(_csv_line(COLUMNS))
            self._is_changed = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._path is None:
            self._file.flush()
            return
        try:
            self.save()
        finally:
            self._file.close()

    def write(self, exported: Exported) -> None:
        """Appends one result."""
        job = asdict(exported.job)
        if self._form == "csv":
            line = _csv_line([_field(job[name]) for name in COLUMNS])
        else:
            row = {name: job[name] for name in COLUMNS} | {"cursor": exported.cursor}
            line = json.dumps(row).encode() + b"\n"
        with self._told():
            self._file.write(line)
        self.cursor = exported.cursor
        self.written += 1
        self._is_changed = True

    def save(self) -> None:
        """Makes the results on disk, then records how far they go."""
        if not self._is_changed:
            return
        with self._told():
            self._file.flush()
            if self._path is not None:
                self._record()
        self._is_changed = False

    def _record(self) -> None:
        os.fsync(self._file.fileno())
        state = {"cursor": self.cursor, "length": self._file.tell(), "format": self._form}
        temporary = self._state.with_name(self._state.name + ".new")
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self._state)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """A full disk is told by the file's name; a closed pipe is the caller's business."""
        try:
            yield
        except OSError as error:
            if self._path is None:
                raise
            raise ConfigError([f"{self._path}: cannot be written: {error.strerror}"]) from None

    def _continued(self, path: Path, cursor: str) -> int:
        """Length of the part of the file that counts; sets the cursor behind it."""
        try:
            text = self._state.read_text(encoding="utf-8")
        except FileNotFoundError:
            if path.exists() and path.stat().st_size > 0:
                raise ConfigError(
                    [
                        f"{path}: exists, and {self._state.name} that would say how to go on does "
                        "not; choose another file, or remove it to begin anew"
                    ]
                ) from None
            return 0
        except OSError as error:
            raise ConfigError([f"{self._state}: {error.strerror}"]) from None
        try:
            state = json.loads(text)
            kept, length, form = str(state["cursor"]), int(state["length"]), state["format"]
        except (ValueError, KeyError, TypeError):
            raise ConfigError([f"{self._state}: is no cursor file; remove it and {path}"]) from None
        faults = []
        if form != self._form:
            faults.append(f"{path}: was begun as {form}; go on with --format {form}")
        if cursor and cursor != kept:
            faults.append(f"{path}: goes on by itself from {kept}; leave --from-cursor out")
        if not path.exists() or path.stat().st_size < length:
            faults.append(f"{path}: is shorter than {self._state.name} says; remove both")
        if faults:
            raise ConfigError(faults)
        self.cursor = kept
        return length


def _field(value: object) -> object:
    return "" if value is None else value


def _csv_line(fields: object) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(fields)  # type: ignore[arg-type]
    return text.getvalue().encode()
