"""Celery with Redis as broker and result backend; as a program it is the client.

Tuned for rate as its documentation advises: no gossip or heartbeats, a deep prefetch, JSON.
"""

import os
from collections.abc import Iterable

from celery import Celery, group

from bench.peers import formula, measuring

_URL = os.environ.get("BENCH_REDIS_URL", "redis://127.0.0.1:6379/0")
_GROUP = 500

app = Celery("bench", broker=_URL, backend=_URL)
app.conf.update(
    worker_prefetch_multiplier=64,
    worker_send_task_events=False,
    task_send_sent_event=False,
    task_serializer="json",
    result_serializer="json",
    accept_content=["json"],
    broker_connection_retry_on_startup=True,
)


sha256 = app.task(name="sha256")(formula.sha256)


def work(asked: list[str]) -> Iterable[tuple[str, str]]:
    """Submits everything in groups, then fetches every result."""
    results = [
        group(sha256.s(number) for number in asked[first : first + _GROUP]).apply_async()
        for first in range(0, len(asked), _GROUP)
    ]
    stored = [each for result in results for each in result.join_native()]
    return zip(asked, stored, strict=True)


if __name__ == "__main__":
    measuring.measure(measuring.request(), work)
