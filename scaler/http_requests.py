"""What the scaler's HTTP applications share: refusals, JSON bodies, and who may give orders."""

import hmac
import json
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from scaler import web_origin
from servicekit.metrics import StartResponse, respond
from servicekit.tls import TokenFile, is_loopback

Answer = tuple[str, dict[str, Any]]
Environment = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with a body: which field, the value it has, and what is allowed."""

    field: str
    value: str
    fix: str

    def __str__(self) -> str:
        """One sentence."""
        return f"{self.field} = {self.value}: {self.fix}"


class RefusedError(Exception):
    """A request is not carried out. `status` is the HTTP status line."""

    def __init__(self, status: str, text: str, faults: Sequence[Fault] = ()) -> None:
        self.status = status
        self.faults = tuple(faults)
        super().__init__(text)


def bad_request(faults: Sequence[Fault]) -> RefusedError:
    """400 with every fault."""
    return RefusedError("400 Bad Request", "; ".join(map(str, faults)), faults)


def reply(start_response: StartResponse, answer: Callable[[], Answer]) -> Iterable[bytes]:
    """The answer as JSON; a refusal too."""
    try:
        status, body = answer()
    except RefusedError as refusal:
        return refuse(start_response, refusal)
    return _respond(start_response, status, body)


def refuse(start_response: StartResponse, refusal: RefusedError) -> Iterable[bytes]:
    """A refusal as JSON, with every fault."""
    body: dict[str, Any] = {"error": str(refusal)}
    if refusal.faults:
        body["faults"] = [asdict(fault) for fault in refusal.faults]
    return _respond(start_response, refusal.status, body)


def _respond(start_response: StartResponse, status: str, body: dict[str, Any]) -> Iterable[bytes]:
    text = json.dumps(body) + "\n"
    return respond(start_response, status, text, content_type="application/json")


def read_body(environ: Environment, most_bytes: int) -> dict[str, Any]:
    """The body, a JSON object; empty when there is none.

    Raises:
        RefusedError: it is too large, is no JSON object, or does not arrive.

    """
    try:
        length = int(environ.get("CONTENT_LENGTH") or 0)
    except ValueError:
        length = 0
    if length > most_bytes:
        raise RefusedError("413 Content Too Large", f"at most {most_bytes} bytes")
    if "HTTP_TRANSFER_ENCODING" in environ:
        raise RefusedError("411 Length Required", "send the body in one piece, with its length")
    try:
        content = environ["wsgi.input"].read(length) if length > 0 else b""
    except OSError:
        raise RefusedError("408 Request Timeout", "the body did not arrive") from None
    if len(content) < length:
        raise RefusedError("400 Bad Request", "the body is cut short")
    if not content.strip():
        return {}
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        raise RefusedError("400 Bad Request", "the body is not JSON") from None
    if not isinstance(body, dict):
        raise RefusedError("400 Bad Request", "the body must be a JSON object")
    return body


def need_right_to_order(
    environ: Environment,
    *,
    is_remote_control: bool,
    token: TokenFile | None,
    page_hosts: Collection[str] = (),
) -> None:
    """Orders come from this host, unless others are wanted, and of web pages from our own only.

    With `token` who gives them must show it: a guest may reach every port of its host's loopback.
    Without one the page may give orders on this host only, whatever programs may.

    Raises:
        RefusedError: this one does not.

    """
    # A web page must not pause a pool behind its reader's back.
    need_own_page(environ, page_hosts)
    is_local = is_loopback(str(environ.get("REMOTE_ADDR", "")))
    if not is_local and token is None and web_origin.is_of_a_page(environ):
        raise RefusedError(
            "403 Forbidden",
            "the page gives orders from other hosts only with a token; set control_token_file",
        )
    if not (is_remote_control or is_local):
        raise RefusedError(
            "403 Forbidden",
            "orders are taken from this host only; set remote_control: true to take them "
            "from everybody who reaches this port",
        )
    if token is not None:
        need_token(environ, token)


def need_own_page(environ: Environment, page_hosts: Collection[str]) -> None:
    """The request is of no web page, or of the scaler's own.

    Raises:
        RefusedError: it is of another page, or was sent to a name that is not expected.

    """
    fault = web_origin.page_fault(environ, page_hosts)
    if fault is not None:
        raise RefusedError("403 Forbidden", fault)


def need_token(environ: Environment, token: TokenFile) -> None:
    """The caller shows the token as `Authorization: Bearer`.

    Raises:
        RefusedError: it does not. How long that takes says nothing about the token.

    """
    scheme, _, shown = str(environ.get("HTTP_AUTHORIZATION", "")).partition(" ")
    is_right = hmac.compare_digest(shown.strip().encode(), token.read().encode())
    if scheme.lower() != "bearer" or not is_right:
        raise RefusedError(
            "401 Unauthorized", "send the header `Authorization: Bearer TOKEN` with the right token"
        )


def shown(value: object) -> str:
    """A faulty value, short enough for an error."""
    text = "not set" if value is None else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
