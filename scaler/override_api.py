"""`/api/v1/overrides`: a person's orders over HTTP, given, listed and lifted."""

import re
import unicodedata
from collections.abc import Callable, Collection, Iterable
from typing import Any, NamedTuple, Protocol

from scaler import http_requests, overrides
from scaler.http_requests import Answer, Environment, Fault, RefusedError, bad_request
from scaler.overrides import COUNTED, Override, OverrideKind, TooManyError
from scaler.stabilization import Limits
from servicekit.metrics import Application, StartResponse
from servicekit.tls import TokenFile

PATH = "/api/v1/overrides"
OPERATIONS = (("GET", PATH), ("POST", PATH), ("DELETE", f"{PATH}/{{id}}"))
_MAX_BODY_BYTES = 10_000
_MAX_TEXT = 200
_MAX_SECONDS = 366 * 86_400
_FIELDS = ("kind", "domains", "domain", "author", "reason", "seconds")
_ID = re.compile(r"[A-Za-z0-9]{1,40}")


class Store(Protocol):
    """Where overrides are kept; see `OverrideFile`."""

    def active(self) -> tuple[Override, ...]:
        """Those in force."""
        ...

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
        """A new one."""
        ...

    def remove(self, override_id: str) -> Override | None:
        """The one lifted."""
        ...


class _Order(NamedTuple):
    """A valid body."""

    kind: OverrideKind
    author: str
    reason: str
    seconds: float | None
    domains: int | None
    domain: str


class OverrideApi:
    """WSGI application. `limits` are those in force, which a reload may change.

    `domains` names the pool's domains; None while they are not known.
    """

    def __init__(
        self,
        store: Store,
        wake: Callable[[], None],
        *,
        limits: Callable[[], Limits],
        domains: Callable[[], list[str] | None] = lambda: None,
        is_remote_control: bool = False,
        token: TokenFile | None = None,
        page_hosts: Collection[str] = (),
    ) -> None:
        self._store = store
        self._wake = wake
        self._limits = limits
        self._domains = domains
        self._is_remote_control = is_remote_control
        self._token = token
        self._page_hosts = page_hosts

    def routes(self) -> dict[str, Application]:
        """For `MetricsServer`."""
        return {PATH: self}

    def __call__(self, environ: Environment, start_response: StartResponse) -> Iterable[bytes]:
        """Answers one request."""
        return http_requests.reply(start_response, lambda: self._answer(environ))

    def _answer(self, environ: Environment) -> Answer:
        method, path = environ.get("REQUEST_METHOD", "GET"), environ.get("PATH_INFO", "")
        override_id = path.removeprefix(PATH).strip("/")
        if method == "GET" and not override_id:
            return "200 OK", self._list()
        if method == "POST" and not override_id:
            return self._add(environ)
        if method == "DELETE" and override_id:
            return self._remove(override_id, environ)
        raise RefusedError(
            "405 Method Not Allowed", f"there is: GET {PATH}, POST {PATH}, DELETE {PATH}/ID"
        )

    def _list(self) -> dict[str, Any]:
        found = self._store.active()
        return {
            "overrides": [overrides.to_record(one) for one in found],
            "contradictions": overrides.contradictions(found, self._limits()),
        }

    def _add(self, environ: Environment) -> Answer:
        self._need_right(environ)
        body = http_requests.read_body(environ, _MAX_BODY_BYTES)
        order = read_order(body, self._limits(), self._domains())
        try:
            made = self._store.add(order.kind, **_without_kind(order))
        except TooManyError as error:
            raise RefusedError("409 Conflict", str(error)) from None
        except OSError as error:
            raise _not_kept(error) from None
        self._wake()
        return "201 Created", {"override": overrides.to_record(made), **self._list()}

    def _need_right(self, environ: Environment) -> None:
        http_requests.need_right_to_order(
            environ,
            is_remote_control=self._is_remote_control,
            token=self._token,
            page_hosts=self._page_hosts,
        )

    def _remove(self, override_id: str, environ: Environment) -> Answer:
        self._need_right(environ)
        try:
            found = self._store.remove(override_id) if _ID.fullmatch(override_id) else None
        except OSError as error:
            raise _not_kept(error) from None
        if found is None:
            raise RefusedError(
                "404 Not Found",
                f"there is no override {override_id[:40]!r} (any more); GET {PATH} lists them",
            )
        self._wake()
        return "200 OK", {"removed": overrides.to_record(found), **self._list()}


