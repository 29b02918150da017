"""Who waits for which jobs: each is told once, in batches, and costs memory by the batch."""

from collections.abc import Callable, Iterable, Sequence

from dispatcher.jobs import Job, JobKey
from dispatcher.key_sets import BITS, KeySet

OnFinal = Callable[[Sequence[Job]], None]


class Following:
    """One who waits, a stream or a call, and the jobs it waits for."""

    def __init__(self, followers: "Followers", on_final: OnFinal) -> None:
        self._followers = followers
        self.pending = KeySet()
        self.on_final = on_final

    def add(self, keys: Iterable[JobKey]) -> None:
        """Waits for more."""
        for key in keys:
            if not self.pending.has_chunk(key // BITS):
                self._followers.enter(key // BITS, self)
            self.pending.add(key)

    def stop(self) -> None:
        """Waits for nothing any more."""
        for chunk in self.pending.chunks:
            self._followers.leave(chunk, self)
        self.pending = KeySet()


class Followers:
    """All who wait, filed under the bitmaps of the keys that they wait for."""

    def __init__(self) -> None:
        self._by_chunk: dict[int, list[Following]] = {}

    def enter(self, chunk: int, following: Following) -> None:
        """Files one who waits for a key of the chunk."""
        self._by_chunk.setdefault(chunk, []).append(following)

    def leave(self, chunk: int, following: Following) -> None:
        """Forgets one who waits for none of the chunk any more."""
        others = self._by_chunk[chunk]
        others.remove(following)
        if not others:
            del self._by_chunk[chunk]

    def is_followed(self, key: JobKey) -> bool:
        """Whether anybody waits for the job."""
        return any(key in each.pending for each in self._by_chunk.get(key // BITS, ()))

    def tell(self, jobs: Iterable[Job]) -> None:
        """Tells each who waits which of its jobs became final, in one call."""
        told: dict[Following, list[Job]] = {}
        for job in jobs:
            chunk = job.key // BITS
            for following in tuple(self._by_chunk.get(chunk, ())):
                if following.pending.discard(job.key):
                    told.setdefault(following, []).append(job)
                    if not following.pending.has_chunk(chunk):
                        self.leave(chunk, following)
        for following, theirs in told.items():
            following.on_final(theirs)
