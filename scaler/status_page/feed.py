"""One composition of the page for all who look, and its changes for their streams.

A thread composes once a second while there is a stream and numbers what changed; the last changes
are kept. Each stream takes from there at its own pace: one that falls behind by more than is kept
gets the whole state again, so a slow client costs nobody anything but its own thread.
"""

import contextlib
import json
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from scaler.decision import ActionResult, Decision, State
from scaler.status_page import changes
from scaler.status_page.html_page import Fragments, fragments
from scaler.status_page.view import View
from servicekit import logs

MOST_STREAMS = 16
_KEPT_CHANGES = 30
_PERIOD_SECONDS = 1.0
_SHORTEST_SECONDS = 0.25


class CrowdedError(Exception):
    """There are as many streams as are allowed. The text is for a person."""


class Event(NamedTuple):
    """One message of a stream."""

    id: str
    kind: str
    """`state`: everything; `change`: what is new since the event before."""
    data: str


class Feed:
    """`look` returns the view of now; `refresh` asks for what that is made of, and may take long.

    `key` tells this run of the scaler from others: ids of another run mean nothing here.
    """

    def __init__(
        self,
        look: Callable[[], View],
        refresh: Callable[[], object],
        *,
        most_streams: int = MOST_STREAMS,
        kept_changes: int = _KEPT_CHANGES,
        shortest_seconds: float = _SHORTEST_SECONDS,
        key: str | None = None,
    ) -> None:
        self._look = look
        self._refresh = refresh
        self._most_streams = most_streams
        self._shortest_seconds = shortest_seconds
        self._key = secrets.token_hex(4) if key is None else key
        self._state = threading.Condition()
        self._streams = 0
        self._is_closed = False
        self._is_composing = False
        self._news = threading.Event()
        self._leaving = threading.Event()
        """Of the threads that compose now; those of the next time have another."""
        self._newest: Fragments | None = None
        self._number = 0
        self._changes: deque[tuple[int, str]] = deque(maxlen=kept_changes)
        self._whole: tuple[int, str] | None = None

    @property
    def streams(self) -> int:
        """How many look."""
        with self._state:
            return self._streams

    def notify(self) -> None:
        """Something has changed: composes soon. From any thread; while nobody looks it is free."""
        self._news.set()

    def close(self) -> None:
        """Ends every stream."""
        with self._state:
            self._is_closed = True
            self._leaving.set()
            self._state.notify_all()
        self._news.set()

    @contextlib.contextmanager
    def stream(self, last_id: str = "") -> Iterator["Stream"]:
        """A place among the streams. `last_id`: the event after which to go on, if it is known.

        Raises:
            CrowdedError: all places are taken.

        """
        with self._state:
            if self._streams >= self._most_streams:
                raise CrowdedError(
                    f"{self._streams} pages are open already, no more than "
                    f"{self._most_streams} are kept up to date at once; close one"
                )
            self._streams += 1
            if not self._is_composing and not self._is_closed:
                self._is_composing = True
                self._leaving = leaving = threading.Event()
                for work, name in ((self._compose, "page"), (self._ask, "page-load")):
                    threading.Thread(target=work, args=(leaving,), name=name, daemon=True).start()
        try:
            yield Stream(self, self._place_of(last_id))
        finally:
            with self._state:
                self._streams -= 1

    def _place_of(self, last_id: str) -> int | None:
        key, _, number = last_id.partition("-")
        if key != self._key or not number.isdecimal() or len(number) > 18:
            return None
        return int(number)

    def take(self, place: int | None, timeout_seconds: float) -> list[Event] | None:
        """Events after `place`; none when nothing new came in time; None: the end."""
        with self._state:
            self._state.wait_for(
                lambda: (
                    self._is_closed
                    or (self._newest is not None and (place is None or self._number != place))
                ),
                timeout_seconds,
            )
            if self._is_closed:
                return None
            if self._newest is None or (place is not None and place == self._number):
                return []
            kept = [one for one in self._changes if place is not None and one[0] > place]
            is_whole = place is None or place > self._number or len(kept) < self._number - place
            if not is_whole:
                return [Event(self._id(number), "change", data) for number, data in kept]
            number, newest, whole = self._number, self._newest, self._whole
        if whole is None or whole[0] != number:
            # Not under the lock: with a thousand domains it takes a moment.
            whole = (number, json.dumps(changes.whole(newest)))
            with self._state:
                self._whole = whole
        return [Event(self._id(number), "state", whole[1])]

    def _id(self, number: int) -> str:
        return f"{self._key}-{number}"

    def _compose(self, leaving: threading.Event) -> None:
        """Until nobody looks."""
        told = ""
        while self._goes_on():
            began = time.monotonic()
            self._news.clear()
            try:
                found = fragments(self._look())
            except Exception as error:
                # A fault in the page must be seen, once, and must not end it for good.
                if repr(error) != told:
                    told = repr(error)
                    logs.get().error("page.failed", error=told)
            else:
                told = ""
                self._publish(found)
            # Several turns may follow at once, each with one step of an action.
            leaving.wait(self._shortest_seconds)
            self._news.wait(max(0.0, _PERIOD_SECONDS - (time.monotonic() - began)))

    def _ask(self, leaving: threading.Event) -> None:
        """Asks for the load beside composing, so that a source that hangs holds up no page."""
        while not leaving.is_set():
            self._refresh()
            leaving.wait(_PERIOD_SECONDS)

    def _goes_on(self) -> bool:
        with self._state:
            if self._streams and not self._is_closed:
                return True
            self._is_composing = False
            self._leaving.set()
            return False

    def _publish(self, found: Fragments) -> None:
        with self._state:
            before = self._newest
        changed: dict[str, Any] = {} if before is None else changes.since(before, found)
        if before is not None and not any(changed.values()):
            return
        data = json.dumps(changed)
        with self._state:
            self._number += 1
            self._newest = found
            if before is not None:
                self._changes.append((self._number, data))
            self._state.notify_all()


class TurnBell:
    """An `Observer` that tells a feed of every turn."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    def decided(self, decision: Decision, state: State, wall: float) -> None:
        """See `Observer.decided`."""
        self._feed.notify()

    def resulted(self, result: ActionResult) -> None:
        """See `Observer.resulted`."""
        self._feed.notify()


class Stream:
    """Where one client is."""

    def __init__(self, feed: Feed, place: int | None) -> None:
        self._feed = feed
        self._place = place

    def next(self, timeout_seconds: float) -> list[Event] | None:
        """New events; an empty list when there were none in time; None: the end."""
        found = self._feed.take(self._place, timeout_seconds)
        if found:
            self._place = int(found[-1].id.rpartition("-")[2])
        return found
