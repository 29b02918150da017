"""Overrides in a small file, so that a restart lifts none of them."""

import json
import os
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from scaler import overrides
from scaler.overrides import MAX_OVERRIDES, Hold, Override, OverrideKind, TooManyError
from servicekit import logs

_FORM = 1
_OLD_NAME = "hold.json"
_OLD_ID = "hold"
_UNREADABLE_ID = "unreadable"


class OverrideFile:
    """Overrides in memory, and in `path` when there is one. Used from the loop and API threads.

    A file that cannot be read pauses: somebody wanted something, and no action is the safest guess.
    A `hold.json` beside it, from before there were overrides, becomes a pause.
    """

    def __init__(
        self,
        path: Path | None,
        *,
        wall: Callable[[], float] = time.time,
        new_id: Callable[[], str] = lambda: secrets.token_hex(4),
        is_read_only: bool = False,
    ) -> None:
        """`is_read_only`: the file is another scaler's and is only looked at."""
        self._path = path
        self._is_read_only = is_read_only
        self._wall = wall
        self._new_id = new_id
        self._logger = logs.get()
        self._lock = threading.Lock()
        self._kept: tuple[Override, ...] = () if path is None else self._load(path)

    def active(self) -> tuple[Override, ...]:
        """See `OverrideStore.active`. What has expired is told once and forgotten."""
        with self._lock:
            now = self._wall()
            found = overrides.in_force(self._kept, now)
            if len(found) != len(self._kept):
                for one in self._kept:
                    if one.is_expired(now):
                        self._tell("override.expired", one)
                self._kept = found
                self._save_or_tell()
            return found

    def add(
        self,
        kind: OverrideKind,
        *,
        author: str,
        reason: str,
        seconds: float | None = None,
        domains: int | None = None,
        domain: str = "",
    ) -> Override:
        """Gives an order that lasts for `seconds`; None: until it is lifted.

        Raises:
            OSError: the file cannot be written; nothing has changed.
            TooManyError: there are too many already.

        """
        with self._lock:
            now = self._wall()
            kept = overrides.in_force(self._kept, now)
            if len(kept) >= MAX_OVERRIDES:
                raise TooManyError(f"there are {len(kept)} overrides; remove some first")
            expires_at = None if seconds is None else now + seconds
            made = Override(self._new_id(), kind, author, reason, now, expires_at, domains, domain)
            self._replace((*kept, made))
        self._tell("override.added", made)
        return made

    def remove(self, override_id: str) -> Override | None:
        """Lifts an order and returns it; None when there is none of that id.

        Raises:
            OSError: the file cannot be written; the order stands.

        """
        with self._lock:
            found = next((one for one in self._kept if one.id == override_id), None)
            if found is None:
                return None
            self._replace(tuple(one for one in self._kept if one.id != override_id))
        self._tell("override.removed", found)
        return found

    def get(self) -> Hold | None:
        """See `HoldStore.get`."""
        return overrides.pause(self.active())

    def set(self, hold: Hold | None) -> None:
        """See `HoldStore.set`: one pause in the place of all there are, or none.

        Raises:
            OSError: the file cannot be written; the order stands as it was.

        """
        with self._lock:
            rest = tuple(one for one in self._kept if one.kind is not OverrideKind.PAUSE)
            if hold is not None:
                pause = Override(
                    self._new_id(), OverrideKind.PAUSE, hold.author, hold.reason, self._wall()
                )
                rest = (*rest, pause)
            if rest != self._kept:
                self._replace(rest)

    def _replace(self, kept: Sequence[Override]) -> None:
        if self._path is not None and not self._is_read_only:
            _write(self._path, kept)
        self._kept = tuple(kept)

    def _save_or_tell(self) -> None:
        """What has expired in memory has expired in the file too, written or not."""
        try:
            self._replace(self._kept)
        except OSError as error:
            self._logger.warning(
                "overrides.write_failed", path=str(self._path), error=error.strerror
            )

    def _tell(self, event: str, override: Override) -> None:
        self._logger.info(event, **overrides.to_record(override))

    def _load(self, path: Path) -> tuple[Override, ...]:
        kept = self._read(path)
        old = path.with_name(_OLD_NAME)
        if not old.exists():
            return kept
        if all(one.id != _OLD_ID for one in kept):
            kept = (*kept, _from_old(old, self._wall()))
        if self._is_read_only:
            return kept
        try:
            # First into the new file, then out of the old: a crash in between holds twice.
            _write(path, kept)
            old.unlink()
        except OSError as error:
            self._logger.warning("overrides.write_failed", path=str(path), error=error.strerror)
        return kept

    def _read(self, path: Path) -> tuple[Override, ...]:
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["form"] != _FORM:
                raise ValueError(f"form {content['form']} is unknown")
            return tuple(overrides.from_record(record) for record in content["overrides"])
        except FileNotFoundError:
            return ()
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            self._logger.error("overrides.unreadable", path=str(path), error=str(error))
            reason = f"{path} cannot be read"
            return (Override(_UNREADABLE_ID, OverrideKind.PAUSE, "unknown", reason, self._wall()),)


def _from_old(path: Path, wall: float) -> Override:
    author, reason = "unknown", f"{path} cannot be read"
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
        author, reason = str(content["author"]), str(content["reason"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # it holds all the same
    return Override(_OLD_ID, OverrideKind.PAUSE, author, reason, wall)


def _write(path: Path, kept: Sequence[Override]) -> None:
    content = {"form": _FORM, "overrides": [overrides.to_record(one) for one in kept]}
    fresh = path.with_name(path.name + ".new")
    with fresh.open("w", encoding="utf-8") as file:
        file.write(json.dumps(content, indent=1) + "\n")
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