def read_order(body: dict[str, Any], limits: Limits, known: list[str] | None) -> _Order:
    """The order in a body.

    Raises:
        RefusedError: with every fault in it.

    """
    faults: list[Fault] = [
        Fault(str(name)[:40], http_requests.shown(value), f"unknown; known: {', '.join(_FIELDS)}")
        for name, value in body.items()
        if name not in _FIELDS
    ]
    kind = _kind(body, faults)
    domains = _domains(body, kind, limits, faults)
    domain = _domain(body, kind, known, faults)
    author = _text(body, "author", "unknown", faults)
    reason = _text(body, "reason", "", faults)
    seconds = _seconds(body, faults)
    if faults or kind is None:
        raise bad_request(faults)
    return _Order(kind, author, reason, seconds, domains, domain)


def _kind(body: dict[str, Any], faults: list[Fault]) -> OverrideKind | None:
    value = body.get("kind")
    try:
        return OverrideKind(str(value))
    except ValueError:
        kinds = ", ".join(kind.value for kind in OverrideKind)
        faults.append(Fault("kind", http_requests.shown(value), f"must be one of {kinds}"))
        return None


def _domains(
    body: dict[str, Any], kind: OverrideKind | None, limits: Limits, faults: list[Fault]
) -> int | None:
    value = body.get("domains")
    if kind is None or (kind not in COUNTED and value is None):
        return None
    if kind not in COUNTED:
        fix = f"leave it out: {kind.value} is without a number"
    elif isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= limits.max:
        return value
    else:
        fix = f"must be a whole number from 0 to the configured max = {limits.max}"
    faults.append(Fault("domains", http_requests.shown(value), fix))
    return None


def _domain(
    body: dict[str, Any], kind: OverrideKind | None, known: list[str] | None, faults: list[Fault]
) -> str:
    value = body.get("domain")
    if kind is None or (kind is not OverrideKind.DRAIN and value is None):
        return ""
    if kind is not OverrideKind.DRAIN:
        fix = f"leave it out: {kind.value} is for the whole pool"
    elif not isinstance(value, str) or not value or not _is_plain(value):
        fix = f"must be the name of a domain, of at most {_MAX_TEXT} characters"
    elif known is not None and value not in known:
        fix = f"the pool has no such domain; it has {', '.join(known[:20]) or 'none'}"
    else:
        return value
    faults.append(Fault("domain", http_requests.shown(value), fix))
    return ""


def _text(body: dict[str, Any], name: str, default: str, faults: list[Fault]) -> str:
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, str) or not _is_plain(value):
        fix = f"must be one line of at most {_MAX_TEXT} characters"
        faults.append(Fault(name, http_requests.shown(value), fix))
        return default
    return value or default


def _is_plain(text: str) -> bool:
    """One line, without characters that would steer a terminal."""
    return len(text) <= _MAX_TEXT and not any(unicodedata.category(one) == "Cc" for one in text)


def _seconds(body: dict[str, Any], faults: list[Fault]) -> float | None:
    value = body.get("seconds")
    if value is None:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and 0 < value <= _MAX_SECONDS:
        return float(value)
    fix = f"must be a number above 0, at most {_MAX_SECONDS} (366 days); left out: until removed"
    faults.append(Fault("seconds", http_requests.shown(value), fix))
    return None


def _without_kind(order: _Order) -> dict[str, Any]:
    return {name: value for name, value in order._asdict().items() if name != "kind"}


def _not_kept(error: OSError) -> RefusedError:
    return RefusedError("500 Internal Server Error", f"the order cannot be kept: {error.strerror}")
