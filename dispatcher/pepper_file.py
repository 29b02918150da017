"""The pepper file, read again whenever it changes: keys are rotated without a restart.

A file that is away, malformed or gives a known key another secret changes nothing: the keys from
before stay in use, and the log says what is wrong until it is put right.
"""

import os
from pathlib import Path

from dispatcher import config, hashing
from dispatcher.hashing import Keyring
from servicekit import logs
from servicekit.clock import Clock
from servicekit.config import ConfigError

_POLL_SECONDS = 1.0

Signature = tuple[int, int, int]


class PepperFile:
    """The live keys. `path` None: there are none, and never will be."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._log = logs.get()
        self._seen = self._signature()
        self._keyring = config.read_keyring(path)

    @property
    def keyring(self) -> Keyring:
        """The keys as they are now."""
        return self._keyring

    async def watch(self, clock: Clock) -> None:
        """Looks at the file every second, until cancelled."""
        while self._path is not None:
            await clock.sleep(_POLL_SECONDS)
            self.reread()

    def reread(self) -> None:
        """Reads the file if it has changed since it was last read."""
        seen = self._signature()
        if seen == self._seen:
            return
        self._seen = seen
        try:
            found = config.read_keyring(self._path)
            change = hashing.key_change(self._keyring, found)
        except ConfigError as error:
            self._log.error("pepper.refused", reason="; ".join(error.faults), keys="as before")
            return
        except ValueError as error:
            reason = f"pepper_file = {self._path}: {error}"
            self._log.error("pepper.refused", reason=reason, keys="as before")
            return
        self._keyring = found
        self._log.info("pepper.read", current=change.current, added=[*change.added])
        if change.removed:
            self._log.warning(
                "pepper.keys_removed",
                key_ids=[*change.removed],
                effect="hashes made with them cannot be verified; put them back if there are any",
            )

    def _signature(self) -> Signature | None:
        if self._path is None:
            return None
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino
