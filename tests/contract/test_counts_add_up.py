"""accepted = ready + leased + done + failed + cancelled, at every scrape, whatever happens."""

import asyncio
import contextlib
import random
import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from virtscale.client import AsyncClient, DispatcherError, RetryPolicy

from tests.contract.dispatcher_process import DispatcherProcess, ScriptedWorker, until

ACCEPTED = "virtscale_dispatcher_jobs_accepted_total "
STATES = ("ready", "leased", "done", "failed", "cancelled")
PATIENT = RetryPolicy(deadline_seconds=60.0)


@pytest.fixture
async def dispatcher(tmp_path: Path) -> AsyncIterator[DispatcherProcess]:
    process = DispatcherProcess(
        tmp_path, reconnect_grace_seconds=0.05, restart_grace_seconds=0.2, max_attempts=3
    )
    process.start()
    yield process
    await process.close()


def counts(text: str) -> dict[str, float]:
    found = {
        state: float(value)
        for state, value in re.findall(
            r'^virtscale_dispatcher_jobs\{state="(\w+)"\} (\S+)$', text, re.M
        )
    }
    (accepted,) = re.findall(rf"^{ACCEPTED}(\S+)$", text, re.M)
    return found | {"accepted": float(accepted)}


class Scrapes:
    """Asks for the metrics as fast as they come; the dispatcher may be away."""

    def __init__(self, dispatcher: DispatcherProcess) -> None:
        self.dispatcher = dispatcher
        self.seen: list[dict[str, float]] = []
        self.wrong: list[dict[str, float]] = []

    async def run(self) -> None:
        while True:
            try:
                text = await asyncio.to_thread(self.dispatcher.metrics)
            except OSError:
                await asyncio.sleep(0.01)
                continue
            if ACCEPTED not in text:
                # It listens before its ledger is read, and says nothing of jobs until then.
                continue
            found = counts(text)
            self.seen.append(found)
            if found["accepted"] != sum(found[state] for state in STATES):
                self.wrong.append(found)


async def unreliable(dispatcher: DispatcherProcess, name: str, draw: random.Random) -> None:
    """A worker that answers some jobs, and now and then dies with the rest in hand."""
    worker = ScriptedWorker(dispatcher.address, name, slots=8)
    try:
        while True:
            with contextlib.suppress(Exception):
                await worker.connect()
                worker.told.clear()
                await worker.credit(200)
                while "end" not in worker.told:
                    async with asyncio.timeout(0.05):
                        assignment = await worker.assignments.get()
                    if draw.random() < 0.02:
                        break
                    await worker.answer(assignment)
            while not worker.assignments.empty():
                worker.assignments.get_nowait()
            await asyncio.sleep(0)
    finally:
        await worker.cut()


async def submitting(client: AsyncClient, series: str, draw: random.Random) -> None:
    for n in range(1, 10_000, 20):
        numbers = [f"KA-47-{series}-{each:04d}" for each in range(n, n + 20)]
        ids = await client.submit(numbers)
        if draw.random() < 0.3:
            await client.cancel(draw.sample(ids, 5))


async def test_the_counts_add_up_at_every_scrape(dispatcher: DispatcherProcess) -> None:
    draw = random.Random(4)
    scrapes = Scrapes(dispatcher)
    async with AsyncClient(dispatcher.address, retry=PATIENT) as client:
        scraping = asyncio.create_task(scrapes.run())
        running = [
            scraping,
            *(asyncio.create_task(unreliable(dispatcher, f"w{n}", draw)) for n in range(3)),
            *(asyncio.create_task(submitting(client, series, draw)) for series in ("A", "B")),
        ]

        async def has_grown(start: int) -> bool:
            if scraping.done():
                await scraping
            return len(scrapes.seen) >= start

        try:
            for _ in range(3):
                # A kill in the middle, after enough scrapes have seen jobs in every state.
                begin = len(scrapes.seen)
                await until(lambda begin=begin: has_grown(begin + 25))  # type: ignore[misc]
                await asyncio.to_thread(dispatcher.end, signal.SIGKILL)
                await asyncio.to_thread(dispatcher.start)
            begin = len(scrapes.seen)
            await until(lambda: has_grown(begin + 25))
        finally:
            for task in running:
                task.cancel()
            ended = await asyncio.gather(*running, return_exceptions=True)
        assert not [each for each in ended if isinstance(each, DispatcherError)]
    assert not scrapes.wrong
    assert len(scrapes.seen) >= 100
    for state in ("ready", "leased", "done", "cancelled"):
        assert any(found[state] for found in scrapes.seen), state
    accepted = [found["accepted"] for found in scrapes.seen]
    assert accepted == sorted(accepted), "what was accepted once stays accepted over a kill"


async def test_the_store_tells_how_it_writes(dispatcher: DispatcherProcess) -> None:
    await dispatcher.submit(*["KA-47-UT-9173"] * 300)
    text = await asyncio.to_thread(dispatcher.metrics)

    def value(name: str) -> float:
        (found,) = re.findall(rf"^{re.escape(name)} (\S+)$", text, re.M)
        return float(found)

    assert value("virtscale_dispatcher_store_commit_rows_sum") >= 300
    assert value("virtscale_dispatcher_store_commit_seconds_count") >= 1
    assert value("virtscale_dispatcher_store_commit_seconds_sum") > 0
    assert value('virtscale_dispatcher_store_size_bytes{file="database"}') > 0


async def test_the_spread_of_service_times_is_exact(dispatcher: DispatcherProcess) -> None:
    worker = await ScriptedWorker(dispatcher.address).connect()
    await worker.credit(2)
    await dispatcher.submit("KA-47-UT-9173", "KA-47-UT-9174")
    for seconds in (1, 3):
        await worker.answer(await worker.take(), seconds=seconds)

    async def is_counted() -> bool:
        text = await asyncio.to_thread(dispatcher.metrics)
        return "virtscale_dispatcher_job_service_seconds_squared_total 10.0" in text

    assert await until(is_counted)
    await worker.cut()
