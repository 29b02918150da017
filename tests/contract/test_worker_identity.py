"""The real guest worker at the real dispatcher over mutual TLS, told as a domain tells it."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from virtscale.v1 import job_pb2, license_pb2

from stack.guest_credentials import GuestTls, read
from tests.contract.dispatcher_process import PATIENCE, ROOT, until
from tests.contract.secured_dispatcher import SecuredDispatcher, header, site_in, worker_pair

NUMBER = "KA-47-UT-9173"
Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
async def dispatcher(tmp_path: Path) -> AsyncIterator[SecuredDispatcher]:
    (tmp_path / "d").mkdir()
    made = SecuredDispatcher(tmp_path / "d", site_in(tmp_path / "tls"), loglevel="debug")
    made.start()
    yield made
    await made.close()


@pytest.fixture
def start(tmp_path: Path):
    workers: list[subprocess.Popen[bytes]] = []

    def begin(address: str, worker_id: str, tls: GuestTls | None) -> "subprocess.Popen[bytes]":
        told = {} if tls is None else tls.credentials()
        variables = {
            "VIRTSCALE_" + name.upper().replace("-", "_"): value for name, value in told.items()
        }
        if tls is None:
            variables["VIRTSCALE_JOIN_TOKEN"] = "v1.c2VjcmV0LXRva2Vu"
        with (tmp_path / "worker.log").open("ab") as errors:
            worker = subprocess.Popen(
                [sys.executable, "-m", "guest_worker", "--slots", "1", "--loglevel", "debug"],
                env={
                    "PATH": os.environ["PATH"],
                    "PYTHONPATH": f"{ROOT}:{ROOT / 'proto'}",
                    "VIRTSCALE_DISPATCHER": address,
                    "VIRTSCALE_WORKER_ID": worker_id,
                    **variables,
                },
                stderr=errors,
            )
        workers.append(worker)
        return worker

    yield begin
    for worker in workers:
        worker.kill()
        worker.wait()


async def test_a_guest_joins_with_its_certificate_and_works(
    dispatcher: SecuredDispatcher, start: Start, tmp_path: Path
) -> None:
    worker_pair(dispatcher.site, "vs-1")
    tls = read(dispatcher.site, "vs-1")
    start(dispatcher.worker_address, "vs-1", tls)
    submit, get = header(dispatcher.token("submit")), header(dispatcher.token("read"))
    answer = await dispatcher.licenses.SubmitJobs(
        license_pb2.SubmitJobsRequest(
            request_id="0d9a8c2e-6c1f-4f5b-9a53-0e6f7f1d2c3b",
            jobs=[job_pb2.JobSpec(number=NUMBER)],
        ),
        metadata=submit,
        timeout=PATIENCE,
    )
    request = license_pb2.WaitJobsRequest(job_ids=answer.job_ids)
    request.timeout.seconds = int(2 * PATIENCE)
    done = await dispatcher.licenses.WaitJobs(request, metadata=get, timeout=3 * PATIENCE)
    assert done.jobs[0].result.worker_id == "vs-1"
    secret = b"".join(tls.key.splitlines()[1:-1])
    written = (tmp_path / "worker.log").read_bytes() + dispatcher.log.read_bytes()
    assert b"session.opened" in written
    assert secret not in written
    assert tls.credentials()["tls-key"].encode() not in written


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("another's certificate", "the certificate is not that of worker 'vs-2'"),
        ("another authority", "certificate is not of tls-ca"),
        ("no certificate at a TLS port", "that port wants TLS"),
        ("a certificate at a plain port", "that port speaks no TLS"),
        ("the clients' port", "on another port: the dispatcher's listen_workers"),
    ],
)
async def test_a_guest_that_is_not_let_in_says_why(
    dispatcher: SecuredDispatcher, start: Start, tmp_path: Path, case: str, words: str
) -> None:
    worker_pair(dispatcher.site, "vs-1")
    tls: GuestTls | None = read(dispatcher.site, "vs-1")
    address, worker_id = dispatcher.worker_address, "vs-1"
    if case == "another's certificate":
        worker_id = "vs-2"
    elif case == "another authority":
        foreign = site_in(tmp_path / "foreign")
        worker_pair(foreign, "vs-1")
        tls = read(foreign, "vs-1")
    elif case == "a certificate at a plain port":
        address = dispatcher.address
    else:
        tls = None
        if case == "the clients' port":
            address = dispatcher.address
    start(address, worker_id, tls)
    log = tmp_path / "worker.log"

    async def is_told() -> bool:
        return words in log.read_text()

    await until(is_told)
    assert "session.opened" not in log.read_text()
