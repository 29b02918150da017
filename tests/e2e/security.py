"""A running stack lets nobody in who shows nothing, and a real guest says Hello over mutual TLS."""

import base64
from pathlib import Path

import grpc
import pytest
from virtscale.v1 import fleet_pb2, fleet_pb2_grpc, job_pb2, worker_pb2, worker_pb2_grpc

from tests.e2e import machine

HELLO = worker_pb2.Hello(
    worker_id="vs-1",
    instance_id="x",
    join_token="v1.bad",
    slots=1,
    profiles=[job_pb2.HASH_PROFILE_LEGACY_SHA256],
)


def refused_hello(channel: grpc.Channel) -> grpc.RpcError:
    with channel, pytest.raises(grpc.RpcError) as refused:
        stub = worker_pb2_grpc.WorkerServiceStub(channel)
        list(stub.Work(iter([worker_pb2.WorkRequest(hello=HELLO)]), timeout=10))
    return refused.value


def nobody_else_gets_in(stack: machine.Stack, client: machine.Client) -> None:
    """While `vs-1` is there, which has joined over mutual TLS."""
    assert "vs-1" in client.workers()
    workers = f"127.0.0.1:{stack.ports['dispatcher_workers']}"
    assert refused_hello(grpc.insecure_channel(workers)).code() is grpc.StatusCode.UNAVAILABLE
    tls = _tls(stack)
    root = (tls / "ca.pem").read_bytes()
    nobody = grpc.ssl_channel_credentials(root)
    refused = refused_hello(grpc.secure_channel(workers, nobody))
    assert refused.code() is grpc.StatusCode.UNAVAILABLE
    pair = [(tls / "workers" / f"vs-1.{kind}").read_bytes() for kind in ("key", "pem")]
    known = grpc.secure_channel(workers, grpc.ssl_channel_credentials(root, *pair))
    refused = refused_hello(known)
    assert refused.code() is grpc.StatusCode.UNAUTHENTICATED
    assert "bad" not in (refused.details() or "")
    with grpc.insecure_channel(stack.dispatcher) as channel:
        stub = fleet_pb2_grpc.FleetServiceStub(channel)
        with pytest.raises(grpc.RpcError) as raised:
            stub.ListWorkers(fleet_pb2.ListWorkersRequest(), timeout=10)
    assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert "vs-1" in client.workers()


def no_secret_was_told(stack: machine.Stack, guest: machine.Process) -> None:
    """By a stack that has ended; `guest` is a QEMU that ran in it."""
    secrets = secrets_of(_tls(stack))
    assert len(secrets) >= 7
    for name, secret in secrets.items():
        assert secret not in guest.command.encode(), f"{name} is in QEMU's command line"
        for log in (stack.state / "logs").rglob("*.log"):
            assert secret not in log.read_bytes(), f"{name} is in {log.name}"
        assert secret not in stack.output.read_bytes()


def _tls(stack: machine.Stack) -> Path:
    return stack.state / "secrets" / "tls"


def secrets_of(tls: Path) -> dict[str, bytes]:
    """The core of every key and token, as it would be found also within a base64 of its PEM."""
    found = {}
    for path in tls.rglob("*"):
        if path.suffix in (".token", ".join"):
            found[path.name] = path.read_bytes().strip()
        elif path.suffix == ".key":
            body = b"".join(path.read_bytes().splitlines()[1:-1])
            found[path.name] = body
            found[f"{path.name} in base64"] = base64.b64encode(path.read_bytes())[60:120]
    return found
