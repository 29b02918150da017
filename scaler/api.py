"""The scaler's HTTP API: status, decisions and why, pause and resume. JSON in and out."""

import json
import time
from collections.abc import Callable, Collection, Iterable
from typing import Any
from urllib.parse import parse_qs

from scaler import http_requests, openapi
from scaler.decision import Hold
from scaler.entries import FAR, History, Page
from scaler.explanation import UnknownDomainError
from scaler.http_requests import RefusedError as _RefusedError
from scaler.inquiry import Inquiry, NotRecordedError
from scaler.ports import HoldStore
from scaler.reasons import Reason
from scaler.times_of_day import duration, moment, span
from servicekit.metrics import Application, StartResponse, respond, service_version
from servicekit.tls import TokenFile

_MAX_BODY_BYTES = 10_000
_MAX_TEXT = 200
_DEFAULT_LIMIT = 50
_MAX_LIMIT = 1000

Answer = tuple[str, dict[str, Any]]


class Api:
    """WSGI application for the path prefix `/api/v1`."""

    def __init__(
        self,
        status: Callable[[], dict[str, Any] | None],
        history: History,
        holds: HoldStore,
        wake: Callable[[], None],
        *,
        is_remote_control: bool = False,
        token: TokenFile | None = None,
        page_hosts: Collection[str] = (),
        gap_seconds: float = 30.0,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._status = status
        self._history = history
        self._inquiry = Inquiry(history, gap_seconds=gap_seconds)
        self._wall = wall
        self._holds = holds
        self._wake = wake
        self._is_remote_control = is_remote_control
        self._token = token
        self._page_hosts = page_hosts
        self._handlers: dict[tuple[str, str], Callable[[dict[str, Any]], Answer]] = {
            ("GET", "/api/v1/status"): self._get_status,
            ("GET", "/api/v1/decisions"): self._get_decisions,
            ("GET", "/api/v1/explain"): self._get_explanation,
            ("GET", "/api/v1/openapi.json"): self._get_description,
            ("POST", "/api/v1/pause"): self._pause,
            ("POST", "/api/v1/resume"): self._resume,
        }

    def operations(self) -> list[tuple[str, str]]:
        """Method and path of everything there is."""
        return sorted(self._handlers)

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
        handler = self._handlers.get((method, path))
        if handler is not None:
            return handler(environ)
        known = sorted(f"{verb} {route}" for verb, route in self._handlers)
        if any(route == path for _, route in self._handlers):
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
        before = _number(query, "before", 0.0, 2**62)
        page = Page(
            limit=limit,
            since=self._moment(query, "since", 0.0),
            until=self._moment(query, "until", FAR),
            reasons=_words(query, "reason", [reason.value for reason in Reason]),
            kinds=_words(query, "type", ["decision", "result", "config"]),
            before=int(before) if before else None,
        )
        found = self._history.entries(page)
        has_more = limit > 0 and len(found) == limit
        return "200 OK", {
            "decisions": [one.shown() for one in found],
            "next": found[0].id if has_more else None,
        }

    def _get_explanation(self, environ: dict[str, Any]) -> Answer:
        query = parse_qs(environ.get("QUERY_STRING", ""))
        now = self._wall()
        at = self._moment(query, "at", now)
        last = query.get("last", [""])[-1]
        if last:
            try:
                seconds = duration(last)
            except ValueError as error:
                raise _RefusedError("400 Bad Request", f"last = {error}") from None
            return "200 OK", self._inquiry.period(at - seconds, at, now=now)
        actions = int(_number(query, "actions", 10.0, 1000.0))
        domain = query.get("domain", [None])[-1]
        within = span(query.get("at", [""])[-1])
        try:
            return "200 OK", self._inquiry.explain(
                at, now=now, within=within, domain=domain, actions=actions
            )
        except (NotRecordedError, UnknownDomainError) as error:
            raise _RefusedError("404 Not Found", str(error)) from None

    def _get_description(self, _environ: dict[str, Any]) -> Answer:
        return "200 OK", openapi.document(service_version())

    def _moment(self, query: dict[str, list[str]], name: str, default: float) -> float:
        text = query.get(name, [""])[-1]
        if not text:
            return default
        try:
            return moment(text, now=self._wall())
        except ValueError as error:
            raise _RefusedError("400 Bad Request", f"{name} = {error}") from None

    def _pause(self, environ: dict[str, Any]) -> Answer:
        body = _body(environ)
        hold = Hold(_text(body, "author", "unknown"), _text(body, "reason", ""))
        return self._set(hold, environ)

    def _resume(self, environ: dict[str, Any]) -> Answer:
        return self._set(None, environ)

    def _set(self, hold: Hold | None, environ: dict[str, Any]) -> Answer:
        http_requests.need_right_to_order(
            environ,
            is_remote_control=self._is_remote_control,
            token=self._token,
            page_hosts=self._page_hosts,
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


def _words(query: dict[str, list[str]], name: str, known: list[str]) -> tuple[str, ...]:
    """Values of a parameter that may be given several times, or with commas between."""
    found = tuple(word for text in query.get(name, []) for word in text.split(",") if word)
    unknown = [word for word in found if word not in known]
    if unknown:
        raise _RefusedError(
            "400 Bad Request", f"{name} = {unknown[0][:40]!r}: must be one of {', '.join(known)}"
        )
    return found


def _body(environ: dict[str, Any]) -> dict[str, Any]:
    return http_requests.read_body(environ, _MAX_BODY_BYTES)


def _text(body: dict[str, Any], name: str, default: str) -> str:
    value = body.get(name, default)
    if not isinstance(value, str) or len(value) > _MAX_TEXT:
        raise _RefusedError(
            "400 Bad Request", f"{name}: must be text of at most {_MAX_TEXT} characters"
        )
    return value
