"""The Python client on a real dispatcher, also one that is killed in the middle."""

import asyncio
import contextlib
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from virtscale.client import (
    AsyncClient,
    Client,
    InvalidRequestError,
    JobSpec,
    RetryPolicy,
    UnavailableError,
    UnknownJobError,
)

from tests.contract.dispatcher_process import (
    PATIENCE,
    DispatcherProcess,
    ScriptedWorker,
    legacy_hash,
    until,
)

PATIENT = RetryPolicy(deadline_seconds=60.0)


@pytest.fixture
async def dispatcher(tmp_path: Path) -> AsyncIterator[DispatcherProcess]:
    process = DispatcherProcess(tmp_path)
    process.start()
    yield process
    await process.close()


@pytest.fixture
async def client(dispatcher: DispatcherProcess) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(dispatcher.address, retry=PATIENT) as client:
        yield client


@contextlib.asynccontextmanager
async def working(dispatcher: DispatcherProcess) -> AsyncIterator[None]:
    """A worker that answers everything and comes back after every restart."""
    worker = ScriptedWorker(dispatcher.address, slots=64)

    async def work() -> None:
        while True:
            with contextlib.suppress(Exception):
                await worker.connect()
                await worker.credit(100_000)
                while "end" not in worker.told[-1:]:
                    try:
                        async with asyncio.timeout(0.1):
                            each = await worker.assignments.get()
                    except TimeoutError:
                        continue
                    more = [each]
                    while not worker.assignments.empty():
                        more.append(worker.assignments.get_nowait())
                    await worker.answer(*more)
            worker.told.clear()
            worker.assignments = asyncio.Queue()
            await asyncio.sleep(0)

    task = asyncio.create_task(work())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await worker.cut()


def numbers(count: int, *, series: str = "UT") -> list[str]:
    return [f"KA-{1 + n // 9999:02d}-{series}-{1 + n % 9999:04d}" for n in range(count)]


async def check_belongs(client: AsyncClient, number: str, stored: str) -> None:
    assert (await client.verify(number, stored)).matches


async def test_a_stream_survives_kills_and_repeats_nothing(
    dispatcher: DispatcherProcess, client: AsyncClient
) -> None:
    given = numbers(6_000)
    kills = iter([500, 2_000, 4_000])
    next_kill = next(kills)
    seen: dict[int, str] = {}
    async with working(dispatcher):
        async for hashed in client.hash_many(given, max_in_flight=1_500):
            assert hashed.index not in seen
            assert hashed.job.state == "done"
            seen[hashed.index] = hashed.job.hash
            if len(seen) == next_kill:
                next_kill = next(kills, 0)
                await asyncio.to_thread(dispatcher.end, signal.SIGKILL)
                await asyncio.to_thread(dispatcher.start)
    assert sorted(seen) == list(range(len(given)))
    for index in (0, 499, 2_001, 5_999):
        await check_belongs(client, given[index], seen[index])
    backlog = await client.backlog()
    assert (backlog.accepted, backlog.done, backlog.open) == (6_000, 6_000, 0)


async def test_results_come_in_the_order_of_the_input_when_asked(
    dispatcher: DispatcherProcess, client: AsyncClient
) -> None:
    async def slow() -> AsyncIterator[str]:
        for number in numbers(300):
            yield number
            await asyncio.sleep(0)

    async with working(dispatcher):
        hashed = [each async for each in client.hash_many(slow(), ordered=True, max_in_flight=20)]
    assert [each.index for each in hashed] == list(range(300))


async def test_the_input_is_read_no_faster_than_results_are_taken(
    dispatcher: DispatcherProcess, client: AsyncClient
) -> None:
    read = 0

    def counted() -> Iterator[str]:
        nonlocal read
        for number in numbers(2_000):
            read += 1
            yield number

    async with working(dispatcher):
        results = client.hash_many(counted(), max_in_flight=50)
        for taken in range(1, 301):
            await anext(results)
            assert read <= taken + 50
        await results.aclose()


async def test_a_bad_number_names_its_position_and_never_itself(
    dispatcher: DispatcherProcess, client: AsyncClient
) -> None:
    given = [*numbers(1_500), "KA-47-UT-9173\x07", *numbers(10, series="AB")]
    async with working(dispatcher):
        with pytest.raises(InvalidRequestError) as refused:
            async for _ in client.hash_many(given, max_in_flight=5_000):
                pass
    assert [each.field for each in refused.value.violations] == ["jobs[1500].number"]
    assert "9173" not in str(refused.value)


async def test_a_fault_of_the_callers_own_iterable_is_the_callers(
    dispatcher: DispatcherProcess, client: AsyncClient
) -> None:
    def broken() -> Iterator[str]:
        yield from numbers(10)
        raise RuntimeError("the file ended in the middle")

    async with working(dispatcher):
        with pytest.raises(RuntimeError, match="in the middle"):
            async for _ in client.hash_many(broken()):
                pass


async def test_submit_is_idempotent_over_processes(
    dispatcher: DispatcherProcess, client: AsyncClient
) -> None:
    request_id = "5f0c1d8e-3a52-4c1e-9d5e-0b6a3a0f7c11"
    given = numbers(2_100)
    first = await client.submit(given, request_id=request_id)
    await asyncio.to_thread(dispatcher.end, signal.SIGKILL)
    restarting = asyncio.create_task(asyncio.to_thread(dispatcher.start))
    # Asked while nobody listens: waits for the restart.
    async with AsyncClient(dispatcher.address, retry=PATIENT) as other:
        assert await other.submit(given, request_id=request_id) == first
        assert (await other.backlog()).accepted == 2_100
    await restarting


