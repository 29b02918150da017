"""The books of one submitting stream that survives its connections: pure.

Every batch has a request id for life. After a reconnect the batches with unfinished jobs are sent
again: the dispatcher accepts each once and repeats its results; results known already are dropped.
So nothing is lost and nothing is handed out twice, wherever the connection broke.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from virtscale.client.values import Hashed, Job, JobSpec


@dataclass(slots=True)
class Batch:
    """Jobs that travel together. Numbers of finished jobs stay until the whole batch is final."""

    request_id: str
    first: int
    """Index of its first job in the whole input."""
    specs: Sequence[JobSpec]
    left: int
    """Jobs that are not final."""

    def __repr__(self) -> str:
        """Without the numbers."""
        return f"Batch({self.request_id}, {len(self.specs)} jobs, {self.left} left)"


class JobStream:
    """What is under way, what is ready to be taken, and how much more may be sent."""

    def __init__(self, *, max_in_flight: int, is_ordered: bool) -> None:
        """`max_in_flight` jobs at most are sent and not yet taken by the consumer."""
        self._max_in_flight = max_in_flight
        self._is_ordered = is_ordered
        self._batches: dict[str, Batch] = {}
        self._jobs: dict[str, tuple[Batch, int]] = {}
        self._ready: deque[Hashed] = deque()
        self._early: dict[int, Hashed] = {}
        self._next = 0
        self._begun = 0
        self._taken = 0
        self._is_closed = False

    @property
    def room(self) -> int:
        """How many more jobs may be sent now."""
        return self._max_in_flight - (self._begun - self._taken)

    @property
    def is_closed(self) -> bool:
        """True when the input has ended."""
        return self._is_closed

    @property
    def is_complete(self) -> bool:
        """True when the input has ended and every job is final."""
        return self._is_closed and not self._batches

    def begin(self, request_id: str, specs: Sequence[JobSpec]) -> Batch:
        """Books a new batch; send it."""
        batch = Batch(request_id, self._begun, specs, len(specs))
        self._batches[request_id] = batch
        self._begun += len(specs)
        return batch

    def close(self) -> None:
        """The input has ended."""
        self._is_closed = True

    def unfinished(self) -> list[Batch]:
        """What a new connection must send again, oldest first."""
        return list(self._batches.values())

    def accepted(self, request_id: str, job_ids: Sequence[str]) -> None:
        """A batch is durable; repeated for batches that are sent again."""
        batch = self._batches.get(request_id)
        if batch is None or len(job_ids) != len(batch.specs):
            return
        if batch.left == len(batch.specs):
            for offset, job_id in enumerate(job_ids):
                self._jobs.setdefault(job_id, (batch, batch.first + offset))

    def finished(self, job: Job) -> None:
        """A job is final. What is known already, or none of ours, is dropped."""
        known = self._jobs.pop(job.job_id, None)
        if known is None:
            return
        batch, index = known
        batch.left -= 1
        if batch.left == 0:
            del self._batches[batch.request_id]
        hashed = Hashed(index, job)
        if not self._is_ordered:
            self._ready.append(hashed)
            return
        self._early[index] = hashed
        while (following := self._early.pop(self._next, None)) is not None:
            self._ready.append(following)
            self._next += 1

    def batch(self, request_id: str) -> Batch | None:
        """The batch of that id, while it is under way."""
        return self._batches.get(request_id)

    def take(self) -> Hashed | None:
        """The next result for the consumer; None when there is none now."""
        if not self._ready:
            return None
        self._taken += 1
        return self._ready.popleft()
