"""Checks a sample of results at the end of a run against their numbers."""

import hashlib
import hmac
from collections.abc import Sequence

from virtscale.client.values import Job

from stack.ports import Dispatcher

_SLOW_PROFILE_SAMPLE = 20


def belongs_legacy(number: str, stored: str) -> bool:
    """The reference program's own check: `sha256hex(salt + number):salt`."""
    digest, _, salt = stored.partition(":")
    text = salt + number.strip().upper()
    return hmac.compare_digest(hashlib.sha256(text.encode()).hexdigest(), digest)


async def wrong_results(dispatcher: Dispatcher, sample: Sequence[tuple[str, Job]]) -> list[str]:
    """Ids of jobs in the sample whose stored hash does not belong to their number.

    Legacy hashes are checked here, with no help from the software under test; keyed ones need the
    key and are checked by the dispatcher.

    Raises:
        DispatcherError: when it cannot be asked.

    """
    wrong = []
    slow = 0
    for number, job in sample:
        if job.profile == "legacy-sha256":
            belongs = belongs_legacy(number, job.hash)
        else:
            if job.profile == "argon2id":
                slow += 1
                if slow > _SLOW_PROFILE_SAMPLE:
                    continue
            belongs = (await dispatcher.verify(number, job.hash)).matches
        if not belongs:
            wrong.append(job.job_id)
    return wrong
