"""Whether a lease that a worker names is one that it had, and may go on with. Pure.

Keys and epochs can be guessed, and a guest may be hostile: nothing is believed because a worker
says it, except where the dispatcher cannot know better, after its own restart.
"""

from collections.abc import Iterable, Sequence

from dispatcher.backlog import Backlog
from dispatcher.jobs import Era, Lease
from dispatcher.leases import Leases
from dispatcher.sessions import Session


class Claims:
    """Judges leases against what the ledger knows of the present and of before its start.

    `first_epoch` is the first of this start, `returning` the workers that were connected before it.
    Leases from eras that are `former` are good for the jobs of then only.
    """

    def __init__(
        self,
        leases: Leases,
        backlog: Backlog,
        *,
        first_epoch: int,
        returning: Iterable[str],
        former: Sequence[Era],
    ) -> None:
        self._leases = leases
        self._backlog = backlog
        self._first_epoch = first_epoch
        self._returning = frozenset(returning)
        self._former = former

    def has_held(self, session: Session, lease: Lease) -> bool:
        """Whether this worker holds that very lease, or held it while the job was unfinished.

        Leases from before a restart are not known: there the workers that were connected then are
        believed, about jobs of then.
        """
        held = self._leases.get(lease.key)
        if held is not None and held.lease == lease:
            return held.session.worker_id == session.worker_id
        if lease.epoch >= self._first_epoch:
            return self._leases.past.has(lease, session.worker_id)
        return session.worker_id in self._returning and self._backlog.may_be_recovered(lease.key)

    def is_lost(self, lease: Lease) -> bool:
        """Whether it is on a job that a restored backup does not have."""
        return any(era.is_over(lease) for era in self._former)

    def may_keep(self, session: Session, lease: Lease, *, is_cordoned: bool) -> bool:
        """Whether a worker that has come back may go on with it.

        A cordoned worker gets back nothing that was taken from it: it has been told empty.
        """
        if not self.has_held(session, lease) or self.is_lost(lease):
            return False
        return (
            not is_cordoned or lease.key in session.leases or self._backlog.is_recovered(lease.key)
        )
