"""What the services do with bad input: a clear sentence, and nothing half done left behind."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from virtscale.v1 import job_pb2, license_pb2, worker_pb2

from collector.__main__ import main as collector
from dispatcher import hashing
from dispatcher.__main__ import main as dispatcher_main
from guest_worker.__main__ import main as guest_worker
from scaler.__main__ import main as scaler
from tests.contract.dispatcher_process import (
    JOIN_KEY,
    LEGACY,
    PATIENCE,
    ROOT,
    DispatcherProcess,
    ScriptedWorker,
    until,
)

SECRET = "ZQ-77-XY-4321"
ENVIRONMENT = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT}:{ROOT / 'proto'}"}


@pytest.fixture
async def dispatcher(tmp_path: Path) -> AsyncIterator[DispatcherProcess]:
    made = DispatcherProcess(tmp_path)
    made.start()
    yield made
    await made.close()


# -- configuration ---------------------------------------------------------------------------------


def check_config(main: Callable[..., int], *arguments: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", [main.__module__, *arguments, "--check-config"])
    try:
        return main()
    except SystemExit as end:
        assert isinstance(end.code, int)
        return end.code


@pytest.mark.parametrize("main", [dispatcher_main, collector, scaler, guest_worker])
def test_a_wrong_flag_is_named(main: Any, monkeypatch: Any, capsys: Any) -> None:
    assert check_config(main, "--flag-that-is-not", monkeypatch=monkeypatch) == 2
    assert "--flag-that-is-not" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("main", "content", "words"),
    [
        (
            dispatcher_main,
            "typo: 1\nlease_ttl_seconds: soon\n",
            ["unknown key 'typo'", "lease_ttl_seconds = 'soon'"],
        ),
        (collector, "typo: 1\ntimeout_seconds: 0\n", ["unknown key 'typo'", "timeout_seconds = 0"]),
        (scaler, "typo: 1\nmax: many\n", ["unknown key 'typo'", "max = 'many'"]),
    ],
)
def test_every_fault_of_a_configuration_file_is_named(
    main: Any, content: str, words: list[str], tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    path = tmp_path / "service.yaml"
    path.write_text(content, encoding="utf-8")
    assert check_config(main, "--config", str(path), monkeypatch=monkeypatch) == 2
    text = capsys.readouterr().err
    for word in (*words, str(path)):
        assert word in text


def test_every_fault_of_a_worker_s_settings_is_named(monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setenv("VIRTSCALE_JOIN_TOKEN", "v1.secret-token")
    flags = ["--dispatcher", "nowhere", "--worker-id", "w1", "--slots", "many"]
    assert check_config(guest_worker, *flags, monkeypatch=monkeypatch) == 2
    text = capsys.readouterr().err
    assert "'nowhere' is not HOST:PORT" in text
    assert "slots: 'many'" in text
    assert "secret-token" not in text


# -- ports -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("service", "option"),
    [
        ("dispatcher", "--listen"),
        ("dispatcher", "--listen-address"),
        ("scaler", "--listen-address"),
        ("collector", "--web.listen-address"),
    ],
)
def test_a_busy_port_of_a_service_is_named_with_its_option(
    service: str, option: str, tmp_path: Path
) -> None:
    files = {
        "dispatcher": ["--database", tmp_path / "jobs.db"],
        "scaler": ["--state-dir", tmp_path],
    }
    free = {"--listen": "--listen-address", "--listen-address": "--listen"}.get(option, "")
    others = [free, "127.0.0.1:0"] if service == "dispatcher" else []
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        done = subprocess.run(
            [
                *(sys.executable, "-m", service, option, f"127.0.0.1:{port}"),
                *(*others, *files.get(service, [])),
            ],
            env={**ENVIRONMENT, "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
    assert done.returncode == 1
    assert f"port {port} on 127.0.0.1 is in use" in done.stderr
    assert f"{option} HOST:PORT" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_scaler_that_is_asked_names_the_libvirt_that_does_not_answer(tmp_path: Path) -> None:
    """As a service it goes on and tries again: a libvirtd may be restarted at any time."""
    uri = "qemu+unix:///system?socket=/nowhere/libvirt-sock"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "scaler", "eval", "--url", uri, "--state-dir", str(tmp_path)),
            *("--prometheus-url", "http://127.0.0.1:1", "--dispatcher", "127.0.0.1:1"),
        ],
        env={**ENVIRONMENT, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 1
    assert f'"libvirt_uri = {uri}: ' in done.stdout
    assert '"reason": "hypervisor_unknown"' in done.stdout


# -- disk space ------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 3 MB that really runs full."""
    directory = tmp_path / "disk"
    directory.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root can mount the small disk that this test fills")
    command = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(directory)]
    mounted = subprocess.run(command, capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"no disk to fill, this machine does not let us mount: {mounted.stderr}")
    yield directory
    subprocess.run(["umount", str(directory)], check=True)


