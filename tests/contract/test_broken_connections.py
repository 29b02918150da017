"""A real dispatcher and a real worker whose connection dies without a word, and strange clocks."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from virtscale.v1 import job_pb2

from bench.chaos import shim
from bench.chaos.processes import Worker
from bench.chaos.proxy import DOWN, UP, Gate
from tests.contract.dispatcher_process import JOIN_KEY, LEGACY, DispatcherProcess

# Keepalive: a ping every 10 s, its answer within 5 s. The rest is for a busy machine.
NOTICED_SECONDS = 15.0
SLACK_SECONDS = 12.0


class Pair:
    """A dispatcher and a worker with a gate between them."""

    def __init__(self, directory: Path, *, lease_ttl: float, environment: dict[str, str]) -> None:
        directory.mkdir(exist_ok=True)
        self.dispatcher = DispatcherProcess(
            directory, lease_ttl_seconds=lease_ttl, heartbeat_interval_seconds=lease_ttl / 4
        )
        self.gate = Gate("127.0.0.1", self.dispatcher.port)
        self._directory = directory
        self._environment = environment
        self.worker: Worker

    async def start(self) -> "Pair":
        self.dispatcher.start()
        await self.gate.start()
        self.worker = Worker("w1", self.gate.port, JOIN_KEY, self._directory, self._environment)
        self.worker.start()
        await self.connected()
        return self

    async def close(self) -> None:
        await self.worker.close()
        await self.dispatcher.close()
        await self.gate.close()

    async def connected(self, seconds: float = 20.0) -> float:
        """Waits for the worker; how long it took."""
        began = time.monotonic()
        async with asyncio.timeout(seconds):
            while await self.dispatcher.worker("w1") is None:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        return time.monotonic() - began

    async def gone(self, seconds: float) -> None:
        async with asyncio.timeout(seconds):
            while await self.dispatcher.worker("w1") is not None:  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async def job_is_done(self) -> None:
        ids = await self.dispatcher.submit("KA-47-UT-9173", profile=LEGACY)
        (job,) = await self.dispatcher.finals(ids)
        assert job.state == job_pb2.JOB_STATE_DONE


@pytest.fixture
async def pairs(tmp_path: Path) -> AsyncIterator[list[Pair]]:
    made: list[Pair] = []
    yield made
    for pair in made:
        await pair.close()


async def started(
    pairs: list[Pair],
    directory: Path,
    *,
    lease_ttl: float = 3600.0,
    environment: dict[str, str] | None = None,
) -> Pair:
    pair = Pair(directory, lease_ttl=lease_ttl, environment=environment or {})
    pairs.append(pair)
    return await pair.start()


async def noticed_on_both_sides(pairs: list[Pair], directory: Path, *held: str) -> None:
    pair = await started(pairs, directory)
    log = pair.worker.log
    pair.gate.hold(*held)
    async with asyncio.timeout(NOTICED_SECONDS + SLACK_SECONDS):
        while "stream.lost" not in log.read_text():  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        # The dispatcher too, without any word from the worker.
        await pair.gone(NOTICED_SECONDS + SLACK_SECONDS)
    pair.gate.cut(reset=True)
    pair.gate.release()
    await pair.connected(30.0)
    await pair.job_is_done()


@pytest.mark.timeout(120)
async def test_both_sides_notice_a_peer_that_has_vanished(pairs: list[Pair], tmp_path: Path):
    """Leases and heartbeats of an hour: only the keepalive can tell. grpc's own option does not."""

    async def vanishes(*held: str) -> None:
        try:
            await noticed_on_both_sides(pairs, tmp_path / "-".join(held), *held)
        except BaseException as error:
            error.add_note(f"held: {held}")
            raise

    # Side by side: what takes long is the keepalive's time.
    async with asyncio.TaskGroup() as group:
        for held in ((UP, DOWN), (UP,), (DOWN,)):
            group.create_task(vanishes(*held))


@pytest.mark.timeout(90)
async def test_a_worker_that_wakes_up_with_a_dead_connection_is_back_at_once(
    pairs: list[Pair], tmp_path: Path
):
    """A resumed domain: it stood still beyond its lease, and the connection is gone meanwhile."""
    pair = await started(pairs, tmp_path, lease_ttl=2.0)
    pair.worker.send(signal.SIGSTOP)
    await pair.gone(20.0)
    pair.gate.cut(reset=True)
    pair.worker.send(signal.SIGCONT)
    took = await pair.connected()
    # Two seconds on a machine of its own; this one may be busy.
    assert took < 2.0 + SLACK_SECONDS
    await pair.job_is_done()


@pytest.mark.parametrize("days", [-400, 400])
async def test_a_worker_with_a_clock_of_another_year_works(
    pairs: list[Pair], tmp_path: Path, days: int
):
    """A restored save, a guest without a battery: nothing may rest on its wall clock."""
    library, reason = shim.build(tmp_path)
    assert library is not None, f"deploy/debian-packages has gcc: {reason}"
    bent = shim.Shim(library, tmp_path / "clock")
    bent.step(days * 86400.0)
    pair = await started(pairs, tmp_path, environment=bent.environment)
    await pair.job_is_done()
    year = time.gmtime(time.time() + days * 86400).tm_year
    assert f"{year}-" in pair.worker.log.read_text(), "the clock was not bent"
