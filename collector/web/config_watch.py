"""The web config file in force: read at the start, and again when it or its files change."""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from collector.web import tls
from collector.web.configuration import RateLimitSettings, WebSettings, read
from collector.web.messages import Headers
from servicekit import logs
from servicekit.clock import Clock
from servicekit.config import ConfigError
from servicekit.tls import FileWatch

_LOOK_SECONDS = 0.5


@dataclass(frozen=True)
class InForce:
    """What holds for the next connection and the next request."""

    context: ssl.SSLContext | None = None
    """None when nothing is encrypted."""
    not_after: float | None = None
    """Unix time at which the first certificate in use ends."""
    allowed_names: frozenset[str] | None = None
    """Of which a client's certificate must have one; None for any."""
    users: Mapping[str, str] = field(default_factory=dict, repr=False)
    """bcrypt hashes by user; empty when nobody is asked."""
    headers: Headers = ()
    rate_limit: RateLimitSettings = field(default_factory=RateLimitSettings)

    @property
    def is_guarded(self) -> bool:
        """True when it encrypts or asks for passwords."""
        return self.context is not None or bool(self.users)


class ConfigWatch:
    """Keeps `current` up to date. A file that has become bad never replaces one that was good."""

    def __init__(
        self, path: Path | None, clock: Clock, *, look_seconds: float = _LOOK_SECONDS
    ) -> None:
        """Reads `path`; None is no file, and nothing guarded.

        Raises:
            ConfigError: with every fault found.

        """
        self._path = path
        self._clock = clock
        self._look_seconds = look_seconds
        self._log = logs.get()
        self.current = InForce()
        self.read_at = clock.wall()
        """Unix time at which what is in force was read."""
        self.is_current = True
        """False while the file as it is now cannot be used."""
        self._files = FileWatch([])
        if path is not None:
            # The watch begins before the reading: a change in between is seen at the next look.
            self._files = FileWatch([path])
            settings = read(path)
            self._files = _watch(path, settings)
            self.current = self._loaded(settings)

    async def follow(self) -> None:
        """Looks at the files for ever."""
        if self._path is None:
            return
        while True:
            await self._clock.sleep(self._look_seconds)
            if self._files.has_changed():
                await asyncio.to_thread(self._reload, self._path)

    def _reload(self, path: Path) -> None:
        try:
            settings = read(path)
            self._files = _watch(path, settings)
            loaded = self._loaded(settings)
            if self.current.is_guarded and not loaded.is_guarded and path.stat().st_size == 0:
                fix = "write {} into it if nothing is to be guarded any more"
                raise ConfigError([f"{path}: is empty; {fix}"])
        except (ConfigError, OSError) as error:
            self.is_current = False
            reasons = error.faults if isinstance(error, ConfigError) else [str(error)]
            self._log.error("web_config.refused", reasons=reasons, effect="the last one holds")
            return
        self.current, self.read_at, self.is_current = loaded, self._clock.wall(), True
        self._log.info("web_config.read", path=str(path))

    def _loaded(self, settings: WebSettings) -> InForce:
        server = settings.tls_server_config
        context, not_after, names = None, None, None
        if server is not None:
            context, not_after = tls.server_context(server, now=self._clock.wall())
            if server.client_allowed_sans is not None:
                names = frozenset(server.client_allowed_sans)
        users = settings.basic_auth_users
        return InForce(
            context=context,
            not_after=not_after,
            allowed_names=names,
            users={user: hashed.get_secret_value() for user, hashed in users.items()},
            headers=tuple(settings.http_server_config.headers.items()),
            rate_limit=settings.rate_limit,
        )


def _watch(path: Path, settings: WebSettings) -> FileWatch:
    server = settings.tls_server_config
    return FileWatch([path, *(tls.files(server) if server is not None else [])])
