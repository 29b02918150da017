"""The three hash formats: keyed numbers, parsing and verification. Pure.

A salt does not protect a number from a small space, so the keyed formats start from
k = HMAC-SHA-256(pepper, number), computed here; guests see only k. Stored forms come from outside,
so parsing is strict and the cost of Argon2id is bounded before any memory is spent.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from argon2.low_level import Type, hash_secret_raw

from dispatcher.jobs import Payload, Profile
from dispatcher.plates import canonical

_NUMBER_DOMAIN = b"virtscale:number:v1:"
_HMAC_DOMAIN = b"virtscale:hmac-sha256:v1:"
_REQUEST_DOMAIN = b"virtscale:request:v1:"
_JOIN_DOMAIN = b"virtscale-join-v1:"

_MAX_STORED_CHARACTERS = 512
_KEY_ID = r"[A-Za-z0-9_.-]{1,32}"
_LEGACY = re.compile(r"([0-9a-f]{64}):([0-9a-f]{32})")
_HMAC = re.compile(rf"\$hmac-sha256\$keyid=({_KEY_ID})\$([A-Za-z0-9+/]{{43}})")
_ARGON2ID = re.compile(
    r"\$argon2id\$v=19\$m=([1-9][0-9]{0,6}),t=([1-9][0-9]?),p=([1-9][0-9]?),"
    rf"keyid=({_KEY_ID})\$([A-Za-z0-9+/]{{22}})\$([A-Za-z0-9+/]{{43}})"
)


class MalformedHashError(Exception):
    """A stored form that none of the three formats has."""


class UnknownKeyError(Exception):
    """A stored form names a key that is not in the pepper file."""

    def __init__(self, key_id: str) -> None:
        self.key_id = key_id
        super().__init__(key_id)


@dataclass(frozen=True, slots=True)
class Cost:
    """Cost of one Argon2id hash."""

    memory_kib: int = 19456
    passes: int = 2
    lanes: int = 1

    @property
    def is_bearable(self) -> bool:
        """False for a cost that would be a denial of service: above 64 MiB, 10 passes, 4 lanes."""
        return 8 * self.lanes <= self.memory_kib <= 65536 and self.passes <= 10 and self.lanes <= 4


@dataclass(frozen=True, slots=True)
class Key:
    """One secret of the pepper file."""

    key_id: str
    secret: bytes = field(repr=False)


_NO_KEY = Key("", bytes(32))


@dataclass(frozen=True, slots=True)
class Keyring:
    """The live keys, the current one first. Empty: keyed profiles are not available."""

    keys: tuple[Key, ...] = ()

    @property
    def current(self) -> Key | None:
        """The key that new hashes are made with."""
        return self.keys[0] if self.keys else None

    def find_key(self, key_id: str) -> Key | None:
        """The key of that name; None when it is not live."""
        return next((key for key in self.keys if key.key_id == key_id), None)


@dataclass(frozen=True, slots=True)
class KeyChange:
    """What a new pepper file changes."""

    current: str
    added: tuple[str, ...]
    removed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LegacyHash:
    """`sha256hex(salt + number):salt`."""

    digest: str
    salt: str


@dataclass(frozen=True, slots=True)
class HmacHash:
    """`$hmac-sha256$keyid=...$...`."""

    key_id: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class Argon2idHash:
    """`$argon2id$v=19$m=...,t=...,p=...,keyid=...$...$...`."""

    cost: Cost
    key_id: str
    salt: bytes
    digest: bytes


StoredHash = LegacyHash | HmacHash | Argon2idHash


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a stored form belongs to a number, and whether it should be made anew."""

    matches: bool
    needs_rehash: bool


