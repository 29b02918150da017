import asyncio
import os
import signal
import subprocess
import sys

import pytest

from servicekit.config import ConfigError
from servicekit.lifecycle import EXIT_FAILED, EXIT_OK, EXIT_USAGE, StartError, Stop, run


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_requests_an_orderly_stop(number):
    reasons = []

    async def main(stop: Stop) -> None:
        os.kill(os.getpid(), number)
        reasons.append(await stop.wait())
        assert stop.is_requested
        assert not stop.is_urgent

    assert run(main) == EXIT_OK
    assert reasons == [number.name]


def test_a_second_signal_makes_it_urgent():
    async def main(stop: Stop) -> int:
        os.kill(os.getpid(), signal.SIGTERM)
        await stop.wait()
        while not stop.is_urgent:
            await asyncio.sleep(0.1)
            os.kill(os.getpid(), signal.SIGTERM)
        return 7

    assert run(main) == 7


def test_two_signals_at_once_are_one_wish():
    """`timeout` signals its child directly, and again with the child's group."""

    async def main(stop: Stop) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        await stop.wait()
        os.kill(os.getpid(), signal.SIGINT)
        # Both handlers have run once the loop has gone round.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not stop.is_urgent

    assert run(main) == EXIT_OK


def test_hangup_reloads_when_the_service_can():
    events = []

    async def main(stop: Stop) -> None:
        reloaded = asyncio.Event()

        async def reload() -> None:
            events.append("reloaded")
            reloaded.set()

        hangup.append(reload)
        os.kill(os.getpid(), signal.SIGHUP)
        await reloaded.wait()
        assert not stop.is_requested

    hangup: list = []

    async def on_hangup() -> None:
        await hangup[0]()

    assert run(main, on_hangup=on_hangup) == EXIT_OK
    assert events == ["reloaded"]


def test_a_failed_reload_does_not_end_the_service(capsys):
    tried: list[asyncio.Event] = []

    async def on_hangup() -> None:
        tried[0].set()
        raise ConfigError(["pool.yaml: max = 0: must be at least 1"])

    async def main(stop: Stop) -> None:
        tried.append(asyncio.Event())
        os.kill(os.getpid(), signal.SIGHUP)
        await tried[0].wait()
        await asyncio.sleep(0)

    assert run(main, on_hangup=on_hangup) == EXIT_OK
    assert "max = 0" in capsys.readouterr().err


def test_every_fault_of_the_configuration_is_printed(capsys):
    async def main(stop: Stop) -> None:
        raise ConfigError(["first", "second"])

    assert run(main) == EXIT_USAGE
    assert capsys.readouterr().err == "error: first\nerror: second\n"


def test_a_start_error_is_one_sentence_and_no_traceback(capsys):
    async def main(stop: Stop) -> None:
        raise StartError("port 1 is taken")

    assert run(main) == EXIT_FAILED
    assert capsys.readouterr().err == "error: port 1 is taken\n"


def test_a_fault_inside_a_task_group_is_still_one_sentence(capsys):
    """Services run their parts in a TaskGroup, which wraps what its tasks raise."""

    async def part() -> None:
        raise StartError("port 1 is taken")

    async def main(stop: Stop) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(part())

    assert run(main) == EXIT_FAILED
    assert capsys.readouterr().err == "error: port 1 is taken\n"


def test_a_bug_is_not_swallowed():
    async def main(stop: Stop) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(main)


async def test_sleep_ends_at_once_when_the_end_is_requested():
    stop = Stop()
    sleeping = asyncio.ensure_future(stop.sleep(3600))
    await asyncio.sleep(0)
    stop.request("test")
    assert await sleeping is True


async def test_sleep_is_over_when_its_time_has_passed():
    assert await Stop().sleep(0.001) is False
    assert await Stop().sleep(-1) is False


async def test_the_first_reason_is_kept():
    stop = Stop()
    stop.request("SIGTERM")
    stop.request("SIGINT")
    assert await stop.wait() == "SIGTERM"


def test_leaving_keeps_what_was_printed_and_skips_the_interpreters_end():
    script = (
        "import atexit\nfrom servicekit import lifecycle\n"
        "atexit.register(print, 'the end')\nprint('said', end='')\nlifecycle.leave(3)\n"
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (told.returncode, told.stdout, told.stderr) == (3, "said", "")
