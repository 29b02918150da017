"""`virtscale submit` and a dispatcher that is away at its very first call, or refuses it."""

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contract.announced_stack import environment
from tests.contract.dispatcher_process import PATIENCE, DispatcherProcess
from tests.contract.secured_dispatcher import SecuredDispatcher, site_in
from tests.contract.test_client import numbers, working

COUNT = 300


@contextlib.asynccontextmanager
async def submitting(
    directory: Path, dispatcher: DispatcherProcess, *more: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """The command at work on a file of numbers."""
    plates = directory / "plates.txt"
    plates.write_text("\n".join(numbers(COUNT)) + "\n", encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "stack", "submit", str(plates)),
        *("--profile", "legacy-sha256", "--dispatcher", dispatcher.address, *more),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment(directory / "state"),
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)
        await process.wait()


async def ended(process: asyncio.subprocess.Process) -> tuple[int, str, str]:
    """Code, standard output and error."""
    output, errors = await asyncio.wait_for(process.communicate(), 2 * PATIENCE)
    assert process.returncode is not None
    return process.returncode, output.decode(), errors.decode()


async def test_a_dispatcher_that_comes_later_is_waited_for_from_the_first_call_on(
    tmp_path: Path,
) -> None:
    dispatcher = DispatcherProcess(tmp_path)
    try:
        async with submitting(tmp_path, dispatcher, "--patience", "40") as process:
            assert process.stderr is not None
            said = (await asyncio.wait_for(process.stderr.readline(), PATIENCE)).decode()
            assert said.startswith(f"waiting: the dispatcher at {dispatcher.address} does not")
            await asyncio.to_thread(dispatcher.start)
            async with working(dispatcher):
                code, output, errors = await ended(process)
        assert code == 0, errors
        lines = output.splitlines()
        assert lines[0] == "reference,profile,hash"
        assert [line.split(",")[0] for line in lines[1:]] == [str(n + 1) for n in range(COUNT)]
        assert f"{COUNT} hashed, 0 failed, 0 skipped" in errors
    finally:
        await dispatcher.close()


@pytest.mark.parametrize("patience", ["0", "0.7"])
async def test_patience_ends(tmp_path: Path, patience: str) -> None:
    dispatcher = DispatcherProcess(tmp_path)
    async with submitting(tmp_path, dispatcher, "--patience", patience) as process:
        code, output, errors = await ended(process)
    assert (code, output) == (1, "")
    last = errors.splitlines()[-1]
    assert last.startswith(f"error: the dispatcher at {dispatcher.address} does not answer")
    assert ("given up after 0.7 s, --patience waits longer" in last) == (patience != "0")


async def test_one_that_accepts_connections_and_says_nothing_exhausts_the_patience(
    tmp_path: Path,
) -> None:
    dispatcher = DispatcherProcess(tmp_path)
    with socket.create_server(("127.0.0.1", dispatcher.port)):
        async with submitting(tmp_path, dispatcher, "--patience", "1") as process:
            code, _, errors = await ended(process)
    assert code == 1
    assert "given up after 1 s" in errors.splitlines()[-1]


@pytest.mark.parametrize(("token", "words"), [("read", "needs the role submit"), (None, "token")])
async def test_a_refused_token_is_told_at_once(
    tmp_path: Path, token: str | None, words: str
) -> None:
    site = site_in(tmp_path / "tls")
    dispatcher = SecuredDispatcher(tmp_path, site)
    shown = site.token("read")
    if token is None:
        shown = tmp_path / "wrong"
        shown.write_text("nobody-knows-it\n", encoding="utf-8")
    await asyncio.to_thread(dispatcher.start)
    try:
        async with submitting(
            *(tmp_path, dispatcher, "--token-file", str(shown), "--patience", "300")
        ) as process:
            code, output, errors = await ended(process)
    finally:
        await dispatcher.close()
    assert (code, output) == (1, "")
    assert words in errors
    assert "waiting:" not in errors
    assert "nobody-knows-it" not in errors


async def test_a_token_that_may_only_submit_is_enough(tmp_path: Path) -> None:
    site = site_in(tmp_path / "tls")
    dispatcher = SecuredDispatcher(tmp_path, site)
    await asyncio.to_thread(dispatcher.start)
    worker = dispatcher.worker("w1", slots=64)
    try:
        async with submitting(
            *(tmp_path, dispatcher, "--token-file", str(site.token("submit")))
        ) as process:
            await worker.connect()
            await worker.credit(COUNT)
            for _ in range(COUNT):
                await worker.answer(await worker.take())
            code, output, errors = await ended(process)
    finally:
        await worker.cut()
        await dispatcher.close()
    assert code == 0, errors
    assert len(output.splitlines()) == COUNT + 1
