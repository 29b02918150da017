"""The three stored forms of a licence number. Pure: salts are arguments.

legacy-sha256: `sha256hex(salt + number):salt`, byte for byte what the reference program stores.
hmac-sha256:   `$hmac-sha256$keyid=ID$B64`, over the keyed number, deterministic.
argon2id:      a PHC string with `keyid`, over the keyed number.

The keyed number is HMAC-SHA256(pepper, number), 32 bytes, made by the dispatcher: for the keyed
profiles neither the number nor the pepper is ever here.
"""

from collections.abc import Sequence

from guest_worker.values import ARGON2ID, HMAC_SHA256, LEGACY_SHA256, Argon2Cost

KEYED_NUMBER_BYTES = 32
ARGON2_SALT_BYTES = 16
ARGON2_HASH_BYTES = 32
LEGACY_MAX_BYTES = 1024  # 64 characters, some of which grow when made upper case

# A hostile or mistaken cost must not exhaust the guest's memory or block a slot for minutes.
MAX_ARGON2_MEMORY_KIB = 64 * 1024
MAX_ARGON2_PASSES = 10
MAX_ARGON2_LANES = 4

_KEY_ID_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
_VERSION_4 = bytes(octet & 0x0F | 0x40 for octet in range(256))
_VARIANT = bytes(octet & 0x3F | 0x80 for octet in range(256))
_HMAC_DOMAIN = b"virtscale:hmac-sha256:v1:"


class HashingRefusedError(ValueError):
    """The input cannot be hashed, now or ever. The text names the field and never the input."""


def salted_sha256(number: bytes, salt: str) -> str:
    """`digest:salt` of a number in UTF-8.

    The number is taken as it was accepted: trimmed and upper case, hyphens and spaces kept.
    """
    from hashlib import sha256

    _check_number(number)
    return f"{sha256(salt.encode() + number).hexdigest()}:{salt}"


def legacy_sha256(numbers: Sequence[bytes], random_bytes: bytes) -> list[str]:
    """`digest:salt` of each number, with a salt from 16 random bytes for each.

    The salts of all are made in one go: one by one they would take longer than the hashes.
    """
    from hashlib import sha256

    for number in numbers:
        _check_number(number)
    salts = uuid4_hex(random_bytes).encode()
    ends = range(32, len(salts) + 1, 32)
    return [
        f"{sha256(salts[end - 32 : end] + number).hexdigest()}:{salts[end - 32 : end].decode()}"
        for number, end in zip(numbers, ends, strict=True)
    ]


def hmac_sha256(keyed_number: bytes, key_id: str) -> str:
    """The deterministic stored form of a keyed number."""
    from hashlib import sha256

    _check_keyed(keyed_number, key_id)
    digest = sha256(_HMAC_DOMAIN + keyed_number).digest()
    return f"$hmac-sha256$keyid={key_id}${_base64(digest)}"


def argon2id(keyed_number: bytes, key_id: str, cost: Argon2Cost, salt: bytes) -> str:
    """The salted, slow stored form of a keyed number. Needs the argon2-cffi package."""
    from argon2.low_level import Type, hash_secret_raw

    _check_keyed(keyed_number, key_id)
    _check_cost(cost)
    digest = hash_secret_raw(
        secret=keyed_number,
        salt=salt,
        time_cost=cost.passes,
        memory_cost=cost.memory_kib,
        parallelism=cost.lanes,
        hash_len=ARGON2_HASH_BYTES,
        type=Type.ID,
        version=19,
    )
    costs = f"m={cost.memory_kib},t={cost.passes},p={cost.lanes}"
    return f"$argon2id$v=19${costs},keyid={key_id}${_base64(salt)}${_base64(digest)}"


