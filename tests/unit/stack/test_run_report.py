"""The report at the end of a run is in nobody's way, whatever its program does."""

import asyncio
import sys
import time

import pytest

from servicekit.lifecycle import Stop
from stack.paths import StateDirectory
from stack.run_report import FILE_NAME, ReportFile, RunReport

# Its arguments end with `--out FILE`.
WRITES = "import sys; open(sys.argv[-1], 'w').write(' '.join(sys.argv[1:]))"
FAILS = "import sys; open(sys.argv[-1], 'w').write('half'); sys.exit('error: no turn')"
HANGS = "import time; time.sleep(600)"


@pytest.fixture
def state(tmp_path) -> StateDirectory:
    found = StateDirectory(tmp_path / "state")
    found.create()
    return found


def report(state, program, given=None, **more):
    told: list[str] = []
    command = (sys.executable, "-c", program)
    return RunReport(state, given, tell=told.append, command=command, **more), told


async def test_is_written_into_the_state_directory_and_where_it_was_wanted(state, tmp_path):
    wanted = tmp_path / "run.html"
    wanted.write_text("an older report, much longer than the new one " * 9)
    given = ReportFile(wanted)
    assert "older" in wanted.read_text(), "a start that is refused costs nothing"
    made, told = report(state, WRITES, given)
    made.begin(since=1000.6)
    await made.finish(Stop())
    assert told == [f"report of the run: {wanted}"]
    text = (state.root / FILE_NAME).read_text()
    assert wanted.read_text() == text
    assert "--from=1000 --out" in text
    assert f"--state-dir {state.of('scaler')}" in text
    assert [one.name for one in state.root.glob("report*")] == [FILE_NAME]


async def test_without_a_file_it_says_where_it_is(state):
    made, told = report(state, WRITES)
    made.begin(since=0.0)
    await made.finish(Stop())
    assert told == [f"report of the run: {state.root / FILE_NAME}"]


async def test_what_failed_is_told_and_the_report_before_it_stays(state):
    (state.root / FILE_NAME).write_text("before")
    made, told = report(state, FAILS)
    made.begin(since=0.0)
    await made.finish(Stop())
    assert told == ["no report of this run: error: no turn; try: virtscale report"]
    assert (state.root / FILE_NAME).read_text() == "before"
    assert [one.name for one in state.root.glob("report*")] == [FILE_NAME]


async def test_a_program_that_hangs_is_ended(state):
    made, told = report(state, HANGS, seconds=0.2)
    begin = time.monotonic()
    made.begin(since=0.0)
    await made.finish(Stop())
    assert time.monotonic() - begin < 20
    assert told == ["no report of this run: not written within 0 s; try: virtscale report"]


async def test_an_end_that_got_urgent_does_not_wait(state):
    made, told = report(state, HANGS)
    made.begin(since=0.0)
    stop = Stop()
    stop.request("SIGINT")
    waiting = asyncio.create_task(made.finish(stop))
    stop.request("SIGINT")
    await asyncio.wait_for(waiting, 20)
    assert told == ["no report of this run: not waited for; try: virtscale report"]


async def test_a_program_that_is_not_there_and_a_screen_that_fails_harm_nobody(state):
    told: list[str] = []
    made = RunReport(state, None, tell=told.append, command=("/nowhere/at/all",))
    made.begin(since=0.0)
    await made.finish(Stop())
    assert told == [
        "no report of this run: No such file or directory: /nowhere/at/all; try: virtscale report"
    ]
    nothing, told = report(state, WRITES)
    await nothing.finish(Stop())
    assert told == []
