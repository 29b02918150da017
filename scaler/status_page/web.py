"""The page over HTTP: the document, its files, its state as JSON, and its stream of changes."""

import hashlib
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import asdict
from importlib.resources import files

from scaler import http_requests, web_origin
from scaler.http_requests import Answer, Environment, RefusedError
from scaler.status_page.feed import CrowdedError, Event, Feed
from scaler.status_page.html_page import page
from scaler.status_page.view import View
from servicekit.metrics import Application, StartResponse, respond

VIEW_PATH = "/api/v1/view"
EVENTS_PATH = "/api/v1/events"
OPERATIONS = (("GET", VIEW_PATH), ("GET", EVENTS_PATH))
STREAM_SECONDS = 600.0
"""A stream ends then, and the browser opens the next: one whose client vanished holds its place no
longer."""

_FILES_PATH = "/page"
_FILES = {
    "page.css": "text/css",
    "page.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
_HEARTBEAT_SECONDS = 10.0
_RETRY_MILLISECONDS = 2000
_CONTENT_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = (
    ("Content-Security-Policy", _CONTENT_POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), microphone=(), geolocation=()"),
)
_NEVER_KEPT = ("Cache-Control", "no-store")


class StaticFiles:
    """The page's own files, read once. `version` is theirs: it changes when one of them does."""

    def __init__(self) -> None:
        folder = files("scaler.status_page") / "static"
        self._texts = {name: (folder / name).read_text(encoding="utf-8") for name in _FILES}
        digest = hashlib.sha256("\0".join(self._texts.values()).encode())
        self.version = digest.hexdigest()[:12]

    def __call__(self, environ: Environment, start_response: StartResponse) -> Iterable[bytes]:
        """Answers one request."""
        name = str(environ.get("PATH_INFO", "")).removeprefix(_FILES_PATH + "/")
        if environ.get("REQUEST_METHOD") not in ("GET", "HEAD"):
            return respond(start_response, "405 Method Not Allowed", "only GET\n")
        if name not in _FILES:
            return respond(start_response, "404 Not Found", f"there is: {', '.join(_FILES)}\n")
        # The document names them with their version, so they may be kept for as long as one likes.
        kept = ("Cache-Control", "public, max-age=31536000, immutable")
        if environ.get("QUERY_STRING") != self.version:
            kept = ("Cache-Control", "no-cache")
        return _whole(
            environ,
            respond(
                start_response,
                "200 OK",
                self._texts[name],
                content_type=_FILES[name],
                headers=(*_HEADERS, kept),
            ),
        )


class StatusPage:
    """The WSGI applications of the page.

    `view` makes what is shown now and may ask others for it; `zone` names the zone of its times.
    """

    def __init__(
        self,
        view: Callable[[], View],
        feed: Feed,
        static: StaticFiles,
        *,
        page_hosts: Collection[str] = (),
        zone: Callable[[], str] = lambda: time.strftime("%Z"),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._view = view
        self._feed = feed
        self._static = static
        self._page_hosts = page_hosts
        self._zone = zone
        self._monotonic = monotonic

    def routes(self) -> dict[str, Application]:
        """For `MetricsServer`; the document itself is its `landing`."""
        return {_FILES_PATH: self._static, VIEW_PATH: self.json, EVENTS_PATH: self.events}

    def document(self, environ: Environment, start_response: StartResponse) -> Iterable[bytes]:
        """The page."""
        fault = web_origin.host_fault(str(environ.get("HTTP_HOST") or ""), self._page_hosts)
        if fault is not None:
            return respond(start_response, "403 Forbidden", fault + "\n", headers=_HEADERS)
        if environ.get("REQUEST_METHOD") not in ("GET", "HEAD"):
            return respond(start_response, "405 Method Not Allowed", "only GET\n")
        return _whole(
            environ,
            respond(
                start_response,
                "200 OK",
                page(self._view(), self._zone()),
                content_type="text/html",
                headers=(*_HEADERS, _NEVER_KEPT),
            ),
        )

    def json(self, environ: Environment, start_response: StartResponse) -> Iterable[bytes]:
        """What is shown, as data."""
        return http_requests.reply(start_response, lambda: self._json(environ))

    def events(self, environ: Environment, start_response: StartResponse) -> Iterable[bytes]:
        """Server-sent events, until the client goes or the stream is old."""
        try:
            self._need_read(environ, EVENTS_PATH)
            with self._feed.stream(str(environ.get("HTTP_LAST_EVENT_ID") or "")) as stream:
                # Written with `write`, not returned: only so can a broken connection be told from a
                # fault of ours.
                write = start_response(
                    "200 OK",
                    [("Content-Type", "text/event-stream; charset=utf-8"), *_HEADERS, _NEVER_KEPT],
                )
                self._send(stream.next, write)
        except RefusedError as refusal:
            return http_requests.refuse(start_response, refusal)
        except CrowdedError as crowded:
            full = RefusedError("503 Service Unavailable", str(crowded))
            return http_requests.refuse(start_response, full)
        return []

    def _send(
        self, following: Callable[[float], list[Event] | None], write: Callable[[bytes], object]
    ) -> None:
        end = self._monotonic() + STREAM_SECONDS
        try:
            write(f"retry: {_RETRY_MILLISECONDS}\n\n".encode())
            while self._monotonic() < end:
                found = following(_HEARTBEAT_SECONDS)
                if found is None:
                    return
                write(b"".join(map(_encoded, found)) or b": still here\n\n")
        except OSError:
            # The client has gone, or takes too long to read.
            return

    def _json(self, environ: Environment) -> Answer:
        self._need_read(environ, VIEW_PATH)
        return "200 OK", asdict(self._view())

    def _need_read(self, environ: Environment, path: str) -> None:
        """Refuses other methods and other pages: each stream takes a place that others lack."""
        if environ.get("PATH_INFO") != path:
            raise RefusedError("404 Not Found", f"no such path; there is: GET {path}")
        if environ.get("REQUEST_METHOD") != "GET":
            raise RefusedError("405 Method Not Allowed", f"there is: GET {path}")
        fault = web_origin.read_fault(environ, self._page_hosts)
        if fault is not None:
            raise RefusedError("403 Forbidden", fault)


def _encoded(event: Event) -> bytes:
    # JSON has no line ends in it, so the data is one line.
    return f"id: {event.id}\nevent: {event.kind}\ndata: {event.data}\n\n".encode()


def _whole(environ: Environment, body: list[bytes]) -> list[bytes]:
    """A HEAD request gets the headers of the answer, and not the answer."""
    return [] if environ.get("REQUEST_METHOD") == "HEAD" else body
