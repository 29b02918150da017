"""How calls fail. Texts are for a person and hold no number."""

from collections.abc import Sequence
from dataclasses import dataclass

_RETRYABLE = frozenset(
    {"UNAVAILABLE", "CANCELLED", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "ABORTED"}
)
# What gRPC itself says of a message above the limit: it is as large the next time.
_TOO_LARGE = "larger than max"
# How gRPC may tell of a server that died in the middle of an answer, and of any end that a write
# on its way met: it forgets the status that came (grpc issue 36066). The next attempt tells.
_CUT = ("RST_STREAM", "Internal error from Core")


@dataclass(frozen=True, slots=True)
class Violation:
    """One faulty field of a request."""

    field: str
    """Its path, such as `jobs[3].number`."""
    description: str
    """What is wrong with it; never holds a number."""


class DispatcherError(Exception):
    """A call failed. `code` is the gRPC code's name."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        retry_seconds: float | None = None,
        violations: Sequence[Violation] = (),
        is_retryable: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.retry_seconds = retry_seconds
        """How long the dispatcher asks to wait before the next try; None when it does not say."""
        self.violations = tuple(violations)
        self.is_retryable = code in _RETRYABLE if is_retryable is None else is_retryable
        """True when the same call may succeed later. Every call of this client can be repeated."""
        self.accepted_ids: tuple[str, ...] = ()
        """Of a submission in several requests: the jobs of those that were accepted before."""


class InvalidRequestError(DispatcherError):
    """A field breaks a rule; `violations` name the fields."""


class UnknownJobError(DispatcherError):
    """No such job, or no such worker."""


class OverloadedError(DispatcherError):
    """The dispatcher takes no more jobs now; `retry_seconds` says when to come back."""


class UnavailableError(DispatcherError):
    """The dispatcher does not answer."""


class NotAllowedError(DispatcherError):
    """The token is missing or wrong, or its role does not allow the call."""


class ConflictError(DispatcherError):
    """The request id was used before with another content."""


_CLASSES: dict[str, type[DispatcherError]] = {
    "INVALID_ARGUMENT": InvalidRequestError,
    "NOT_FOUND": UnknownJobError,
    "RESOURCE_EXHAUSTED": OverloadedError,
    "UNAVAILABLE": UnavailableError,
    "UNAUTHENTICATED": NotAllowedError,
    "PERMISSION_DENIED": NotAllowedError,
    "ALREADY_EXISTS": ConflictError,
}


def refusal(violations: Sequence[Violation]) -> str:
    """What the dispatcher refuses a request for: each fault once, with the first that has it."""
    fields: dict[str, list[str]] = {}
    for each in violations:
        fields.setdefault(each.description, []).append(each.field)
    named = "; ".join(
        f"{first}{f' and {len(others)} more' if others else ''}: {description}"
        for description, (first, *others) in fields.items()
    )
    return f"the dispatcher refused the request: {named}"


def error_of(
    address: str,
    code: str,
    detail: str,
    *,
    violations: Sequence[Violation] = (),
    retry_seconds: float | None = None,
) -> DispatcherError:
    """The error that fits a call's status."""
    detail = detail.rstrip(".")
    is_retryable = None
    if code == "RESOURCE_EXHAUSTED" and retry_seconds is None and _TOO_LARGE in detail:
        is_retryable = False
    elif code == "INTERNAL" and any(sign in detail for sign in _CUT):
        is_retryable = True
    if code == "UNAVAILABLE":
        text = f"the dispatcher at {address} does not answer ({detail})"
    elif violations:
        text = refusal(violations)
    else:
        text = f"the dispatcher at {address} answered {code}: {detail}"
    return _CLASSES.get(code, DispatcherError)(
        code, text, retry_seconds=retry_seconds, violations=violations, is_retryable=is_retryable
    )
