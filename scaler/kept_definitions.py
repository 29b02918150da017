"""Copies of the domain definitions that last worked, for going back to them."""

import os
import re
import threading
from pathlib import Path
from typing import NamedTuple

from servicekit import logs

_GENERATION = re.compile(r"<[^<>]*\bgeneration=(?:\"([^\"]*)\"|'([^']*)')")


class _Copy(NamedTuple):
    text: str
    generation: str
    """Found once: it is asked for with every look at the pool."""


class KeptDefinitions:
    """In memory, and in files of `directory` when there is one; they may hold a guest's secrets."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._found: dict[str, _Copy | None] = {}

    def get(self, name: str) -> str | None:
        """The definition in libvirt's XML; None: there is no copy."""
        found = self._copy(name)
        return None if found is None else found.text

    def generation(self, name: str) -> str:
        """The image that the copy boots; empty: there is no copy, or it names none."""
        found = self._copy(name)
        return "" if found is None else found.generation

    def keep(self, name: str, text: str) -> None:
        """Replaces the copy. Where the disk refuses, it lasts as long as this process."""
        with self._lock:
            self._found[name] = _read(text)
            if self._directory is None:
                return
            try:
                _write(self._directory, _path(self._directory, name), text)
            except OSError as error:
                logs.get().warning("definition.not_kept", domain=name, error=error.strerror)

    def _copy(self, name: str) -> _Copy | None:
        with self._lock:
            if name not in self._found:
                self._found[name] = self._load(name)
            return self._found[name]

    def _load(self, name: str) -> _Copy | None:
        if self._directory is None:
            return None
        try:
            return _read(_path(self._directory, name).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError):
            return None


def _read(text: str) -> _Copy:
    found = _GENERATION.search(text)
    return _Copy(text, "" if found is None else found[1] or found[2] or "")


def _path(directory: Path, name: str) -> Path:
    # A domain's name may hold anything but a slash; leading dots must not hide or escape.
    return directory / f"domain {name}.xml"


def _write(directory: Path, path: Path, text: str) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
