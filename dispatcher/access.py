"""Who may do what: roles, the methods each allows, tokens, and the names in certificates. Pure.

Tokens are random and long, so one plain digest of each is kept: there is nothing to guess, and who
reads the file cannot use it.
"""

import calendar
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from urllib.parse import quote, unquote

MAX_TOKENS = 1000

_ROLE_NAME = "urn:virtscale:role:"
_WORKER_NAME = "urn:virtscale:worker:"
_OURS = "urn:virtscale:"
_TOKEN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_UNTIL = re.compile(r"until:(\d{4})-(\d\d)-(\d\d)")
_LINE = "<name> <role>[,<role>] sha256:<64 hex digits> [until:YYYY-MM-DD]"


class Role(Enum):
    """What a client may do."""

    SUBMIT = "submit"
    READ = "read"
    FLEET = "fleet"
    ADMIN = "admin"


class Refusal(Enum):
    """Why a call or a session was refused."""

    NO_CREDENTIAL = "no_credential"
    MALFORMED_CREDENTIAL = "malformed_credential"
    UNKNOWN_TOKEN = "unknown_token"
    EXPIRED_TOKEN = "expired_token"
    MISSING_ROLE = "missing_role"
    FOREIGN_CERTIFICATE = "foreign_certificate"
    WRONG_JOIN_TOKEN = "wrong_join_token"
    WRONG_LISTENER = "wrong_listener"


@dataclass(frozen=True, slots=True)
class Token:
    """One line of the tokens file. `until` is Unix time."""

    name: str
    roles: frozenset[Role]
    digest: bytes
    until: float | None = None

    def has_ended(self, now: float) -> bool:
        """True from its last moment on."""
        return self.until is not None and now >= self.until


@dataclass(frozen=True, slots=True)
class Denied:
    """A refused call: the text is for the caller and holds no secret."""

    refusal: Refusal
    text: str


_SUBMIT, _READ, _FLEET = (
    frozenset({role, Role.ADMIN}) for role in (Role.SUBMIT, Role.READ, Role.FLEET)
)
_OUR_METHODS = "/virtscale.v1."
_LICENSES, _FLEETS = _OUR_METHODS + "LicenseService/", _OUR_METHODS + "FleetService/"

NEEDED: Mapping[str, frozenset[Role]] = {
    _LICENSES + "SubmitJobs": _SUBMIT,
    _LICENSES + "StreamJobs": _SUBMIT,
    _LICENSES + "CancelJobs": _SUBMIT,
    _LICENSES + "GetJob": _READ,
    _LICENSES + "WaitJobs": _READ,
    _LICENSES + "ListJobs": _READ,
    _LICENSES + "WatchResults": _READ,
    _LICENSES + "VerifyLicense": _READ,
    _FLEETS + "ListWorkers": _READ | _FLEET,
    _FLEETS + "GetBacklog": _READ | _FLEET,
    _FLEETS + "CordonWorker": _FLEET,
    _FLEETS + "UncordonWorker": _FLEET,
    _FLEETS + "DrainWorker": _FLEET,
}
"""Roles of which one is enough, by method."""


def needed(method: str) -> frozenset[Role]:
    """Roles of which one is enough; `admin` alone for a method that has no row yet."""
    return NEEDED.get(method, frozenset({Role.ADMIN}))


def is_for_clients(method: str) -> bool:
    """True for calls that need a role.

    Health and reflection say nothing that is not public; workers prove themselves in Hello.
    """
    return method.startswith(_OUR_METHODS) and not is_for_workers(method)


def is_for_workers(method: str) -> bool:
    """True for the calls of workers."""
    return method.startswith(_OUR_METHODS + "WorkerService/")


def wrong_listener(method: str) -> Denied | None:
    """What to say to a call of ours that its listener does not serve."""
    if is_for_workers(method):
        text = f"{method} is served to workers on another port: the dispatcher's listen_workers"
    elif method not in NEEDED:
        return None  # there is no such method anywhere
    else:
        text = f"{method} is not served here: this port is for workers, clients' is listen"
    return Denied(Refusal.WRONG_LISTENER, text)


def parse_tokens(text: str) -> tuple[Token, ...]:
    """The tokens of a file: one a line; empty lines and those that begin with # count for nothing.

    Raises:
        ValueError: with every fault, joined by "; ".

    """
    tokens: list[Token] = []
    faults: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        try:
            token = _token(words)
        except ValueError as error:
            faults.append(f"line {number}: {error}")
            continue
        if any(other.name == token.name for other in tokens):
            faults.append(f"line {number}: the name {token.name!r} is taken by an earlier line")
        tokens.append(token)
    if not tokens and not faults:
        faults.append(f"holds no token; each line is {_LINE} (virtscale certs token makes one)")
    if len(tokens) > MAX_TOKENS:
        faults.append(f"holds {len(tokens)} tokens; at most {MAX_TOKENS} are allowed")
    if faults:
        raise ValueError("; ".join(faults))
    return tuple(tokens)


