"""Dramatiq with Redis as broker and result backend; as a program it is the client."""

import os
from collections.abc import Iterable

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

from bench.peers import formula, measuring

_URL = os.environ.get("BENCH_REDIS_URL", "redis://127.0.0.1:6379/0")
_TIMEOUT_MILLISECONDS = 60_000

_broker = RedisBroker(url=_URL)
_broker.add_middleware(Results(backend=RedisBackend(url=_URL)))
dramatiq.set_broker(_broker)


sha256 = dramatiq.actor(formula.sha256, actor_name="sha256", store_results=True)


def work(asked: list[str]) -> Iterable[tuple[str, str]]:
    """Sends everything, then fetches every result."""
    messages = [sha256.send(number) for number in asked]
    return [
        (number, message.get_result(block=True, timeout=_TIMEOUT_MILLISECONDS))
        for number, message in zip(asked, messages, strict=True)
    ]


if __name__ == "__main__":
    measuring.measure(measuring.request(), work)
