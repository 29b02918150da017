"""Takes up a changed policies file while the scaler runs."""

import threading
from collections.abc import Callable
from typing import Any

from scaler.config import ScalerConfig
from scaler.policy_file import document, effective
from servicekit import logs
from servicekit.config import ConfigError


class PolicyReload:
    """Call it to read the file again; a faulty one changes nothing and is told.

    `configured` is the configuration without the file: what a key falls back to when the file no
    longer sets it.
    """

    def __init__(self, configured: ScalerConfig) -> None:
        self._configured = configured
        self._lock = threading.Lock()
        self._current = configured
        self._faults: list[str] = []
        self._take: Callable[[ScalerConfig], None] | None = None
        self._tell: Callable[[bool], None] | None = None

    def begin(
        self,
        current: ScalerConfig,
        take: Callable[[ScalerConfig], None],
        tell: Callable[[bool], None],
    ) -> None:
        """From now on `take` is given a new configuration, `tell` whether the file was good."""
        with self._lock:
            self._current = current
        self._take, self._tell = take, tell

    @property
    def current(self) -> ScalerConfig:
        """What is in effect. From any thread."""
        with self._lock:
            return self._current

    async def __call__(self) -> None:
        """Reads the file; see `lifecycle.run`, `on_hangup`."""
        if self._take is None or self._tell is None:
            # Not running yet: the start reads the file.
            return
        try:
            config = effective(self._configured)
        except ConfigError as error:
            for fault in error.faults:
                logs.get().error("policies.refused", fault=fault, consequence="the old ones stay")
            with self._lock:
                self._faults = error.faults
            self._tell(False)
            return
        with self._lock:
            self._current, self._faults = config, []
        self._take(config)
        self._tell(True)
        names = [policy.name for policy in config.policies]
        logs.get().info("policies.taken", file=str(config.policies_file), policies=names)

    def status(self) -> dict[str, Any]:
        """What is in effect, and what is wrong with a newer file. From any thread."""
        with self._lock:
            path = self._current.policies_file
            return {
                "pool": self._current.pool,
                "policies_file": None if path is None else str(path),
                "faults": list(self._faults),
                "effective": document(self._current),
            }
