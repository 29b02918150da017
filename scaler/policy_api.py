"""`/api/v1/policies`: the policies in effect, and the order to read their file again."""

from collections.abc import Callable, Collection, Iterable
from typing import Any

from scaler import http_requests
from servicekit.metrics import StartResponse
from servicekit.tls import TokenFile, is_loopback

PATH = "/api/v1/policies"
OPERATIONS = (("GET", PATH), ("POST", f"{PATH}/reload"))


class PolicyApi:
    """WSGI application for that path. `reload` reads the file and returns when that is done.

    The order is taken from this host only: it changes nothing but when a file of this host is read.
    With `token` it must be shown, as with any order.
    """

    def __init__(
        self,
        status: Callable[[], dict[str, Any]],
        reload: Callable[[], None],
        *,
        token: TokenFile | None = None,
        page_hosts: Collection[str] = (),
    ) -> None:
        self._status = status
        self._reload = reload
        self._token = token
        self._page_hosts = page_hosts

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answers one request."""
        return http_requests.reply(start_response, lambda: self._answer(environ))

    def _answer(self, environ: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        method, path = environ.get("REQUEST_METHOD", "GET"), environ.get("PATH_INFO", PATH)
        if method in ("GET", "HEAD") and path == PATH:
            return "200 OK", self._status()
        if method != "POST" or path != f"{PATH}/reload":
            there_is = f"there is: GET {PATH}, POST {PATH}/reload"
            is_known = path in (PATH, f"{PATH}/reload")
            return "405 Method Not Allowed" if is_known else "404 Not Found", {"error": there_is}
        if not is_loopback(str(environ.get("REMOTE_ADDR", ""))):
            return "403 Forbidden", {"error": "taken from this host only; there SIGHUP does it too"}
        http_requests.need_right_to_order(
            environ, is_remote_control=False, token=self._token, page_hosts=self._page_hosts
        )
        before = self._status()
        if before["policies_file"] is None:
            text = "the scaler has no policies_file; set one and start it again"
            return "409 Conflict", {"error": text}
        self._reload()
        return "200 OK", self._status()
