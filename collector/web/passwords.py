"""HTTP's basic authentication against bcrypt hashes (RFC 7617)."""

import asyncio
import base64
import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import bcrypt

_REMEMBERED = 256
_MOST_WAITING = 16
_BCRYPT_BYTES = 72
"""bcrypt has never looked further; newer libraries refuse what is longer."""
_SCHEME = "basic "


class BusyError(Exception):
    """Too many passwords wait to be checked."""


class Passwords:
    """Checks passwords: one at a time in a thread of its own, and each only once.

    bcrypt takes a tenth of a second of one core on purpose. A scraper's second request finds the
    first one's outcome; what is remembered are keyed digests, right and wrong ones apart, so that
    guesses cannot push out those who know. Unknown users take as long as known ones.
    """

    def __init__(self, check: Callable[[bytes, bytes], bool] = bcrypt.checkpw) -> None:
        self._check = check
        self._key = secrets.token_bytes(32)
        self._right: OrderedDict[bytes, None] = OrderedDict()
        self._wrong: OrderedDict[bytes, None] = OrderedDict()
        self._running: dict[bytes, asyncio.Future[bool]] = {}
        self._thread = ThreadPoolExecutor(1, "passwords")

    async def is_known(self, users: Mapping[str, str], header: str) -> bool:
        """Whether an Authorization header names one of `users` with the password of its hash.

        Raises:
            BusyError: too many others wait for the same.

        """
        credentials = _credentials(header)
        if credentials is None:
            return False
        user, password = credentials
        hashed = users.get(user) or _hash_of_nobody(users)
        digest = self._digest(user, hashed, password)
        if digest in self._right:
            self._right.move_to_end(digest)
            return True
        if digest in self._wrong:
            self._wrong.move_to_end(digest)
            return False
        is_right = await self._answer(digest, hashed, password) and user in users
        _remember(self._right if is_right else self._wrong, digest)
        return is_right

    def close(self) -> None:
        """Ends the thread, after the check it is at."""
        self._thread.shutdown(cancel_futures=True)

    async def _answer(self, digest: bytes, hashed: str, password: bytes) -> bool:
        """What bcrypt says; those that ask the same at the same moment share one check."""
        running = self._running.get(digest)
        if running is None:
            if len(self._running) >= _MOST_WAITING:
                raise BusyError
            loop = asyncio.get_running_loop()
            running = loop.run_in_executor(self._thread, self._is_right, hashed, password)
            self._running[digest] = running
            running.add_done_callback(lambda _: self._running.pop(digest, None))
        # The client may go; the check goes on, for its next attempt.
        return await asyncio.shield(running)

    def _is_right(self, hashed: str, password: bytes) -> bool:
        try:
            return self._check(password[:_BCRYPT_BYTES], hashed.encode("ascii"))
        except ValueError:
            return False

    def _digest(self, *parts: str | bytes) -> bytes:
        digest = hmac.new(self._key, digestmod=hashlib.sha256)
        for part in parts:
            content = part.encode() if isinstance(part, str) else part
            digest.update(len(content).to_bytes(8, "big") + content)
        return digest.digest()


def _remember(known: OrderedDict[bytes, None], digest: bytes) -> None:
    known[digest] = None
    while len(known) > _REMEMBERED:
        known.popitem(last=False)


def _credentials(header: str) -> tuple[str, bytes] | None:
    if not header.lower().startswith(_SCHEME):
        return None
    try:
        content = base64.b64decode(header[len(_SCHEME) :].strip(), validate=True)
        user, colon, password = content.partition(b":")
        return (user.decode(), password) if colon else None
    except ValueError:  # of which binascii.Error and UnicodeDecodeError are two
        return None


def _hash_of_nobody(users: Mapping[str, str]) -> str:
    """A hash that no password has, as costly as the costliest of `users`."""
    cost = max((hashed[4:6] for hashed in users.values()), default="10")
    return f"$2b${cost}${'.' * 53}"
