"""`/api/v1/policies`: the policies in effect, and the order to read their file again."""

import json
from collections.abc import Callable, Iterable
from typing import Any

from servicekit.metrics import StartResponse, respond
from servicekit.tls import is_loopback

_PATH = "/api/v1/policies"
OPERATIONS = (("GET", _PATH), ("POST", f"{_PATH}/reload"))


class PolicyApi:
    """WSGI application for that path. `reload` reads the file and returns when that is done.

    The order is taken from this host only: it changes nothing but when a file of this host is read.
    """

    def __init__(self, status: Callable[[], dict[str, Any]], reload: Callable[[], None]) -> None:
        self._status = status
        self._reload = reload

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answers one request."""
        status, body = self._answer(environ)
        text = json.dumps(body) + "\n"
        return respond(start_response, status, text, content_type="application/json")

    def _answer(self, environ: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        method, path = environ.get("REQUEST_METHOD", "GET"), environ.get("PATH_INFO", _PATH)
        if method in ("GET", "HEAD") and path == _PATH:
            return "200 OK", self._status()
        if method != "POST" or path != f"{_PATH}/reload":
            there_is = f"there is: GET {_PATH}, POST {_PATH}/reload"
            is_known = path in (_PATH, f"{_PATH}/reload")
            return "405 Method Not Allowed" if is_known else "404 Not Found", {"error": there_is}
        if environ.get("HTTP_ORIGIN"):
            return "403 Forbidden", {"error": "requests from web pages are refused"}
        if not is_loopback(str(environ.get("REMOTE_ADDR", ""))):
            return "403 Forbidden", {"error": "taken from this host only; there SIGHUP does it too"}
        before = self._status()
        if before["policies_file"] is None:
            text = "the scaler has no policies_file; set one and start it again"
            return "409 Conflict", {"error": text}
        self._reload()
        return "200 OK", self._status()