def parse_pepper(text: str) -> Keyring:
    """Reads `<key id>:<hex of at least 32 bytes>` lines, the current key first.

    Raises:
        ValueError: with the line's number and the fix, without the secret.

    """
    keys: list[Key] = []
    for place, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        key_id, _, digits = line.strip().partition(":")
        if not re.fullmatch(_KEY_ID, key_id):
            raise ValueError(
                f"line {place}: the key id must be 1 to 32 of A-Z a-z 0-9 _ . -; "
                "write <key id>:<hex>"
            )
        try:
            secret = bytes.fromhex(digits)
        except ValueError:
            raise ValueError(f"line {place}: the part after the colon is not hex") from None
        if len(secret) < 32:
            raise ValueError(f"line {place}: the key has {len(secret)} bytes, at least 32 needed")
        if any(key.key_id == key_id for key in keys):
            raise ValueError(f"line {place}: key id {key_id!r} is there twice")
        keys.append(Key(key_id, secret))
    if not keys:
        raise ValueError("holds no key; write <key id>:<hex of at least 32 bytes>")
    return Keyring(tuple(keys))


def key_change(before: Keyring, after: Keyring) -> KeyChange:
    """What differs between two key rings.

    Raises:
        ValueError: a key has another secret than before, which would break every hash of it.

    """
    secrets = {key.key_id: key.secret for key in before.keys}
    for key in after.keys:
        if not hmac.compare_digest(secrets.get(key.key_id, key.secret), key.secret):
            raise ValueError(
                f"key id {key.key_id!r} has another secret than before; give a new key a new id"
            )
    kept = {key.key_id for key in after.keys}
    return KeyChange(
        after.current.key_id if after.current else "",
        tuple(key.key_id for key in after.keys if key.key_id not in secrets),
        tuple(key_id for key_id in secrets if key_id not in kept),
    )


def legacy_form(number: str) -> str:
    """The form that LEGACY_SHA256 hashes: as submitted, stripped, upper case, hyphens kept."""
    return number.strip().upper()


def keyed_number(key: Key, number: str) -> bytes:
    """The 32 bytes that stand for a number outside the dispatcher."""
    return _mac(key.secret, _NUMBER_DOMAIN + canonical(number).encode())


def payload_input(profile: Profile, number: str, keyring: Keyring) -> tuple[bytes, str]:
    """What a worker hashes for `number`, and the name of the key used ("" for legacy).

    Raises:
        UnknownKeyError: a keyed profile without any key.

    """
    if profile is Profile.LEGACY_SHA256:
        return legacy_form(number).encode(), ""
    if keyring.current is None:
        raise UnknownKeyError("")
    return keyed_number(keyring.current, number), keyring.current.key_id


def request_digests(parts: Iterable[bytes], keyring: Keyring) -> tuple[str, ...]:
    """One digest of a request's content per live key, the current key's first.

    Keyed, because a plain digest of one number could be walked back to it. All live keys, so that a
    request repeated across a change of keys is still known.
    """
    framed = [piece for part in parts for piece in (len(part).to_bytes(4, "big"), part)]
    whole = hashlib.sha256(_REQUEST_DOMAIN + b"".join(framed)).digest()
    if not keyring.keys:
        return (":" + whole.hex(),)
    return tuple(f"{key.key_id}:{_mac(key.secret, whole).hex()}" for key in keyring.keys)


def _mac(secret: bytes, data: bytes) -> bytes:
    # Not hmac.digest: that lets go of the interpreter's lock for a microsecond of work, and when
    # another thread takes it the way back is a hundred times as long.
    return hmac.new(secret, data, "sha256").digest()


def join_token(join_key: bytes, worker_id: str) -> str:
    """The proof that a worker may be `worker_id`."""
    digest = hmac.digest(join_key, _JOIN_DOMAIN + worker_id.encode(), "sha256")
    return "v1." + base64.urlsafe_b64encode(digest).decode().rstrip("=")


def is_join_token(join_key: bytes, worker_id: str, token: str) -> bool:
    """Compares in constant time."""
    return hmac.compare_digest(join_token(join_key, worker_id).encode(), token.encode())


