"""Cuts what a caller gives into the batches that the dispatcher takes: pure."""

import hashlib
import uuid
from collections.abc import Iterable, Sequence

from virtscale.client.errors import InvalidRequestError, Violation, refusal
from virtscale.client.values import MAX_BATCH, JobSpec, Profile


def spec_of(item: str | JobSpec, profile: Profile | None) -> JobSpec:
    """The job of an item; a bare number gets the profile."""
    return item if isinstance(item, JobSpec) else JobSpec(item, profile)


def specs_of(items: Iterable[str | JobSpec], profile: Profile | None) -> list[JobSpec]:
    """The jobs of many items.

    Raises:
        TypeError: a single number or job was given instead of several.

    """
    if isinstance(items, str | JobSpec):
        raise TypeError("give a list of numbers or jobs, also when it is only one")
    return [spec_of(item, profile) for item in items]


def cut(specs: Sequence[JobSpec]) -> list[Sequence[JobSpec]]:
    """Batches as large as the dispatcher takes."""
    return [specs[start : start + MAX_BATCH] for start in range(0, len(specs), MAX_BATCH)]


def request_id_of(request_id: str, position: int) -> str:
    """The id of the batch at `position` (from 0) of a submission.

    The first is the submission's own; the others follow from it, so that repeating the whole
    submission, also from another process, repeats every batch.
    """
    if position == 0:
        return request_id
    digest = hashlib.sha256(f"{request_id}/{position}".encode()).digest()
    return str(uuid.UUID(bytes=digest[:16], version=4))


def shifted(error: InvalidRequestError, by: int) -> InvalidRequestError:
    """The same refusal with `jobs[N]` counted in the caller's whole input instead of the batch."""
    violations = [
        Violation(_shifted_field(each.field, by), each.description) for each in error.violations
    ]
    text = refusal(violations) if violations else str(error)
    return InvalidRequestError(error.code, text, violations=violations)


def job_index(field: str) -> int | None:
    """The N of `jobs[N]...`; None for other fields."""
    head, bracket, rest = field.partition("[")
    number, closing, _ = rest.partition("]")
    is_job = head == "jobs" and bracket and closing and number.isdigit()
    return int(number) if is_job else None


def _shifted_field(field: str, by: int) -> str:
    index = job_index(field)
    if index is None:
        return field
    return f"jobs[{index + by}]" + field[field.index("]") + 1 :]