async def fill(dispatcher: DispatcherProcess) -> tuple[list[str], grpc.aio.AioRpcError]:
    """Submits until not even one job fits: the accepted jobs, and the refusal."""
    accepted: list[str] = []
    size = 1000
    while True:
        try:
            accepted += await dispatcher.submit(*["A" * 60] * size)
        except grpc.aio.AioRpcError as error:
            if size == 1:
                return accepted, error
            size //= 10


async def test_a_full_disk_refuses_new_work_keeps_the_old_and_recovers(small_disk: Path) -> None:
    """The log is on the same disk, as it is in a state directory."""
    dispatcher = DispatcherProcess(small_disk, disk_reserve_mib=0)
    dispatcher.start()
    worker = ScriptedWorker(dispatcher.address)
    try:
        await worker.connect()
        await worker.credit(1)
        (first,) = await dispatcher.submit("KA-47-UT-9173")
        in_hand = await worker.take()
        reserve = small_disk / "reserve"
        reserve.write_bytes(bytes(1_000_000))
        accepted, refusal = await fill(dispatcher)
        assert refusal.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert f"the disk of {small_disk / 'jobs.db'} is full; free some space" in str(
            refusal.details()
        )
        assert (
            b"google.rpc.RetryInfo" in dict(refusal.trailing_metadata())["grpc-status-details-bin"]
        )
        counts = await dispatcher.backlog()
        assert counts.accepted == 1 + len(accepted)

        with (
            pytest.raises(OSError, match="No space"),
            open("/dev/zero", "rb") as zeros,  # noqa: ASYNC230
            (small_disk / "rest").open("wb") as rest,
        ):
            shutil.copyfileobj(zeros, rest)
        await worker.answer(in_hand)

        reserve.unlink()
        await worker.acknowledged(in_hand)
        assert (await dispatcher.jobs([first]))[0].state == job_pb2.JOB_STATE_DONE
        (second,) = await dispatcher.submit("B")
        (small_disk / "rest").unlink()
        assert dispatcher.end(signal.SIGKILL) == -signal.SIGKILL
        dispatcher.start()
        counts = await dispatcher.backlog()
        assert (counts.accepted, counts.done) == (2 + len(accepted), 1)
        assert (await dispatcher.jobs([second]))[0].state == job_pb2.JOB_STATE_READY
    finally:
        await worker.cut()
        await dispatcher.close()


async def test_a_log_that_cannot_be_written_stops_no_work(tmp_path: Path) -> None:
    dispatcher = DispatcherProcess(tmp_path, logfile="/dev/full")
    dispatcher.start()
    worker = ScriptedWorker(dispatcher.address)
    try:
        await worker.connect()
        await worker.credit(1)
        (job_id,) = await dispatcher.submit("A")
        await worker.answer(await worker.take())
        (job,) = await dispatcher.finals([job_id])
        assert job.state == job_pb2.JOB_STATE_DONE
        assert dispatcher.end(signal.SIGTERM) == 0
    finally:
        await worker.cut()
        await dispatcher.close()


# -- messages --------------------------------------------------------------------------------------

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind: int, flags: int, stream: int, content: bytes) -> bytes:
    return (
        len(content).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + content
    )


def headers(path: str) -> bytes:
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": "x",
        "content-type": "application/grpc",
        "te": "trailers",
    }
    # HPACK literals, new names, no Huffman code.
    return b"".join(
        b"\x00" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
        for name, value in fields.items()
    )


def half_a_call(message: bytes, *, announced: int, is_last: bool) -> bytes:
    return (
        PREFACE
        + frame(4, 0, 0, b"")
        + frame(1, 4, 1, headers("/virtscale.v1.LicenseService/SubmitJobs"))
        + frame(0, int(is_last), 1, b"\0" + announced.to_bytes(4, "big") + message)
    )


