"""Certificates and tokens that change on disk come into use without a restart.

A new file that cannot be used changes nothing but a log line and a counter: what was good stays.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dispatcher.gate import Gate, read_tokens
from dispatcher.telemetry import Telemetry
from servicekit import logs
from servicekit.clock import Clock
from servicekit.config import ConfigError
from servicekit.tls import FileWatch, ServerTls

LOOK_SECONDS = 1.0
_NEAR_SECONDS = 14 * 86_400.0
_WARN_SECONDS = 86_400.0


@dataclass
class _Watched:
    setting: str
    watch: FileWatch
    reload: Callable[[], None]


class Rotation:
    """Looks at the files once a second."""

    def __init__(
        self,
        *,
        listeners: Sequence[tuple[str, ServerTls]],
        gate: Gate,
        tokens_file: Path | None,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        """`listeners` are pairs of a listener's name, as metrics have it, and its credentials."""
        self._listeners = tuple(listeners)
        self._gate = gate
        self._clock = clock
        self._telemetry = telemetry
        self._log = logs.get()
        self._warned: dict[str, float] = {}
        self._watched = [self._tls(tls) for _, tls in listeners]
        if tokens_file is not None:
            self._watched.append(self._tokens(tokens_file))
        for watched in self._watched:
            telemetry.watching(watched.setting)
        self._show_expiry()

    async def run(self) -> None:
        """Looks until cancelled."""
        while True:
            await self._clock.sleep(LOOK_SECONDS)
            self.look()

    def look(self) -> None:
        """Reads again what has changed since the last look."""
        for watched in self._watched:
            if watched.watch.has_changed():
                self._reload(watched)
        self._gate.look()
        self._show_expiry()

    def _reload(self, watched: _Watched) -> None:
        try:
            watched.reload()
        except ConfigError as error:
            self._telemetry.reloaded(watched.setting, is_good=False)
            self._log.error(
                "credentials.refused",
                setting=watched.setting,
                faults=error.faults,
                consequence="those read before stay in use",
            )
        else:
            self._telemetry.reloaded(watched.setting, is_good=True)
            self._log.info("credentials.reloaded", setting=watched.setting)

    def _tls(self, tls: ServerTls) -> _Watched:
        return _Watched(
            tls.name, FileWatch(tls.files.paths), lambda: tls.reload(now=self._clock.wall())
        )

    def _tokens(self, path: Path) -> _Watched:
        def reload() -> None:
            self._gate.renew(read_tokens(path))

        return _Watched("tokens_file", FileWatch([path]), reload)

    def _show_expiry(self) -> None:
        now = self._clock.wall()
        for listener, tls in self._listeners:
            self._telemetry.certificate_expires(listener, tls.not_after)
            left = tls.not_after - now
            last = self._warned.get(listener)
            if left < _NEAR_SECONDS and (last is None or now - last >= _WARN_SECONDS):
                self._warned[listener] = now
                self._log.warning(
                    "certificate.expires_soon",
                    setting=tls.name,
                    seconds_left=round(left),
                    fix="make a new one in the same place: virtscale certs server",
                )
