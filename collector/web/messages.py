"""What a client asks, and what it gets. Pure."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote, urlsplit

TEXT = "text/plain; charset=utf-8"
HTML = "text/html; charset=utf-8"
_MOST_PARAMETERS = 100

Headers = tuple[tuple[str, str], ...]


class MalformedError(Exception):
    """The request is not one. The text says why."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request without a body. `headers` are under lower-case names, doubled ones joined."""

    method: str
    path: str
    query: Mapping[str, Sequence[str]] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer: it is sent with its length, or not at all."""

    status: int
    body: bytes
    content_type: str = TEXT
    headers: Headers = ()
    has_length: bool = True
    """False for the head of an answer that was not made."""


Handler = Callable[[Request], Awaitable[Answer]]


def text_answer(status: int, text: str, headers: Headers = ()) -> Answer:
    """One sentence."""
    return Answer(status, f"{text}\n".encode(), TEXT, headers)


def parse_target(target: bytes) -> tuple[str, dict[str, list[str]]]:
    """Path and query of a request line's target, in origin or absolute form.

    Raises:
        MalformedError: it is neither.

    """
    try:
        parts = urlsplit(target.decode("ascii"))
        path = unquote(parts.path, errors="strict") or "/"
        query = parse_qs(
            parts.query, keep_blank_values=True, errors="strict", max_num_fields=_MOST_PARAMETERS
        )
    except UnicodeDecodeError:
        raise MalformedError("the request's path and query are not UTF-8") from None
    except ValueError:
        raise MalformedError("the request's target is not a path") from None
    if not path.startswith("/"):
        raise MalformedError("the request's target is not a path")
    return path, query
