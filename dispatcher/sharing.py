"""Sharing ready jobs out among workers. Pure."""

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from dispatcher.backlog import Backlog, Taken
from dispatcher.sessions import Session


@dataclass(slots=True)
class Share:
    """What one worker gets."""

    session: Session
    taken: list[Taken] = field(default_factory=list)


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
        taken = backlog.take(share.session.hello.profiles)
        if taken is not None:
            share.taken.append(taken)
            if len(share.taken) < share.session.credit:
                heapq.heapreplace(order, _rank(share.session, share))
                continue
        heapq.heappop(order)
        if share.taken:
            found.append(share)
    yield from found


def _rank(session: Session, share: Share) -> tuple[int, int, int, Share]:
    given = len(share.taken)
    return given - session.free_slots, given - session.credit, session.key, share
