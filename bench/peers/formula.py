"""The reference formula, the same for every peer."""

import hashlib
import uuid


def sha256(number: str) -> str:
    """`digest:salt` with a fresh random salt."""
    salt = uuid.uuid4().hex
    return hashlib.sha256((salt + number).encode()).hexdigest() + ":" + salt
