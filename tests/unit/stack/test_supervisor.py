import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from servicekit.clock import SystemClock
from servicekit.lifecycle import StartError
from stack.paths import StateDirectory
from stack.processes import ProcessId, read_pid_file
from stack.supervisor import Service, Supervisor


@pytest.fixture
def state(tmp_path: Path) -> StateDirectory:
    directory = StateDirectory(tmp_path)
    directory.create()
    return directory


def service(code: str, name: str = "sleeper") -> Service:
    return Service(name, (sys.executable, "-c", code), {"PATH": os.environ["PATH"]}, 5.0)


SLEEP = "import signal; signal.pause()"


async def until(condition) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in another process
            await asyncio.sleep(0.01)


async def test_a_killed_service_is_back_at_once_with_a_new_pid_file(state) -> None:
    told: list[str] = []
    supervisor = Supervisor(state, SystemClock(), tell=told.append)
    await supervisor.start(service(SLEEP))
    first = supervisor.pid("sleeper")
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await until(lambda: supervisor.restarts()["sleeper"] == 1)
    assert supervisor.pid("sleeper") != first
    recorded = read_pid_file(state.run / "sleeper.pid")
    assert recorded is not None and recorded.pid == supervisor.pid("sleeper")
    assert "SIGKILL" in told[0]
    await supervisor.stop("sleeper")
    assert not (state.run / "sleeper.pid").exists()
    assert not recorded.is_alive


async def test_a_service_that_ignores_the_request_to_stop_is_killed(state) -> None:
    deaf = "import signal; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); "
    supervisor = Supervisor(state, SystemClock(), tell=lambda _: None)
    await supervisor.start(
        Service(
            "sleeper",
            (sys.executable, "-c", deaf + "signal.pause()"),
            {"PATH": os.environ["PATH"]},
            0.1,
        )
    )
    await until(lambda: "deaf" in state.log("sleeper").read_text(encoding="utf-8"))
    process = ProcessId.of(supervisor.pid("sleeper") or 0)
    assert process is not None
    await supervisor.stop("sleeper")
    assert not process.is_alive


async def test_a_service_that_refuses_its_configuration_fails_with_its_own_words(state) -> None:
    supervisor = Supervisor(state, SystemClock(), tell=lambda _: None)
    await supervisor.start(service("import sys; sys.exit('error: port 5 is odd') or 0"))

    async def never() -> str | None:
        return "not yet"

    with pytest.raises(StartError, match="port 5 is odd"):
        await supervisor.wait_ready("sleeper", never, seconds=10.0)
    await supervisor.stop("sleeper")


async def test_a_program_that_is_missing_or_never_ready_is_named(state) -> None:
    supervisor = Supervisor(state, SystemClock(), tell=lambda _: None)
    await supervisor.start(service(SLEEP))

    async def never() -> str | None:
        return "no answer"

    with pytest.raises(StartError, match=r"sleeper is not ready.*no answer"):
        await supervisor.wait_ready("sleeper", never, seconds=0.05)
    await supervisor.stop("sleeper")


async def test_the_log_of_the_run_before_is_kept(state) -> None:
    state.log("sleeper").write_text("old", encoding="utf-8")
    supervisor = Supervisor(state, SystemClock(), tell=lambda _: None)
    await supervisor.start(service(SLEEP))
    await supervisor.stop("sleeper")
    assert state.log("sleeper").with_suffix(".log.1").read_text(encoding="utf-8") == "old"
