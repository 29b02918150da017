"""Dispatchers on a PostgreSQL server that is killed, restarted and away; one that takes over."""

import asyncio
import contextlib
import os
import signal
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import requests
from virtscale.v1 import job_pb2

from bench.postgresql import PostgresqlServer
from tests.contract.dispatcher_process import PATIENCE, DispatcherProcess, until
from tests.contract.hashing_worker import HashingWorker
from tests.contract.postgresql_server import running_server

NewDispatcher = Callable[..., DispatcherProcess]


@pytest.fixture
async def dispatchers(tmp_path: Path) -> AsyncIterator[NewDispatcher]:
    """Makes dispatchers, not yet started, each in a directory of its own."""
    made: list[DispatcherProcess] = []

    def make(url: str, **settings: Any) -> DispatcherProcess:
        directory = tmp_path / f"dispatcher-{len(made)}"
        directory.mkdir()
        settings = {"restart_grace_seconds": 0.5, **settings}
        process = DispatcherProcess(directory, database=url, **settings)
        made.append(process)
        return process

    yield make
    for process in made:
        await process.close()


class Client:
    """Submits batches without end; knows which were acknowledged, and repeats the others."""

    def __init__(self, *dispatchers: DispatcherProcess) -> None:
        self._dispatchers = dispatchers
        self._task: asyncio.Task[None] | None = None
        self._place = 0
        self.job_ids: list[str] = []

    def start(self) -> "Client":
        self._task = asyncio.ensure_future(self._run())
        return self

    async def _run(self) -> None:
        while True:
            await self._batch(str(uuid.uuid4()))

    async def _batch(self, request_id: str) -> None:
        while True:
            dispatcher = self._dispatchers[self._place % len(self._dispatchers)]
            try:
                async with asyncio.timeout(1.0):
                    numbers = [f"{request_id}-{number}" for number in range(10)]
                    self.job_ids += await dispatcher.submit(*numbers, request_id=request_id)
                return
            except (TimeoutError, grpc.aio.AioRpcError):
                self._place += 1
                await asyncio.sleep(0.01)  # between tries of another process

    async def stop(self) -> list[str]:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        return self.job_ids


async def more_than(count: int, client: Client) -> None:
    async def is_reached() -> bool:
        return len(client.job_ids) > count

    await until(is_reached)


async def check_all_done_once(
    server: PostgresqlServer, url: str, dispatcher: DispatcherProcess, job_ids: list[str]
) -> None:
    """Every acknowledged job is done, under its own name, and has one place among the results."""
    assert len(set(job_ids)) == len(job_ids)
    for first in range(0, len(job_ids), 1000):
        jobs = await dispatcher.finals(job_ids[first : first + 1000])
        assert {job.state for job in jobs} == {job_pb2.JOB_STATE_DONE}

    async def are_all_done() -> bool:
        counts = await dispatcher.backlog()
        return counts.accepted == counts.done >= len(job_ids)

    await until(are_all_done)
    schema = url.rpartition("search_path%3D")[2]
    with server.connect(schema) as connection:
        (row,) = connection.execute(
            "SELECT (SELECT count(*) FROM final_jobs), (SELECT count(*) FROM open_jobs), "
            "accepted, done, final_order FROM numbers"
        ).fetchall()
    finals, unfinished, accepted, done, last = row
    assert (finals, unfinished, done) == (accepted, 0, accepted)
    # A commit whose answer was lost is repeated, and what it finds final leaves a gap.
    assert last >= accepted


async def test_a_killed_dispatcher_loses_nothing_and_the_next_goes_on(
    postgresql: PostgresqlServer, dispatchers: NewDispatcher
) -> None:
    url = postgresql.new_schema()
    dispatcher = dispatchers(url)
    dispatcher.start()
    worker = HashingWorker(dispatcher.address).start()
    client = Client(dispatcher).start()
    for _ in range(2):
        await more_than(len(client.job_ids) + 100, client)
        dispatcher.end(signal.SIGKILL)
        await asyncio.to_thread(dispatcher.start)
    await more_than(len(client.job_ids) + 100, client)
    await check_all_done_once(postgresql, url, dispatcher, await client.stop())
    await worker.stop()


@pytest.fixture(scope="module")
def mortal() -> Iterator[PostgresqlServer]:
    """A server that is killed."""
    with running_server() as server:
        yield server