def parse(stored: str) -> StoredHash:
    """Reads a stored form.

    Raises:
        MalformedHashError: it has none of the three formats, or an unbearable cost.

    """
    if len(stored) <= _MAX_STORED_CHARACTERS:
        if match := _LEGACY.fullmatch(stored):
            return LegacyHash(match[1], match[2])
        if match := _HMAC.fullmatch(stored):
            return HmacHash(match[1], _decoded(match[2]))
        if match := _ARGON2ID.fullmatch(stored):
            cost = Cost(int(match[1]), int(match[2]), int(match[3]))
            if not cost.is_bearable:
                raise MalformedHashError(
                    "its Argon2id cost is out of bounds (at most m=65536, t=10, p=4)"
                )
            return Argon2idHash(cost, match[4], _decoded(match[5]), _decoded(match[6]))
    raise MalformedHashError(
        "must be `digest:salt`, `$hmac-sha256$keyid=...$...` or "
        "`$argon2id$v=19$m=...,t=...,p=...,keyid=...$...$...`"
    )


def verify(
    number: str, stored: StoredHash, keyring: Keyring, *, profile: Profile, cost: Cost
) -> Verdict:
    """Compares in constant time; `profile` and `cost` are what a new hash would be made with.

    Takes tens of milliseconds for Argon2id: call it in a thread.

    Raises:
        UnknownKeyError: the stored form names a key that is not live.

    """
    if isinstance(stored, LegacyHash):
        matches = _is_legacy(legacy_form(number).encode(), stored)
        return Verdict(matches, matches and profile is not Profile.LEGACY_SHA256)
    # A key that is not live costs the same work: its refusal must take as long as an answer.
    known = keyring.find_key(stored.key_id)
    is_current = known == keyring.current
    keyed = keyed_number(known or _NO_KEY, number)
    if isinstance(stored, HmacHash):
        matches = _is_hmac(keyed, stored)
        stale = profile is not Profile.HMAC_SHA256 or not is_current
    else:
        matches = _is_argon2id(keyed, stored)
        stale = profile is not Profile.ARGON2ID or not is_current or stored.cost != cost
    if known is None:
        raise UnknownKeyError(stored.key_id)
    return Verdict(matches, matches and stale)


def is_result_of(payload: Payload, stored: str, cost: Cost) -> bool:
    """Whether a worker's hash can be what was asked of it.

    Cheap formats are recomputed; of Argon2id the form, key and cost are checked.
    """
    try:
        form = parse(stored)
    except MalformedHashError:
        return False
    match payload.profile, form:
        case Profile.LEGACY_SHA256, LegacyHash():
            return _is_legacy(payload.input, form)
        case Profile.HMAC_SHA256, HmacHash():
            return form.key_id == payload.key_id and _is_hmac(payload.input, form)
        case Profile.ARGON2ID, Argon2idHash():
            return form.key_id == payload.key_id and form.cost == cost
    return False


def _is_legacy(number: bytes, stored: LegacyHash) -> bool:
    digest = hashlib.sha256(stored.salt.encode() + number).hexdigest()
    return hmac.compare_digest(digest, stored.digest)


def _is_hmac(keyed: bytes, stored: HmacHash) -> bool:
    return hmac.compare_digest(hashlib.sha256(_HMAC_DOMAIN + keyed).digest(), stored.digest)


def _is_argon2id(keyed: bytes, stored: Argon2idHash) -> bool:
    digest = hash_secret_raw(
        keyed,
        stored.salt,
        time_cost=stored.cost.passes,
        memory_cost=stored.cost.memory_kib,
        parallelism=stored.cost.lanes,
        hash_len=len(stored.digest),
        type=Type.ID,
    )
    return hmac.compare_digest(digest, stored.digest)


def _decoded(text: str) -> bytes:
    """Unpadded standard base64; the last character must not carry stray bits."""
    try:
        value = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        raise MalformedHashError("its base64 is not valid") from None
    if base64.b64encode(value).decode().rstrip("=") != text:
        raise MalformedHashError("its base64 is not canonical")
    return value