async def test_get_wait_list_and_cancel(dispatcher: DispatcherProcess, client: AsyncClient) -> None:
    specs = [JobSpec(number, reference=f"row {n}") for n, number in enumerate(numbers(1_200))]
    ids = await client.submit(specs)
    listed = [job async for job in client.list_jobs()]
    assert [job.job_id for job in listed] == ids
    assert listed[7].reference == "row 7"
    ready = await client.wait(ids[:3], seconds=0.0)
    assert [job.state for job in ready] == ["ready"] * 3
    cancelled = await client.cancel(ids[:1_100])
    assert {job.state for job in cancelled} == {"cancelled"}
    assert [job.job_id async for job in client.list_jobs(states=["ready"])] == ids[1_100:]
    async with working(dispatcher):
        done = await client.wait(ids)
    assert [job.state for job in done] == ["cancelled"] * 1_100 + ["done"] * 100
    assert (await client.get(ids[-1])) == done[-1]
    with pytest.raises(UnknownJobError):
        await client.get("no-such-job")


async def test_the_export_goes_on_from_a_saved_cursor_through_a_kill(
    dispatcher: DispatcherProcess, client: AsyncClient
) -> None:
    async with working(dispatcher):
        ids = await client.submit(numbers(900))
        seen: list[str] = []
        cursor = ""
        async for exported in client.results(from_start=True):
            seen.append(exported.job.job_id)
            cursor = exported.cursor
            if len(seen) == 100:
                await asyncio.to_thread(dispatcher.end, signal.SIGKILL)
                await asyncio.to_thread(dispatcher.start)
            if len(seen) == 400:
                break
        await client.wait(ids)
    async with AsyncClient(dispatcher.address, retry=PATIENT) as other:
        rest = [each.job.job_id async for each in other.results(cursor, follow=False)]
        assert sorted(seen + rest) == sorted(ids)
        assert [each async for each in other.results(follow=False)] == []


async def test_a_follower_misses_nothing_that_came_while_it_was_cut_off(
    dispatcher: DispatcherProcess, client: AsyncClient
) -> None:
    told = asyncio.Event()
    following = client.with_retry(PATIENT, lambda _: told.set()).results()
    first = asyncio.ensure_future(anext(following))
    # Its place is known before anything is stored; then the dispatcher dies.
    await until_watched(dispatcher)
    await asyncio.to_thread(dispatcher.end, signal.SIGKILL)
    await asyncio.wait_for(told.wait(), PATIENCE)
    await asyncio.to_thread(dispatcher.start)
    async with working(dispatcher):
        (job_id,) = await client.submit(["KA-47-UT-9173"])
        assert (await asyncio.wait_for(first, PATIENCE)).job.job_id == job_id
    await following.aclose()


async def until_watched(dispatcher: DispatcherProcess) -> None:
    """The stream's place is fixed once its first response is sent."""

    async def is_sent() -> bool:
        text = await asyncio.to_thread(dispatcher.metrics)
        return any(
            line.startswith("grpc_server_msg_sent_total")
            and 'grpc_method="WatchResults"' in line
            and not line.endswith(" 0.0")
            for line in text.splitlines()
        )

    await until(is_sent)


async def test_a_dispatcher_away_for_too_long_is_an_error(tmp_path: Path) -> None:
    process = DispatcherProcess(tmp_path)
    async with AsyncClient(process.address, retry=RetryPolicy(deadline_seconds=0.5)) as client:
        with pytest.raises(UnavailableError, match="does not answer"):
            await client.submit(["KA-47-UT-9173"])
        with pytest.raises(UnavailableError):
            async for _ in client.hash_many(["KA-47-UT-9173"]):
                pass


async def test_the_blocking_client_does_the_same(dispatcher: DispatcherProcess) -> None:
    given = numbers(3_000)

    def use() -> dict[int, str]:
        seen: dict[int, str] = {}
        with Client(dispatcher.address, retry=PATIENT) as client:
            for hashed in client.hash_many(iter(given), max_in_flight=800):
                assert hashed.index not in seen
                seen[hashed.index] = hashed.job.hash
                if len(seen) == 1_000:
                    dispatcher.end(signal.SIGKILL)
                    dispatcher.start()
            ids = client.submit(["KA-47-UT-9173"])
            (job,) = client.wait(ids)
            assert client.verify("KA-47-UT-9173", job.hash).matches
            assert client.get(ids[0]) == job
            assert len(list(client.list_jobs())) == 3_001
            assert len(list(client.results(from_start=True, follow=False))) == 3_001
            assert client.backlog().done == 3_001
            assert [worker.slots for worker in client.workers()] == [64]
            next(client.hash_many(given))
        return seen

    async with working(dispatcher):
        seen = await asyncio.to_thread(use)
    assert sorted(seen) == list(range(3_000))
    left = [each.name for each in threading.enumerate() if each.name == "virtscale-client"]
    assert left == []


def test_a_client_that_cannot_be_made_leaves_no_thread() -> None:
    with pytest.raises(InvalidRequestError):
        Client("nowhere")
    assert "virtscale-client" not in [each.name for each in threading.enumerate()]


def test_the_legacy_hash_of_the_scripted_worker_is_the_contracts() -> None:
    digest, _, salt = legacy_hash(b"KA-47-UT-9173").partition(":")
    assert (len(digest), len(salt)) == (64, 32)