def _token(words: Sequence[str]) -> Token:
    # A fault never quotes the line: somebody may have written the token itself into it.
    if not 3 <= len(words) <= 4:
        raise ValueError(f"must be {_LINE}")
    name, roles, digest, *rest = words
    if not _TOKEN_NAME.fullmatch(name):
        raise ValueError("the name must be 1 to 64 letters, digits or ._@-")
    known = {role.value for role in Role}
    if not set(roles.split(",")) <= known:
        raise ValueError(f"the roles of {name!r} must be of {', '.join(sorted(known))}")
    found = _DIGEST.fullmatch(digest)
    if found is None:
        raise ValueError(f"the digest of {name!r} must be sha256: and 64 hex digits of the token's")
    return Token(
        name,
        frozenset(Role(role) for role in roles.split(",")),
        bytes.fromhex(found.group(1)),
        _until(name, rest[0]) if rest else None,
    )


def _until(name: str, word: str) -> float:
    found = _UNTIL.fullmatch(word)
    if found is None or not (1 <= int(found.group(2)) <= 12 and 1 <= int(found.group(3)) <= 31):
        raise ValueError(f"the end of {name!r} must be until:YYYY-MM-DD")
    year, month, day = map(int, found.groups())
    return float(calendar.timegm((year, month, day, 0, 0, 0)))


def judge(
    method: str,
    authorization: str | None,
    names: Iterable[str],
    tokens: Sequence[Token],
    now: float,
) -> Denied | None:
    """None when the call is allowed.

    `authorization` is the call's metadata of that name, `names` the alternative names (URIs) of
    the client's certificate, `now` Unix time.
    """
    wanted = needed(method)
    presented = _presented(authorization)
    token = _find(tokens, presented) if presented else None
    if token is not None and token.roles & wanted and not token.has_ended(now):
        return None
    certified = roles_of(names)
    if certified & wanted:
        return None
    what = f"{method} needs the role {_one_of(wanted)}"
    if authorization is None and certified:
        return Denied(Refusal.MISSING_ROLE, f"{what}; the certificate has {_list(certified)}")
    if authorization is None:
        return Denied(
            Refusal.NO_CREDENTIAL,
            f"{what}; send a token that has it as metadata 'authorization: Bearer TOKEN'",
        )
    if not presented:
        return Denied(
            Refusal.MALFORMED_CREDENTIAL,
            f"{what}; the metadata 'authorization' must be 'Bearer TOKEN'",
        )
    if token is None:
        return Denied(
            Refusal.UNKNOWN_TOKEN,
            f"{what}; the token sent is none of this dispatcher's (see its tokens_file)",
        )
    if token.has_ended(now):
        return Denied(Refusal.EXPIRED_TOKEN, f"{what}; the token {token.name!r} has expired")
    return Denied(
        Refusal.MISSING_ROLE, f"{what}; the token {token.name!r} has {_list(token.roles)}"
    )


def _presented(authorization: str | None) -> str:
    """The token in a header; empty when there is none."""
    kind, _, presented = (authorization or "").strip().partition(" ")
    return presented.strip() if kind.lower() == "bearer" else ""


def _find(tokens: Sequence[Token], presented: str) -> Token | None:
    """Looks at all of them, each in constant time: how long it takes tells nothing."""
    digest = hashlib.sha256(presented.encode()).digest()
    found = None
    for token in tokens:
        if hmac.compare_digest(token.digest, digest):
            found = token
    return found


def roles_of(names: Iterable[str]) -> frozenset[Role]:
    """The roles that a certificate's alternative names give."""
    named = {name.removeprefix(_ROLE_NAME) for name in names if name.startswith(_ROLE_NAME)}
    return frozenset(role for role in Role if role.value in named)


def worker_name(worker_id: str) -> str:
    """What a worker's certificate must have among its alternative names."""
    return _WORKER_NAME + quote(worker_id, safe="")


def speaks_for(worker_id: str, common_name: str, names: Sequence[str]) -> bool:
    """Whether a client certificate is that worker's.

    `urn:virtscale:worker:<id>` (percent-encoded) among its alternative names says so; the common
    name counts only when no name of ours is in the certificate, so that neither a client's nor a
    server's certificate of the same authority can ever speak for a worker.
    """
    ours = [name for name in names if name.startswith(_OURS)]
    if ours:
        return any(
            unquote(name.removeprefix(_WORKER_NAME)) == worker_id
            for name in ours
            if name.startswith(_WORKER_NAME)
        )
    return common_name == worker_id


def _one_of(roles: Iterable[Role]) -> str:
    names = [role.value for role in Role if role in set(roles) - {Role.ADMIN}]
    return " or ".join(names) or Role.ADMIN.value


def _list(roles: Iterable[Role]) -> str:
    held = set(roles)
    return ", ".join(role.value for role in Role if role in held)
