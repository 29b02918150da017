"""The keys of a state directory: made once, kept for ever, readable by the stack's user only."""

import contextlib
import hashlib
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from servicekit.lifecycle import StartError

_KEY_BYTES = 32
_FINGERPRINT_DOMAIN = b"virtscale:pepper-fingerprint:v1:"


@dataclass(frozen=True)
class PepperKey:
    """A key by its name, and a few digits that tell it from others and nothing about it."""

    key_id: str
    fingerprint: str


def ensure_join_key(path: Path) -> bytes:
    """The key that proves which guest is which; made when missing."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        key = secrets.token_bytes(_KEY_BYTES)
        _write(path, key)
        return key


def ensure_pepper(path: Path) -> None:
    """The key of the keyed hashes. Losing it makes every keyed hash worthless: never replaced."""
    if not path.exists():
        _write(path, f"k1:{secrets.token_hex(_KEY_BYTES)}\n".encode())


def pepper_keys(path: Path) -> list[PepperKey]:
    """The keys of a pepper file, the current one first.

    Raises:
        StartError: it is missing or malformed; for a person, without any secret.

    """
    return [_shown(key_id, secret) for key_id, secret in _read(path)]


def rotate_pepper(path: Path) -> PepperKey:
    """Puts a new key before the others and returns it.

    Raises:
        StartError: as `pepper_keys`, or the file cannot be written.

    """
    keys = _read(path)
    numbered = [int(key_id[1:]) for key_id, _ in keys if re.fullmatch("k[0-9]{1,9}", key_id)]
    new = (f"k{max(numbered, default=0) + 1}", secrets.token_bytes(_KEY_BYTES))
    lines = [f"{key_id}:{secret.hex()}\n" for key_id, secret in (new, *keys)]
    try:
        _write(path, "".join(lines).encode())
    except OSError as error:
        raise StartError(f"{path}: {error.strerror}; run it as the file's owner") from None
    return _shown(*new)


def _read(path: Path) -> list[tuple[str, bytes]]:
    try:
        lines = path.read_text(encoding="ascii").split()
    except FileNotFoundError:
        raise StartError(f"{path}: there is none yet; start the stack once (./run)") from None
    except OSError as error:
        raise StartError(f"{path}: {error.strerror}; run it as the file's owner") from None
    except UnicodeDecodeError:
        lines = []
    keys = []
    for line in lines:
        key_id, _, digits = line.partition(":")
        with contextlib.suppress(ValueError):
            keys.append((key_id, bytes.fromhex(digits)))
    if not keys or len(keys) != len(lines):
        raise StartError(f"{path}: is no pepper file; each line must be <key id>:<hex>")
    return keys


def _shown(key_id: str, secret: bytes) -> PepperKey:
    return PepperKey(key_id, hashlib.sha256(_FINGERPRINT_DOMAIN + secret).hexdigest()[:8])


def _write(path: Path, content: bytes) -> None:
    temporary = path.with_suffix(".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with contextlib.suppress(FileNotFoundError):
        # Root may rotate what the stack's user has to read.
        owned = path.stat()
        if owned.st_uid != os.geteuid():
            os.chown(descriptor, owned.st_uid, owned.st_gid)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
