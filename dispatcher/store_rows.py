"""What the SQL stores share: their counters, and what their rows mean. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from dispatcher.backlog import Unfinished
from dispatcher.jobs import (
    Attempt,
    AttemptCause,
    Counts,
    Failure,
    FailureReason,
    Job,
    JobKey,
    JobState,
    Load,
    NewJob,
    Payload,
    Profile,
    Result,
    load_text,
    parse_load,
)

NUMBERS = ("accepted", "done", "failed", "cancelled", "final_order", "cancelled_order")


@dataclass(slots=True)
class Numbers:
    """Counters that live in memory and are written with every transaction."""

    accepted: int = 0
    done: int = 0
    failed: int = 0
    cancelled: int = 0
    final_order: int = 0
    cancelled_order: int = 0
    is_changed: bool = False

    def copy(self) -> "Numbers":
        """The values now."""
        return replace(self)

    @property
    def counts(self) -> Counts:
        """The jobs that are counted here; the unfinished ones are not."""
        return Counts(
            accepted=self.accepted, done=self.done, failed=self.failed, cancelled=self.cancelled
        )

    def restore(self, other: "Numbers") -> None:
        """Takes another's values."""
        for name in (*NUMBERS, "is_changed"):
            setattr(self, name, getattr(other, name))


class Submission(NamedTuple):
    """See `ports.JobStore.submit`."""

    request_id: str
    digests: Sequence[str]
    jobs: Sequence[NewJob]
    at: float


class RepeatedRequestError(Exception):
    """A request id is known: each submission must be looked at on its own."""


def runs(rows: Iterable[tuple[Any, ...]]) -> Iterator[Unfinished]:
    """Unfinished jobs in runs, while they are read: a million must not be in memory twice.

    `rows` are key, profile, time of acceptance and number of attempts, in the order of the keys.
    """
    first = size = 0
    alike: tuple[Any, ...] = ()
    for key, *values in rows:
        if key == first + size and tuple(values) == alike:
            size += 1
            continue
        if size:
            yield _run(first, size, *alike)
        first, size, alike = key, 1, tuple(values)
    if size:
        yield _run(first, size, *alike)


def _run(first: int, size: int, profile: int, accepted_at: float, attempts: int) -> Unfinished:
    return Unfinished(JobKey(first), Profile(profile), accepted_at, attempts, size)


JOB_COLUMNS = (
    "key, state, profile, accepted_at, attempts, reference, completed_at, hash, worker_id, "
    "service_seconds, failure_reason, failure_message"
)
"""In the order in which `job` takes them."""


def job(row: Sequence[Any], history: tuple[Attempt, ...]) -> Job:
    """The job of a row of `JOB_COLUMNS`."""
    (key, state, profile, accepted_at, attempts, reference, completed_at, digest) = row[:8]
    (worker_id, service_seconds, failure_reason, failure_message) = row[8:]
    result = failure = None
    if state == JobState.DONE:
        result = Result(digest, completed_at, worker_id, service_seconds)
    elif state == JobState.FAILED:
        failure = Failure(FailureReason(failure_reason), failure_message)
    return Job(
        key=JobKey(key),
        state=JobState(state),
        profile=Profile(profile),
        accepted_at=accepted_at,
        attempts=attempts,
        reference=reference,
        result=result,
        failure=failure,
        history=history,
    )


def load_column(load: Load) -> str:
    """A job's load as it stands in its row."""
    return load_text(load) if load else ""


def new_job(row: Sequence[Any]) -> NewJob:
    """The job as submitted, of a row: profile, input, key id, load, reference."""
    profile, value, key_id, load, reference = row
    return NewJob(Payload(Profile(profile), bytes(value), key_id, parse_load(load)), reference)


def removable(
    rows: Iterable[Sequence[Any]], *, last: int, before: float | None, keep: int | None
) -> Iterator[int]:
    """Keys of final jobs that may go, see `ports.JobStore.remove_finals`.

    `rows` are key, place in their sequence and when they became final, oldest first; `last` is the
    newest place.
    """
    for key, place, completed_at in rows:
        is_surplus = keep is not None and place <= last - keep
        is_old = before is not None and completed_at < before
        if not (is_surplus or is_old):
            return
        yield key


def attempt(row: Sequence[Any]) -> Attempt:
    """The attempt of a row: ordinal, cause, worker, time, whether it is certain, message."""
    ordinal, cause, worker, at, certain, message = row
    return Attempt(ordinal, AttemptCause(cause), worker, at, bool(certain), message)


def wanted_states(states: frozenset[JobState] | None) -> list[int]:
    """The states to look for in a store, which knows no LEASED."""
    wanted = set(JobState if states is None else states)
    if JobState.LEASED in wanted:
        wanted.add(JobState.READY)
    return sorted(int(state) for state in wanted)


def without_nul(text: str) -> str:
    """A text for a database whose texts have no character 0."""
    if "\0" in text or "\x1b" in text:
        return text.replace("\x1b", "\x1b1").replace("\0", "\x1b0")
    return text


def with_nul(text: str) -> str:
    """The inverse of `without_nul`."""
    if "\x1b" in text:
        return text.replace("\x1b0", "\0").replace("\x1b1", "\x1b")
    return text
