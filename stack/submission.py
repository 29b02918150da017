"""Sends the numbers of a file through the dispatcher and yields their results in order."""

import uuid
from collections import deque
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

from virtscale.client.asynchronous import AsyncClient
from virtscale.client.values import Job, JobSpec, Profile

from stack.number_file import Entry


@dataclass(frozen=True)
class LineResult:
    """What became of the number on one line."""

    line: int
    job: Job


async def hash_lines(
    client: AsyncClient, entries: Iterator[Entry], profile: Profile
) -> AsyncIterator[LineResult]:
    """Submits all entries; results come in the order of the lines.

    Raises:
        DispatcherError: when the dispatcher refuses, or is away for too long.

    """
    prefix = f"submit-{uuid.uuid4().hex[:8]}-"
    lines: deque[int] = deque()

    def specs() -> Iterator[JobSpec]:
        for entry in entries:
            lines.append(entry.line)
            yield JobSpec(entry.number, profile, reference=f"{prefix}{entry.line}")

    async for hashed in client.hash_many(specs(), ordered=True):
        yield LineResult(lines.popleft(), hashed.job)
