"""Who held which job before: what makes a late result credible, and a forged one not. Pure.

A worker may hand in work under a lease that has passed to others, because the work is done. But it
must have held that lease: job ids and epochs can be guessed, and a guest may be hostile.
"""

from dispatcher.jobs import JobKey, Lease

_MOST = 16


class PastLeases:
    """Leases that ended without a final state, of jobs that are still unfinished."""

    def __init__(self) -> None:
        self._holders: dict[JobKey, list[tuple[int, str]]] = {}

    def note(self, lease: Lease, worker_id: str) -> None:
        """The worker's lease has ended and the job goes out again."""
        holders = self._holders.setdefault(lease.key, [])
        holders.append((lease.epoch, worker_id))
        del holders[:-_MOST]

    def has(self, lease: Lease, worker_id: str) -> bool:
        """Whether the worker once held that very lease."""
        return (lease.epoch, worker_id) in self._holders.get(lease.key, ())

    def forget(self, key: JobKey) -> None:
        """The job is final."""
        self._holders.pop(key, None)
