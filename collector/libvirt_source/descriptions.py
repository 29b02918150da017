"""Remembers descriptions of domains until something says that they may have changed."""

import threading
from collections.abc import Callable, Collection, Mapping

from collector.domain_xml import Description


class Descriptions:
    """A cache by UUID. Used by several threads; `read` runs outside the lock.

    A description is read anew when the domain was started or stopped since (its id differs), after
    `forget`, and each time while `is_kept_fresh` is False.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, tuple[int, Description]] = {}
        self._changes: dict[str, int] = {}
        self._epoch = 0
        self.is_kept_fresh = False
        """True while somebody calls `forget` for every change."""

    def get(
        self, uuid: str, domain_id: int, read: Callable[[], Description | None]
    ) -> Description | None:
        """The description of a domain; None when `read` cannot tell."""
        with self._lock:
            known = self._known.get(uuid)
            if known is not None and known[0] == domain_id and self.is_kept_fresh:
                return known[1]
            before = (self._epoch, self._changes.get(uuid, 0))
        found = read()
        with self._lock:
            # A change that came in while it was read may or may not be in it: not to be kept.
            if found is not None and before == (self._epoch, self._changes.get(uuid, 0)):
                self._known[uuid] = (domain_id, found)
        return found

    def all_of(self, numbers: Mapping[str, int]) -> dict[str, Description | None] | None:
        """The descriptions of these domains (id by UUID); None unless all are known and fresh."""
        with self._lock:
            if not self.is_kept_fresh:
                return None
            found: dict[str, Description | None] = {}
            for uuid, number in numbers.items():
                known = self._known.get(uuid)
                if known is None or known[0] != number:
                    return None
                found[uuid] = known[1]
            return found

    def forget(self, uuid: str) -> None:
        """The domain's description has changed."""
        with self._lock:
            self._known.pop(uuid, None)
            self._changes[uuid] = self._changes.get(uuid, 0) + 1

    def forget_all(self) -> None:
        """Changes may have been missed."""
        with self._lock:
            self._known.clear()
            self._epoch += 1

    def keep_only(self, uuids: Collection[str]) -> None:
        """Drops what belongs to domains that exist no more."""
        with self._lock:
            for uuid in [*self._known, *self._changes]:
                if uuid not in uuids:
                    self._known.pop(uuid, None)
                    self._changes.pop(uuid, None)
