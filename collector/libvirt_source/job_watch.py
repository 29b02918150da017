"""When to ask a domain whether it has a job. Pure, but for what it remembers.

libvirt has no bulk query for jobs and no event at their begin, so each domain is asked by itself.
Jobs last for seconds to hours: a domain without one is not asked again at once.
"""

from collections.abc import Iterable


class JobWatch:
    """Remembers who had no job when."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._without: dict[str, float] = {}

    def due(self, uuids: Iterable[str], now: float) -> list[str]:
        """Those to ask now: who had a job, and who has not been asked for a while."""
        return [
            uuid
            for uuid in uuids
            if uuid not in self._without or now - self._without[uuid] >= self._seconds
        ]

    def note(self, uuid: str, *, has_job: bool, now: float) -> None:
        """A domain has been asked."""
        if has_job:
            self._without.pop(uuid, None)
        else:
            self._without[uuid] = now

    def keep_only(self, uuids: frozenset[str]) -> None:
        """Drops what belongs to domains that exist no more."""
        self._without = {uuid: at for uuid, at in self._without.items() if uuid in uuids}
