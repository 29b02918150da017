"""What retention removes is gone for good, and the file stops growing."""

import signal
from pathlib import Path

import grpc
import pytest
from virtscale.v1 import license_pb2

from dispatcher.jobs import Attempt, AttemptCause, Done, JobKey, NewJob, Payload, Profile
from dispatcher.sqlite_store import SqliteStore
from tests.contract.dispatcher_process import ScriptedWorker, Start, until


async def round_of_jobs(store: SqliteStore, number: int, jobs: int) -> None:
    """Accepts, settles and removes jobs, as a store in balance does."""
    new = [
        NewJob(Payload(Profile.LEGACY_SHA256, f"KA-47-UT-{place:04}".encode()), f"ref {place}")
        for place in range(1, jobs + 1)
    ]
    accepted = await store.submit(f"r{number}", ["d"], new, 1.0)
    attempt = Attempt(1, AttemptCause.WORKER_LOST, "w-secret", 1.5)
    await store.count_attempts([(accepted.first, attempt)])
    finals = [Done(key, f"4e8d{key}:9f0c", "w1", 0.1) for key in accepted.keys]
    await store.settle(finals, 2.0)
    while await store.remove_finals(before=3.0, keep=None, limit=500) == 500:
        pass
    await store.forget_requests(before=3.0, limit=500)


async def test_the_file_stops_growing_and_keeps_nothing_of_what_was_removed(
    tmp_path: Path,
) -> None:
    path = tmp_path / "jobs.db"
    store = SqliteStore(path)
    store.open()
    await round_of_jobs(store, 0, 1000)
    await store.close()
    size = path.stat().st_size
    store = SqliteStore(path)
    store.open()
    for number in range(1, 11):
        await round_of_jobs(store, number, 1000)
    assert await store.page(JobKey(0), 10, None) == []
    assert await store.last_cursor() == 11_000
    await store.close()
    assert path.stat().st_size <= 1.25 * size
    for file in sorted(tmp_path.glob("*")):  # noqa: ASYNC240
        content = file.read_bytes()
        for trace in (b"KA-47", b"4e8d", b":9f0c", b"w-secret", b"ref "):
            assert trace not in content, f"{trace!r} is left in {file.name}"


async def test_a_removed_job_says_so_and_cursors_go_on(start: Start, tmp_path: Path) -> None:
    dispatcher = start()
    worker = await ScriptedWorker(dispatcher.address).connect()
    job_ids = await dispatcher.submit(*[f"KA-47-UT-{number:04}" for number in range(1, 4)])
    await worker.credit(3)
    for _ in job_ids:
        await worker.answer(await worker.take())
    await dispatcher.finals(job_ids)
    await worker.cut()
    request = license_pb2.WatchResultsRequest(from_start=True)
    cursor = (await dispatcher.licenses.WatchResults(request).read()).cursor
    dispatcher.end(signal.SIGTERM)
    await dispatcher.close()

    dispatcher = start(results_kept_count=1)

    async def is_tidy() -> bool:
        return "virtscale_dispatcher_removed_total 2.0" in dispatcher.metrics()

    await until(is_tidy)
    (kept,) = await dispatcher.jobs(job_ids[2:])
    with pytest.raises(grpc.aio.AioRpcError, match="results_kept_seconds") as raised:
        await dispatcher.licenses.GetJob(license_pb2.GetJobRequest(job_id=job_ids[0]))
    assert raised.value.code() == grpc.StatusCode.NOT_FOUND
    unknown = license_pb2.GetJobRequest(job_id=job_ids[0][:-1] + "9")
    with pytest.raises(grpc.aio.AioRpcError, match=r"no job .* here"):
        await dispatcher.licenses.GetJob(unknown)
    counts = await dispatcher.backlog()
    assert (counts.accepted, counts.done) == (3, 3)
    following = dispatcher.licenses.WatchResults(license_pb2.WatchResultsRequest(cursor=cursor))
    assert (await following.read()).job == kept
    following.cancel()
