"""Suspects: ready jobs that are leased alone, so that a lost worker says who was at fault. Pure."""

from collections.abc import Container, Sequence
from dataclasses import dataclass, field

from dispatcher.jobs import JobKey, Profile
from dispatcher.ready import Facts
from dispatcher.sessions import Session


class Suspects:
    """Ready jobs that wait to be leased alone, in the order of their arrival."""

    def __init__(self) -> None:
        self._facts: dict[JobKey, Facts] = {}

    def __len__(self) -> int:
        return len(self._facts)

    def __contains__(self, key: object) -> bool:
        return key in self._facts

    def append(self, key: JobKey, facts: Facts) -> None:
        """Adds a job at the end."""
        self._facts[key] = facts

    def discard(self, key: JobKey) -> Facts | None:
        """Takes a job out, wherever it is; None when it is not there."""
        return self._facts.pop(key, None)

    def first(self, profiles: Container[Profile], *, but: Container[JobKey] = ()) -> JobKey | None:
        """The foremost job of one of the profiles that is not in `but`."""
        for key, facts in self._facts.items():
            if facts.profile in profiles and key not in but:
                return key
        return None

    def oldest(self) -> float | None:
        """The earliest time of acceptance; None when empty."""
        return min((facts.accepted_at for facts in self._facts.values()), default=None)


@dataclass(slots=True)
class Placement:
    """Who gets a suspect now, and who may take other jobs."""

    alone: list[tuple[Session, JobKey]] = field(default_factory=list)
    open: list[Session] = field(default_factory=list)


def place(suspects: Suspects, sessions: Sequence[Session]) -> Placement:
    """Gives suspects to workers with empty hands, and keeps the emptiest others free for the rest.

    At most half of the workers, but always one, so that suspects neither stop the others' work nor
    wait for ever. `sessions` are those that take jobs.
    """
    found = Placement()
    places = min(len(suspects), (len(sessions) + 1) // 2)
    promised: set[JobKey] = set()
    for session in sorted(sessions, key=lambda each: (each.working, each.key)):
        key = suspects.first(session.hello.profiles, but=promised) if places else None
        if key is None or (session.credit <= 0 and session.working == 0):
            found.open.append(session)
            continue
        places -= 1
        promised.add(key)
        if session.working == 0:
            found.alone.append((session, key))
    return found
