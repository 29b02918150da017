"""The keys of a state directory: made once, kept for ever, readable by the stack's user only."""

import os
import secrets
from pathlib import Path

_KEY_BYTES = 32


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


def _write(path: Path, content: bytes) -> None:
    temporary = path.with_suffix(".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