def hash_numbers(
    profile: str,
    inputs: Sequence[bytes],
    key_id: str,
    cost: Argon2Cost | None,
    random_bytes: bytes,
) -> list[str]:
    """The stored forms of `inputs` under `profile`; 16 fresh `random_bytes` for each."""
    if profile == LEGACY_SHA256:
        return legacy_sha256(inputs, random_bytes)
    if profile == HMAC_SHA256:
        return [hmac_sha256(keyed_number, key_id) for keyed_number in inputs]
    if profile == ARGON2ID:
        if cost is None:
            raise HashingRefusedError("argon2_cost: missing, the profile argon2id needs it")
        return [
            argon2id(keyed_number, key_id, cost, random_bytes[16 * place : 16 * place + 16])
            for place, keyed_number in enumerate(inputs)
        ]
    raise HashingRefusedError(f"profile: {profile!r} is unknown to this worker")


def matches(stored: str, data: bytes) -> bool:
    """Whether `stored` belongs to `data` (number or keyed number). Compares in constant time.

    A stored form that cannot be read matches nothing.
    """
    from hmac import compare_digest

    fields = stored.split("$")
    try:
        if len(fields) == 1:
            again = salted_sha256(data, stored.partition(":")[2])
        elif fields[1] == HMAC_SHA256 and len(fields) == 4:
            again = hmac_sha256(data, fields[2].removeprefix("keyid="))
        elif fields[1] == ARGON2ID and len(fields) == 6:
            cost, key_id = _parse_cost(fields[3])
            again = argon2id(data, key_id, cost, _unbase64(fields[4]))
        else:
            return False
    except ValueError:
        return False
    return compare_digest(again.encode(), stored.encode())


def uuid4_hex(random_bytes: bytes) -> str:
    """Each 16 random bytes as the 32 hex digits of a UUID version 4, all in one string.

    The same as `uuid.UUID(bytes=..., version=4).hex`; importing `uuid` costs boot time.
    """
    if not random_bytes or len(random_bytes) % 16:
        raise ValueError(f"random_bytes: {len(random_bytes)} bytes, a UUID has 16")
    octets = bytearray(random_bytes)
    octets[6::16] = octets[6::16].translate(_VERSION_4)
    octets[8::16] = octets[8::16].translate(_VARIANT)
    return octets.hex()


def _check_number(number: bytes) -> None:
    if not 0 < len(number) <= LEGACY_MAX_BYTES:
        raise HashingRefusedError(
            f"input: {len(number)} bytes, a number has 1 to {LEGACY_MAX_BYTES}"
        )


def _check_keyed(keyed_number: bytes, key_id: str) -> None:
    if len(keyed_number) != KEYED_NUMBER_BYTES:
        raise HashingRefusedError(
            f"input: {len(keyed_number)} bytes, a keyed number has {KEYED_NUMBER_BYTES}"
        )
    if not 0 < len(key_id) <= 32 or not set(key_id) <= _KEY_ID_CHARACTERS:
        raise HashingRefusedError("key_id: must be 1 to 32 characters from A-Z a-z 0-9 . _ -")


def _check_cost(cost: Argon2Cost) -> None:
    limits = (
        ("memory_kib", cost.memory_kib, 8 * max(1, cost.lanes), MAX_ARGON2_MEMORY_KIB),
        ("passes", cost.passes, 1, MAX_ARGON2_PASSES),
        ("lanes", cost.lanes, 1, MAX_ARGON2_LANES),
    )
    for name, value, low, high in limits:
        if not low <= value <= high:
            raise HashingRefusedError(f"argon2_cost.{name}: {value} is not from {low} to {high}")


def _parse_cost(text: str) -> tuple[Argon2Cost, str]:
    pairs = dict(field.partition("=")[::2] for field in text.split(","))
    if set(pairs) != {"m", "t", "p", "keyid"}:
        raise HashingRefusedError("hash: a PHC string of argon2id has m, t, p and keyid")
    return Argon2Cost(int(pairs["m"]), int(pairs["t"]), int(pairs["p"])), pairs["keyid"]


def _base64(data: bytes) -> str:
    from binascii import b2a_base64

    return b2a_base64(data, newline=False).decode().rstrip("=")


def _unbase64(text: str) -> bytes:
    from binascii import a2b_base64

    return a2b_base64(text + "=" * (-len(text) % 4))
