"""A real scaler ends in order although a call of its own is stuck in libvirtd."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.free_ports import free_ports

pytest.importorskip("libvirt")

from tests.contract.hypervisor_libvirtd import PrivateLibvirtd, until


@pytest.fixture
def daemon() -> Iterator[PrivateLibvirtd]:
    daemon = PrivateLibvirtd()
    yield daemon
    daemon.close()


def test_sigterm_while_libvirtd_is_frozen_and_dies(daemon: PrivateLibvirtd, tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_ports()}"
    scaler = subprocess.Popen(
        [
            *(sys.executable, "-m", "scaler", "--url", daemon.uri),
            *("--state-dir", str(tmp_path / "state"), "--listen-address", address),
            *("--prometheus-url", "http://127.0.0.1:9", "--dispatcher", "127.0.0.1:9"),
            *("--logfile", str(tmp_path / "log")),
        ],
        stdin=subprocess.DEVNULL,
    )
    try:
        until(lambda: status(address), "the first turn")
        os.kill(daemon.pid, signal.SIGSTOP)
        until(
            lambda: status(address).get("decision", {}).get("errors"),
            "a turn without an answer",
            30,
        )
        scaler.terminate()
        os.kill(daemon.pid, signal.SIGKILL)
        assert scaler.wait(20) == 0
    finally:
        if scaler.poll() is None:
            scaler.kill()
            scaler.wait()


def status(address: str) -> dict[str, Any]:
    """Empty until the first turn is finished."""
    try:
        answer = requests.get(f"http://{address}/api/v1/status", timeout=5)
    except requests.RequestException:
        return {}
    return dict(answer.json()) if answer.ok else {}
