"""The gate of the client listener: judges calls by the present tokens, counts and logs refusals."""

from collections.abc import Callable, Iterable
from pathlib import Path

from dispatcher import access
from dispatcher.access import Denied, Refusal, Token
from dispatcher.telemetry import Telemetry
from servicekit import logs
from servicekit.clock import Clock
from servicekit.config import ConfigError

_LOG_SECONDS = 10.0
_MAX_BYTES = 1 << 20


class Refusals:
    """Counts refusals, and logs at most one of each kind in ten seconds."""

    def __init__(self, telemetry: Telemetry, clock: Clock) -> None:
        self._telemetry = telemetry
        self._clock = clock
        self._log = logs.get()
        self._logged: dict[Refusal, float] = {}
        self._unlogged: dict[Refusal, int] = {}

    def note(self, event: str, refusal: Refusal, **fields: object) -> None:
        """A call or a session was refused. Fields hold no secret."""
        self._telemetry.access_refused(refusal)
        now = self._clock.monotonic()
        last = self._logged.get(refusal)
        if last is not None and now - last < _LOG_SECONDS:
            self._unlogged[refusal] = self._unlogged.get(refusal, 0) + 1
            return
        self._logged[refusal] = now
        self._log.warning(
            event, reason=refusal.value, unlogged=self._unlogged.pop(refusal, 0), **fields
        )


class Gate:
    """Judges one call after the other. Without tokens and without client certificates: open.

    `on_change` is called when somebody may have lost a role: open calls are to be judged again.
    """

    def __init__(
        self,
        *,
        tokens: tuple[Token, ...] | None,
        has_certificates: bool,
        refusals: Refusals,
        clock: Clock,
    ) -> None:
        self._tokens = tokens
        self._looked_at = clock.wall()
        self.on_change: Callable[[], None] = lambda: None
        self.has_certificates = has_certificates
        self.refusals = refusals
        self._clock = clock

    @property
    def is_open(self) -> bool:
        """True when everybody may do everything."""
        return self._tokens is None and not self.has_certificates

    def renew(self, tokens: tuple[Token, ...]) -> None:
        """These tokens count from now on."""
        self._tokens = tokens
        self.on_change()

    def look(self) -> None:
        """Notices tokens that have ended since the last look."""
        now = self._clock.wall()
        before, self._looked_at = self._looked_at, now
        tokens = self._tokens or ()
        if any(token.has_ended(now) and not token.has_ended(before) for token in tokens):
            self.on_change()

    def judge(
        self, method: str, authorization: str | None, names: Iterable[str] = ()
    ) -> Denied | None:
        """None when the call is allowed."""
        return access.judge(method, authorization, names, self._tokens or (), self._clock.wall())


def read_tokens(path: Path) -> tuple[Token, ...]:
    """The tokens of a file.

    Raises:
        ConfigError: the file is missing or malformed.

    """
    try:
        with path.open("rb") as file:
            return access.parse_tokens(file.read(_MAX_BYTES).decode("ascii"))
    except OSError as error:
        raise ConfigError([f"tokens_file = {path}: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise ConfigError([f"tokens_file = {path}: is not text"]) from None
    except ValueError as error:
        raise ConfigError([f"tokens_file = {path}: {error}"]) from None