async def test_a_server_that_is_killed_or_restarted_under_load_loses_nothing(
    mortal: PostgresqlServer, dispatchers: NewDispatcher
) -> None:
    url = mortal.new_schema()
    dispatcher = dispatchers(url)
    dispatcher.start()
    pid = dispatcher.pid
    worker = HashingWorker(dispatcher.address).start()
    client = Client(dispatcher).start()
    for end in (mortal.kill, mortal.stop, mortal.kill):
        await more_than(len(client.job_ids) + 100, client)
        await asyncio.to_thread(end)
        await asyncio.to_thread(mortal.start)
    await more_than(len(client.job_ids) + 100, client)
    await check_all_done_once(mortal, url, dispatcher, await client.stop())
    await worker.stop()
    assert dispatcher.pid == pid
    # It was told of every loss, and of nothing that somebody else must not read.
    log = dispatcher.log.read_text()
    assert "store.unavailable" in log
    assert mortal.password not in log
    assert "store.fenced" not in log


async def test_a_server_that_is_away_at_the_start_is_awaited(
    mortal: PostgresqlServer, dispatchers: NewDispatcher
) -> None:
    url = mortal.new_schema()
    mortal.stop()
    dispatcher = dispatchers(url)
    dispatcher.launch()
    address = f"http://127.0.0.1:{dispatcher.metrics_port}"

    async def is_waiting() -> bool:
        with contextlib.suppress(requests.ConnectionError):
            answer = await asyncio.to_thread(requests.get, f"{address}/-/ready", timeout=PATIENCE)
            return answer.status_code == 503 and "cannot be reached" in answer.text
        return False

    await until(is_waiting)
    assert "virtscale_dispatcher_standing_by 1.0" in dispatcher.metrics()
    mortal.start()
    await asyncio.to_thread(dispatcher.await_listening)
    await dispatcher.submit("A")
    assert "virtscale_dispatcher_standing_by 0.0" in dispatcher.metrics()


async def test_one_that_stands_by_takes_over_within_seconds(
    postgresql: PostgresqlServer, dispatchers: NewDispatcher
) -> None:
    url = postgresql.new_schema()
    first, second = dispatchers(url), dispatchers(url)
    first.start()
    second.launch()

    async def stands_by() -> bool:
        return second.log.exists() and "dispatcher.standing_by" in second.log.read_text()

    await until(stands_by)
    worker = HashingWorker(first.address, second.address).start()
    client = Client(first, second).start()
    await more_than(200, client)
    killed = time.monotonic()
    first.end(signal.SIGKILL)
    before = len(client.job_ids)
    await more_than(before, client)
    took = time.monotonic() - killed
    print(f"acknowledged by the second one {took:.2f} s after the first was killed")
    assert took < 5.0
    await more_than(before + 100, client)
    # Who was killed comes back and waits in turn.
    first.launch()
    await check_all_done_once(postgresql, url, second, await client.stop())
    second.end(signal.SIGTERM)
    await asyncio.to_thread(first.await_listening)
    await worker.stop()


async def test_who_lost_its_turn_ends_at_once(
    postgresql: PostgresqlServer, dispatchers: NewDispatcher
) -> None:
    url = postgresql.new_schema()
    first, second = dispatchers(url), dispatchers(url)
    first.start()
    assert first.pid is not None
    (job_id,) = await first.submit("A")
    # A host that stands still, while the server gives its session up.
    os.kill(first.pid, signal.SIGSTOP)
    second.launch()
    with postgresql.connect() as connection:
        ended = connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"
        ).fetchall()
    assert ended == [(True,)]
    await asyncio.to_thread(second.await_listening)
    os.kill(first.pid, signal.SIGCONT)
    assert await asyncio.to_thread(first.ended) == 1
    assert "store.fenced" in first.log.read_text()
    (job,) = await second.jobs([job_id])
    assert job.job_id == job_id


async def test_the_password_comes_from_a_file_and_goes_nowhere(
    postgresql: PostgresqlServer, dispatchers: NewDispatcher, tmp_path: Path
) -> None:
    schema = postgresql.new_schema().rpartition("search_path%3D")[2]
    url = postgresql.url(schema, host="127.0.0.1")
    password = tmp_path / "password"
    password.write_text(f"not {postgresql.password}\n")
    dispatcher = dispatchers(url, database_password_file=str(password))
    dispatcher.launch()
    assert await asyncio.to_thread(dispatcher.ended) == 1
    password.write_text(f"{postgresql.password}\n")
    dispatcher.start()
    await dispatcher.submit("A")
    with open(f"/proc/{dispatcher.pid}/cmdline") as file:  # noqa: ASYNC230
        arguments = file.read()
    assert postgresql.password not in arguments + dispatcher.log.read_text() + dispatcher.metrics()
