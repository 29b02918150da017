"""The scaler's HTTP API: status, decisions, pause and resume. JSON in and out."""

import json
from collections.abc import Callable, Iterable
from typing import Any, Protocol
from urllib.parse import parse_qs

from scaler import http_requests
from scaler.decision import Hold
from scaler.http_requests import RefusedError as _RefusedError
from scaler.ports import HoldStore
from servicekit.metrics import Application, StartResponse, respond
from servicekit.tls import TokenFile

_MAX_BODY_BYTES = 10_000
_MAX_TEXT = 200
_DEFAULT_LIMIT = 50
_MAX_LIMIT = 1000

Answer = tuple[str, dict[str, Any]]


class Decisions(Protocol):
    """The newest records of the decision log."""

    def recent(self, limit: int, since: float) -> list[dict[str, Any]]:
        """Oldest first."""
        ...


class Api:
    """WSGI application for the path prefix `/api/v1`."""

    def __init__(
        self,
        status: Callable[[], dict[str, Any] | None],
        decisions: Decisions,
        holds: HoldStore,
        wake: Callable[[], None],
        *,
        is_remote_control: bool = False,
        token: TokenFile | None = None,
    ) -> None:
        self._status = status
        self._decisions = decisions
        self._holds = holds
        self._wake = wake
        self._is_remote_control = is_remote_control
        self._token = token

    def routes(self) -> dict[str, Application]:
        """For `MetricsServer`."""
        return {"/api/v1": self}

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answers one request."""
        try:
            status, body = self._answer(environ)
        except _RefusedError as refusal:
            status, body = refusal.status, {"error": str(refusal)}
        text = json.dumps(body) + "\n"
        return respond(start_response, status, text, content_type="application/json")

    def _answer(self, environ: dict[str, Any]) -> Answer:
        method = environ.get("REQUEST_METHOD", "GET")
        path = environ.get("PATH_INFO", "")
        handlers: dict[tuple[str, str], Callable[[dict[str, Any]], Answer]] = {
            ("GET", "/api/v1/status"): self._get_status,
            ("GET", "/api/v1/decisions"): self._get_decisions,
            ("POST", "/api/v1/pause"): self._pause,
            ("POST", "/api/v1/resume"): self._resume,
        }
        handler = handlers.get((method, path))
        if handler is not None:
            return handler(environ)
        known = sorted(f"{verb} {route}" for verb, route in handlers)
        if any(route == path for _, route in handlers):
            raise _RefusedError("405 Method Not Allowed", f"there is: {', '.join(known)}")
        raise _RefusedError("404 Not Found", f"no such path; there is: {', '.join(known)}")

    def _get_status(self, _environ: dict[str, Any]) -> Answer:
        status = self._status()
        if status is None:
            raise _RefusedError("503 Service Unavailable", "no turn is finished yet; ask again")
        hold = self._holds.get()
        shown = None if hold is None else {"author": hold.author, "reason": hold.reason}
        return "200 OK", {**status, "paused": hold is not None, "hold": shown}

    def _get_decisions(self, environ: dict[str, Any]) -> Answer:
        query = parse_qs(environ.get("QUERY_STRING", ""))
        limit = int(_number(query, "limit", _DEFAULT_LIMIT, _MAX_LIMIT))
        since = _number(query, "since", 0.0, float("inf"))
        return "200 OK", {"decisions": self._decisions.recent(limit, since)}

    def _pause(self, environ: dict[str, Any]) -> Answer:
        body = _body(environ)
        hold = Hold(_text(body, "author", "unknown"), _text(body, "reason", ""))
        return self._set(hold, environ)

    def _resume(self, environ: dict[str, Any]) -> Answer:
        return self._set(None, environ)

    def _set(self, hold: Hold | None, environ: dict[str, Any]) -> Answer:
        http_requests.need_right_to_order(
            environ, is_remote_control=self._is_remote_control, token=self._token
        )
        try:
            self._holds.set(hold)
        except OSError as error:
            raise _RefusedError(
                "500 Internal Server Error", f"the order cannot be kept: {error.strerror}"
            ) from None
        self._wake()
        return "200 OK", {"paused": hold is not None}


def _number(query: dict[str, list[str]], name: str, default: float, most: float) -> float:
    text = query.get(name, [""])[-1]
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not value >= 0:
        raise _RefusedError("400 Bad Request", f"{name} = {text[:40]!r}: must be a number >= 0")
    return min(value, most)


def _body(environ: dict[str, Any]) -> dict[str, Any]:
    return http_requests.read_body(environ, _MAX_BODY_BYTES)


def _text(body: dict[str, Any], name: str, default: str) -> str:
    value = body.get(name, default)
    if not isinstance(value, str) or len(value) > _MAX_TEXT:
        raise _RefusedError(
            "400 Bad Request", f"{name}: must be text of at most {_MAX_TEXT} characters"
        )
    return value