def batch() -> bytes:
    return license_pb2.SubmitJobsRequest(
        request_id=str(uuid.uuid4()), jobs=[job_pb2.JobSpec(number=SECRET, profile=LEGACY)]
    ).SerializeToString()


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", id="http1"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64), id="tls"),
        pytest.param(bytes(range(256)) * 64, id="garbage"),
        pytest.param(PREFACE + b"\xff" * 4096, id="frames-of-garbage"),
        pytest.param(PREFACE + frame(4, 0, 0, b"")[:5], id="half-a-frame"),
        pytest.param(half_a_call(batch()[:20], announced=70, is_last=True), id="half-a-message"),
        pytest.param(half_a_call(batch()[:20], announced=20, is_last=True), id="half-a-protobuf"),
        pytest.param(half_a_call(b"x", announced=0xFFFFFFFF, is_last=False), id="endless-message"),
    ],
)
async def test_bytes_that_are_no_call_harm_nobody(
    dispatcher: DispatcherProcess, raw: bytes
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", dispatcher.port)
    writer.write(raw)
    try:
        async with asyncio.timeout(PATIENCE):
            with contextlib.suppress(OSError):  # it may hang up before all is said
                writer.write_eof()
                await reader.read()  # until the server hangs up
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    await is_well(dispatcher)


async def is_well(dispatcher: DispatcherProcess) -> None:
    """Serves, accepts one job, and has said nothing of the number."""
    health = health_pb2_grpc.HealthStub(dispatcher.channel)
    answer = await health.Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    await dispatcher.submit("A")
    assert (await dispatcher.backlog()).accepted == 1
    text = dispatcher.log.read_text()
    assert SECRET not in text
    assert "Traceback" not in text


@pytest.mark.parametrize(
    "service",
    [
        "LicenseService/SubmitJobs",
        "LicenseService/VerifyLicense",
        "LicenseService/WatchResults",
        "LicenseService/StreamJobs",
        "WorkerService/Work",
    ],
)
async def test_a_truncated_protobuf_is_refused(dispatcher: DispatcherProcess, service: str) -> None:
    """Over a call of one message each way, whatever the method is: on the wire it is the same."""
    call = dispatcher.channel.unary_unary(f"/virtscale.v1.{service}")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call(batch()[:-3], timeout=PATIENCE)
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert f"cut short or no message of /virtscale.v1.{service}" in str(refused.value.details())
    assert SECRET not in str(refused.value)
    await is_well(dispatcher)


async def test_a_truncated_message_of_a_worker_ends_its_stream_only(
    dispatcher: DispatcherProcess,
) -> None:
    other = await ScriptedWorker(dispatcher.address, "other").connect()
    hello = worker_pb2.Hello(
        worker_id="w1",
        instance_id=str(uuid.uuid4()),
        join_token=hashing.join_token(JOIN_KEY, "w1"),
        slots=1,
        profiles=[LEGACY],
    )
    call = dispatcher.channel.stream_stream("/virtscale.v1.WorkerService/Work")()
    await call.write(worker_pb2.WorkRequest(hello=hello).SerializeToString())
    await call.read()
    await call.write(worker_pb2.WorkRequest(hello=hello).SerializeToString()[:-3])
    assert await asyncio.wait_for(call.code(), PATIENCE) == grpc.StatusCode.INVALID_ARGUMENT

    async def is_gone() -> bool:
        return await dispatcher.worker("w1") is None

    await until(is_gone)
    assert await dispatcher.worker("other") is not None
    await other.cut()
    await is_well(dispatcher)


async def test_a_message_above_the_limit_is_refused(dispatcher: DispatcherProcess) -> None:
    call = dispatcher.channel.unary_unary("/virtscale.v1.LicenseService/SubmitJobs")
    with pytest.raises(grpc.aio.AioRpcError, match="send at most") as refused:
        await call(bytes(17 * 1024 * 1024), timeout=PATIENCE)
    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    await is_well(dispatcher)


# -- identity --------------------------------------------------------------------------------------


async def test_a_real_worker_with_a_wrong_token_says_so_and_gets_no_work(
    dispatcher: DispatcherProcess, tmp_path: Path
) -> None:
    await dispatcher.submit("A")
    log = tmp_path / "worker.log"
    worker = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-m", "guest_worker", "--slots", "1", "--logfile", str(log)],
        env={
            **ENVIRONMENT,
            "VIRTSCALE_DISPATCHER": dispatcher.address,
            "VIRTSCALE_WORKER_ID": "vs-1",
            "VIRTSCALE_JOIN_TOKEN": "v1.wrong-token",
        },
    )

    async def was_told() -> bool:
        return log.exists() and "dispatcher.rejected" in log.read_text()

    try:
        await until(was_told)
        assert "join token" in log.read_text()
        assert "virtscale_dispatcher_hello_refused_total 1.0" in await asyncio.to_thread(
            dispatcher.metrics
        )
        assert (await dispatcher.backlog()).leased == 0
        assert await dispatcher.worker("vs-1") is None
        assert "wrong-token" not in log.read_text() + dispatcher.log.read_text()
        worker.terminate()
        assert await asyncio.to_thread(worker.wait, PATIENCE) != 0
    finally:
        worker.kill()
        worker.wait()
