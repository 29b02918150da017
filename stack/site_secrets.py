"""The stack's own certificates and tokens: made when missing, renewed in their second half."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from servicekit.config import ConfigError
from servicekit.lifecycle import StartError
from servicekit.tls import TokenFile
from stack import access_tokens, certificates, guest_credentials
from stack.certificates import Kind, Site
from stack.guest_credentials import GuestTls
from stack.paths import StateDirectory

AUTHORITY = "virtscale"
UP, SCALER, COMMANDS = "up", "scaler", "commands"
ALERTS = "alerts"
"""Shown by Alertmanager to the scaler; the dispatcher does not know it."""
CONTROL = "control"
"""Shown to the scaler with orders: by the console and by `virtscale override`."""
_ROLES: Mapping[str, tuple[str, ...]] = {
    # `up` feeds load, follows results and drains workers at the end.
    UP: ("submit", "read", "fleet"),
    SCALER: ("fleet",),
    COMMANDS: ("submit", "read"),
}


@dataclass(frozen=True)
class SiteSecrets:
    """Certificates and tokens of one state directory."""

    site: Site

    def token_file(self, name: str) -> Path:
        """The token of `UP`, `SCALER`, `COMMANDS`, `ALERTS` or `CONTROL`."""
        return self.site.token(name)

    def ensure(self, now: float) -> None:
        """Makes what clients and the dispatcher need; `now` is Unix time.

        Raises:
            StartError: something there cannot be used.

        """
        if not self.site.ca.exists:
            self.site.make_ca(AUTHORITY, now)
        self._ensure("server", "dispatcher", certificates.server_names([]), now)
        for name, roles in _ROLES.items():
            self._ensure_token(name, roles)
        for name in (ALERTS, CONTROL):
            self._ensure_plain_token(name)

    def workers(self, worker_ids: Iterable[str], now: float) -> dict[str, GuestTls]:
        """What each worker's domain needs.

        Raises:
            StartError: something there cannot be used.

        """
        found = {}
        for worker_id in worker_ids:
            self._ensure("worker", worker_id, certificates.worker_names(worker_id), now)
            found[worker_id] = guest_credentials.read(self.site, worker_id)
        return found

    def join_token_file(self, worker_id: str, token: str) -> Path:
        """The file that holds a worker's join token; written when it is not in there yet."""
        path = self.site.pair("worker", worker_id).key.with_suffix(".join")
        if not path.exists() or path.read_text(encoding="ascii") != token:
            certificates.write_private(path, token.encode())
        return path

    def _ensure(self, kind: Kind, name: str, names: list[str], now: float) -> None:
        pair = self.site.pair(kind, name)
        if pair.exists:
            facts = certificates.facts(pair.certificate)
            is_good = set(facts.names) >= set(names) and self.site.has_signed(pair)
            if is_good and not facts.is_spent(now):
                return
        self.site.make(kind, name, names=names, now=now)

    def _ensure_token(self, name: str, roles: tuple[str, ...]) -> None:
        path, tokens = self.site.token(name), self.site.tokens
        try:
            if access_tokens.is_of(tokens, name, roles, TokenFile(path).read()):
                return
        except ConfigError:
            pass  # there is none, or it is damaged: a new one is as good
        token = access_tokens.add(tokens, name, roles)
        certificates.write_private(path, f"{token}\n".encode())

    def _ensure_plain_token(self, name: str) -> None:
        path = self.site.token(name)
        try:
            TokenFile(path)
        except ConfigError:
            certificates.write_private(path, f"{access_tokens.new()}\n".encode())


def of(state: StateDirectory) -> SiteSecrets:
    """Those of a state directory."""
    return SiteSecrets(Site(state.secrets / "tls"))


def control_token(state: StateDirectory) -> str:
    """The token that the scaler asks for with every order.

    Raises:
        ConfigError: its file cannot be used.

    """
    return TokenFile(of(state).token_file(CONTROL)).read()


def ensure(state: StateDirectory, now: float) -> None:
    """Makes what is missing.

    Raises:
        StartError: the files cannot be read or written.

    """
    try:
        of(state).ensure(now)
    except OSError as error:
        raise StartError(f"{error.filename}: {error.strerror}") from None
