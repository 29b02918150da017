"""Sharing ready jobs out among workers. Pure."""

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from dispatcher.backlog import Backlog, Taken
from dispatcher.sessions import Session

# Beyond the slots, jobs go out in portions: messages and leases are cheap in runs. A portion is a
# small part of what waits, so that the last of it is shared as fairly as one by one.
_PORTIONS_PER_WORKER = 8
_MAX_PORTION = 256


@dataclass(slots=True)
class Share:
    """What one worker gets: `count` jobs in runs."""

    session: Session
    taken: list[Taken] = field(default_factory=list)
    count: int = 0


def shares(sessions: Iterable[Session], backlog: Backlog) -> Iterator[Share]:
    """Takes jobs while there is credit, each for the worker with the most free slots then.

    Slots first, credit second: credit beyond the slots is a queue inside a worker, which only pays
    once every slot everywhere is filled.
    """
    order = [_rank(session, Share(session)) for session in sessions if session.credit > 0]
    heapq.heapify(order)
    found: list[Share] = []
    while order:
        share = order[0][3]
        portion = _portion(share, len(order), backlog.counts.ready)
        taken = backlog.take(share.session.hello.profiles, portion)
        if taken is not None:
            share.taken.append(taken)
            share.count += taken.size
            if share.count < share.session.credit:
                heapq.heapreplace(order, _rank(share.session, share))
                continue
        heapq.heappop(order)
        if share.taken:
            found.append(share)
    yield from found


def _portion(share: Share, workers: int, ready: int) -> int:
    room = share.session.credit - share.count
    if workers == 1:
        return room
    if share.count < share.session.free_slots:
        return 1
    return max(1, min(room, ready // (_PORTIONS_PER_WORKER * workers), _MAX_PORTION))


def _rank(session: Session, share: Share) -> tuple[int, int, int, Share]:
    given = share.count
    return given - session.free_slots, given - session.credit, session.key, share
