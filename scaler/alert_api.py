"""`POST /api/v1/alerts`: Alertmanager's webhook, version 4, with a bearer token."""

from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import Protocol

from scaler import http_requests
from scaler.alert_messages import MessageError, read_webhook
from scaler.alerts import Notice
from scaler.http_requests import Answer, Environment, RefusedError, bad_request
from servicekit import logs
from servicekit.metrics import Application, StartResponse
from servicekit.tls import TokenFile

PATH = "/api/v1/alerts"
OPERATIONS = (("POST", PATH),)
MAX_BODY_BYTES = 1_048_576


class Receipt(StrEnum):
    """What became of a notification."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    """No or the wrong token, or no body that could be read."""
    MALFORMED = "malformed"
    """Not what Alertmanager sends."""


class Desk(Protocol):
    """Takes notices; see `AlertDesk`."""

    def hear(self, notices: Sequence[Notice]) -> int:
        """How many of them a rule is for."""
        ...


class AlertApi:
    """WSGI application. Without a token it takes nothing."""

    def __init__(
        self,
        desk: Desk,
        token: TokenFile | None,
        wake: Callable[[], None],
        count: Callable[[Receipt, int], None] = lambda receipt, truncated: None,
    ) -> None:
        """`count` is told of every notification and how many alerts were left out of it."""
        self._desk = desk
        self._token = token
        self._wake = wake
        self._count = count
        self._logger = logs.get()
        self._told = ""

    def routes(self) -> dict[str, Application]:
        """For `MetricsServer`."""
        return {PATH: self}

    def __call__(self, environ: Environment, start_response: StartResponse) -> Iterable[bytes]:
        """Answers one request."""
        return http_requests.reply(start_response, lambda: self._answer(environ))

    def _answer(self, environ: Environment) -> Answer:
        if environ.get("PATH_INFO") != PATH or environ.get("REQUEST_METHOD") != "POST":
            raise RefusedError("405 Method Not Allowed", f"there is: POST {PATH}")
        try:
            if self._token is None:
                raise RefusedError(
                    "403 Forbidden", "no notifications are taken; set alert_source.token_file"
                )
            http_requests.need_token(environ, self._token)
            body = http_requests.read_body(environ, MAX_BODY_BYTES)
        except RefusedError as refusal:
            self._count(Receipt.REFUSED, 0)
            if str(refusal) != self._told:
                # Anybody can cause these; the counter has them all.
                self._logger.warning("alerts.refused", error=str(refusal))
            self._told = str(refusal)
            raise
        try:
            notification = read_webhook(body)
        except MessageError as error:
            self._count(Receipt.MALFORMED, 0)
            self._logger.warning("alerts.malformed", error=str(error))
            raise bad_request(error.faults) from None
        self._told = ""
        self._count(Receipt.ACCEPTED, notification.truncated)
        if notification.truncated:
            self._logger.warning("alerts.truncated", missing=notification.truncated)
        used = self._desk.hear(notification.notices)
        if used:
            self._wake()
        return "200 OK", {
            "alerts": len(notification.notices),
            "used": used,
            "truncated": notification.truncated,
        }
