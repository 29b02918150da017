"""The race "is it idle? yes - a job is assigned - the machine is stopped" on a real dispatcher."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from virtscale.v1 import fleet_pb2

from tests.contract.dispatcher_process import LEGACY, DispatcherProcess, ScriptedWorker, until

ROUNDS = 250
LONGEST = 8


@pytest.fixture
async def dispatcher(tmp_path: Path) -> AsyncIterator[DispatcherProcess]:
    process = DispatcherProcess(tmp_path, lease_ttl_seconds=3600, heartbeat_interval_seconds=1800)
    process.start()
    yield process
    await process.close()


@pytest.mark.timeout(180)
async def test_a_machine_called_idle_gets_no_job(dispatcher: DispatcherProcess):
    dice = random.Random(7)
    worker = await ScriptedWorker(dispatcher.address).connect()
    granted = 0

    # Delays are round trips to the dispatcher, so that they grow with everything else on a slow
    # machine; the longest is "when the submission is answered", which makes both outcomes certain.
    async def submit(trips: int, answered: asyncio.Event) -> None:
        for _ in range(trips):
            await dispatcher.backlog()
        await dispatcher.submit("KA-47-UT-9173", profile=LEGACY)
        answered.set()

    async def ask(trips: int, answered: asyncio.Event) -> fleet_pb2.CordonWorkerResponse:
        for _ in range(trips):
            await dispatcher.backlog()
        if trips == LONGEST:
            await answered.wait()
        request = fleet_pb2.CordonWorkerRequest(worker_id="w1", reason="scale in", max_leases=0)
        return await dispatcher.fleet.CordonWorker(request, timeout=15)  # type: ignore[no-any-return]

    async def all_done() -> bool:
        backlog = await dispatcher.backlog()
        return backlog.ready == backlog.leased == 0

    for _ in range(ROUNDS):
        await worker.credit(1)
        answered = asyncio.Event()
        answer, _ = await asyncio.gather(
            ask(dice.randint(0, LONGEST), answered), submit(dice.randint(0, LONGEST), answered)
        )
        if answer.granted:
            granted += 1
            # From the answer on: no lease, though there is a job, credit and nobody else.
            backlog = await dispatcher.backlog()
            assert (backlog.ready, backlog.leased) == (1, 0)
            assert worker.assignments.empty()
            request = fleet_pb2.UncordonWorkerRequest(worker_id="w1")
            assert (await dispatcher.fleet.UncordonWorker(request)).was_cordoned
        else:
            assert answer.leases == 1
        assignment = await worker.take()
        await worker.answer(assignment)
        await worker.acknowledged(assignment)
        await until(all_done)
    assert 0 < granted < ROUNDS, f"only one side ever won: {granted} of {ROUNDS}"
    await worker.cut()
