"""The commands about the store, as a person gives them."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from virtscale.v1 import worker_pb2

from tests.contract.dispatcher_process import ROOT, DispatcherProcess, ScriptedWorker


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state directory with a dispatcher's in it."""
    made = tmp_path / "state"
    (made / "dispatcher").mkdir(parents=True)
    return made


@pytest.fixture
async def dispatcher(tmp_path: Path, state: Path) -> AsyncIterator[DispatcherProcess]:
    made = DispatcherProcess(tmp_path, database=str(state / "dispatcher" / "dispatcher.db"))
    made.start()
    yield made
    await made.close()


def virtscale(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "stack", *map(str, words)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'proto'}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


async def test_a_backup_is_made_while_it_runs_and_restored_when_it_does_not(
    tmp_path: Path, state: Path, dispatcher: DispatcherProcess
) -> None:
    (before,) = await dispatcher.submit("KA-47-UT-9173")
    copy = tmp_path / "jobs.backup"
    made = virtscale("backup", copy, "--state", state)
    assert made.returncode == 0, made.stderr
    assert "checked" in made.stdout
    # So quick a copy needs no bar.
    assert made.stderr == ""
    again = virtscale("backup", copy, "--state", state)
    assert again.returncode == 1
    assert "--force" in again.stderr
    assert virtscale("backup", "--force", copy, "--state", state).returncode == 0
    await dispatcher.submit("KA-47-UT-9174")
    running = virtscale("restore", copy, "--state", state)
    assert running.returncode == 1
    assert "in use by another dispatcher" in running.stderr
    assert "Traceback" not in running.stderr
    assert dispatcher.end(signal.SIGTERM) == 0
    restored = virtscale("restore", copy, "--state", state, "--json")
    assert restored.returncode == 0, restored.stderr
    assert os.path.exists(json.loads(restored.stdout)["kept"])  # noqa: ASYNC240
    dispatcher.start()
    assert (await dispatcher.backlog()).accepted == 1
    assert [job.job_id for job in await dispatcher.jobs([before])] == [before]


async def test_a_backup_can_begin_an_empty_state_directory(
    tmp_path: Path, state: Path, dispatcher: DispatcherProcess
) -> None:
    await dispatcher.submit("KA-47-UT-9173")
    copy = tmp_path / "jobs.backup"
    assert virtscale("backup", copy, "--state", state).returncode == 0
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    restored = virtscale("restore", copy, "--state", fresh)
    assert restored.returncode == 0, restored.stderr
    assert "store that was there" not in restored.stdout
    assert (fresh / "dispatcher").stat().st_mode & 0o777 == 0o700
    assert (fresh / "dispatcher" / "dispatcher.db").stat().st_mode & 0o777 == 0o600


async def test_failed_jobs_are_listed_with_their_history(dispatcher: DispatcherProcess) -> None:
    address = ("--dispatcher", dispatcher.address)
    nothing = virtscale("failed", *address)
    assert (nothing.returncode, nothing.stdout) == (0, "no job has failed\n")
    worker = await ScriptedWorker(dispatcher.address).connect()
    (refused,) = await dispatcher.submit("KA-47-UT-9173", reference="row 7")
    (dead,) = await dispatcher.submit("KA-47-UT-9174", reference="row 8")
    for retryable in (False, *[True] * 5):
        await worker.credit(1)
        assignment = await worker.take()
        refusal = worker_pb2.Refusal(retryable=retryable, message="cannot do that")
        outcome = worker_pb2.Outcome(lease=assignment.lease, refusal=refusal)
        await worker.send(results=worker_pb2.Results(outcomes=[outcome]))
    await dispatcher.finals([refused, dead])
    await worker.cut()
    shown = virtscale("failed", *address)
    assert shown.returncode == 0, shown.stderr
    lines = shown.stdout.splitlines()
    assert lines[0] == f"{refused} row 7: cannot do that"
    assert lines[1].startswith(f"{dead} row 8: given up after 5 attempts")
    assert len(lines) == 7
    assert lines[6].endswith("worker_refused w1: cannot do that")
    assert "9174" not in shown.stdout
    letters = virtscale("failed", "--dead-letters", "--references", *address)
    assert letters.stdout == "row 8\n"
    (job,) = map(
        json.loads, virtscale("failed", "--dead-letters", "--json", *address).stdout.splitlines()
    )
    assert [attempt["ordinal"] for attempt in job["attempt_history"]] == [1, 2, 3, 4, 5]
