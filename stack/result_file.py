"""The results of `submit` as CSV: to a file that appears whole or not at all, or to the screen."""

import csv
import os
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import IO

from servicekit.config import ConfigError
from stack.submission import LineResult

HEADER = ("reference", "profile", "hash")


class ResultFile:
    """Use it in a `with`: leaving without an error puts the file in its place."""

    def __init__(self, path: Path | None) -> None:
        """Without a path, results go to standard output.

        Raises:
            ConfigError: when the file cannot be written.

        """
        self._path = path
        self._file: IO[str] = sys.stdout
        self._temporary: str | None = None
        if path is not None:
            try:
                descriptor, self._temporary = tempfile.mkstemp(
                    dir=path.parent, prefix=f".{path.name}."
                )
            except OSError as error:
                raise ConfigError(
                    [f"--out {path}: cannot be written: {error.strerror}; choose another file"]
                ) from None
            self._file = os.fdopen(descriptor, "w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file, lineterminator="\n")
        self._has_header = False

    def write(self, result: LineResult) -> None:
        """Appends one line."""
        if not self._has_header:
            # Not before: who reads standard output need not tell a lone header from results.
            self._has_header = True
            self._writer.writerow(HEADER)
        self._writer.writerow((result.line, result.job.profile, result.job.hash))

    def __enter__(self) -> "ResultFile":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._temporary is None or self._path is None:
            self._file.flush()
            return
        try:
            if kind is None:
                self._file.flush()
                os.fsync(self._file.fileno())
                mask = os.umask(0)
                os.umask(mask)
                os.chmod(self._temporary, 0o666 & ~mask)
                os.replace(self._temporary, self._path)
            else:
                os.unlink(self._temporary)
        finally:
            self._file.close()
