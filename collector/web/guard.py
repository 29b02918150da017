"""Who may ask: the rate limit, clients' certificates and passwords, for every page alike."""

from collections.abc import Mapping

from collector.web import tls
from collector.web.config_watch import ConfigWatch
from collector.web.configuration import RateLimitSettings
from collector.web.messages import Answer, Headers, Request, text_answer
from collector.web.passwords import BusyError, Passwords
from collector.web.token_bucket import TokenBucket
from servicekit import logs
from servicekit.clock import Clock

_QUIET_SECONDS = 10.0
"""A refusal is logged once in so many seconds and kind."""


class Guard:
    """Admits requests by the web config in force. Refusals never hold what was sent."""

    def __init__(self, config: ConfigWatch, clock: Clock, passwords: Passwords) -> None:
        self._config = config
        self._clock = clock
        self._passwords = passwords
        self._log = logs.get()
        self._limit = config.current.rate_limit
        self._bucket = _bucket(self._limit)
        self._logged: dict[str, float] = {}
        self.refusals: dict[str, int] = dict.fromkeys(("rate", "certificate", "password"), 0)
        """How many were refused, by what refused them."""

    @property
    def headers(self) -> Headers:
        """Of every answer."""
        return self._config.current.headers

    async def refusal(
        self, request: Request, certificate: Mapping[str, object] | None
    ) -> Answer | None:
        """Why this is not answered; None when it may be. `certificate` is the client's."""
        current = self._config.current
        if current.rate_limit != self._limit:
            self._limit, self._bucket = current.rate_limit, _bucket(current.rate_limit)
        if not self._bucket.take(self._clock.monotonic()):
            self._note("rate")
            return text_answer(429, "too many requests; try again later", (("Retry-After", "1"),))
        names = current.allowed_names
        if names is not None and not tls.has_allowed_name(certificate, names):
            self._note("certificate")
            return text_answer(
                403, "no name of this certificate is among client_allowed_sans", _CLOSE
            )
        if not current.users:
            return None
        try:
            if await self._passwords.is_known(
                current.users, request.headers.get("authorization", "")
            ):
                return None
        except BusyError:
            return text_answer(503, "too many passwords are being checked; try again later")
        self._note("password")
        asked = (("WWW-Authenticate", 'Basic realm="virtscale-collector", charset="UTF-8"'),)
        return text_answer(401, "name and password are wanted", asked)

    def _note(self, kind: str) -> None:
        self.refusals[kind] += 1
        now = self._clock.monotonic()
        if now - self._logged.get(kind, float("-inf")) >= _QUIET_SECONDS:
            self._logged[kind] = now
            self._log.warning("request.refused", by=kind, count=self.refusals[kind])


_CLOSE: Headers = (("Connection", "close"),)


def _bucket(settings: RateLimitSettings) -> TokenBucket:
    return TokenBucket(settings.interval, settings.burst)
