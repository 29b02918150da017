"""The newest recorded entries, of which only what is new is read again."""

import threading
from typing import Any

from scaler.entries import History, Page

_MOST = 120
_LEFT_OUT = ("inputs", "windows", "states")


class RecentEntries:
    """Entries as the API shows them, oldest first. From any thread.

    A recorded turn has all of the pool's domains in it: to unpack a hundred of them each second
    would cost more than all the rest of the page.
    """

    def __init__(self, history: History, *, most: int = _MOST) -> None:
        self._history = history
        self._most = most
        self._lock = threading.Lock()
        self._known: dict[int, dict[str, Any]] = {}
        self._since = 0.0

    def newest(self) -> list[dict[str, Any]]:
        """At most so many as were asked for at the start."""
        with self._lock:
            found = self._history.entries(Page(limit=self._most, since=self._since))
            for one in found:
                # The newest run grows: the ones that may have are read until they are over.
                self._known[one.id] = _shown(one.shown())
            if found:
                self._since = found[-1].first
            for number in sorted(self._known)[: -self._most]:
                del self._known[number]
            return [self._known[number] for number in sorted(self._known)]


def _shown(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name not in _LEFT_OUT}
