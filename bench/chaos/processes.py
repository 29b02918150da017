"""The real processes under test: one dispatcher, several workers, started as a user would."""

import asyncio
import base64
import contextlib
import hmac
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PEPPER_ID = "chaos"
LEASE_SECONDS = 2.0
_START_SECONDS = 60.0


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def join_token(join_key: bytes, worker_id: str) -> str:
    """The token that the scaler would put into the domain."""
    digest = hmac.digest(join_key, b"virtscale-join-v1:" + worker_id.encode(), "sha256")
    return "v1." + base64.urlsafe_b64encode(digest).decode().rstrip("=")


@dataclass
class Shims:
    """Environment of a process whose clock and disk the harness bends; empty when it cannot."""

    dispatcher: dict[str, str] = field(default_factory=dict)
    workers: dict[str, str] = field(default_factory=dict)


class Dispatcher:
    """`python -m dispatcher` on fixed ports; started again after every end that was a fault."""

    def __init__(self, directory: Path, database: Path, shim: dict[str, str]) -> None:
        self.port, self.metrics_port = free_port(), free_port()
        self.database = database
        self.pepper = secrets.token_bytes(32)
        self.join_key = secrets.token_bytes(32)
        self.log = directory / "dispatcher.log"
        self.starts = 0
        self.failed_starts = 0
        self.lock = asyncio.Lock()
        self._shim = shim
        self._process: subprocess.Popen[bytes] | None = None
        (directory / "pepper").write_text(f"{PEPPER_ID}:{self.pepper.hex()}\n")
        (directory / "join.key").write_bytes(self.join_key)
        self._config = directory / "dispatcher.yaml"
        self._config.write_text(json.dumps(self._settings(directory)))

    def _settings(self, directory: Path) -> dict[str, Any]:
        return {
            "listen": f"127.0.0.1:{self.port}",
            "listen_address": f"127.0.0.1:{self.metrics_port}",
            "database": str(self.database),
            "pepper_file": str(directory / "pepper"),
            "join_key_file": str(directory / "join.key"),
            "logfile": str(self.log),
            "argon2_memory_kib": 64,
            "argon2_passes": 1,
            "lease_ttl_seconds": LEASE_SECONDS,
            "heartbeat_interval_seconds": 0.4,
            "restart_grace_seconds": 2.0,
            "max_unfinished_jobs": 50_000,
        }

    async def start(self) -> float:
        """Starts it and waits until it listens; seconds from the call to then."""
        began = time.monotonic()
        while True:
            self.starts += 1
            self._process = self._started()
            while self._process.poll() is None:
                if _is_listening(self.port):
                    return time.monotonic() - began
                if time.monotonic() - began > _START_SECONDS:
                    raise SystemExit(f"the dispatcher does not listen; see {self.log}")
                await asyncio.sleep(0.02)
            # Expected while its disk is full: a supervisor would try again too.
            self.failed_starts += 1
            if time.monotonic() - began > _START_SECONDS:
                raise SystemExit(f"the dispatcher does not start; see {self.log}")
            await asyncio.sleep(0.2)

    def _started(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [sys.executable, "-m", "dispatcher", "--config", str(self._config)],
            cwd=ROOT,
            env=_environment() | self._shim,
            stderr=subprocess.DEVNULL,
        )

    def send(self, number: int) -> None:
        """Sends a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    async def end(self, number: int) -> int:
        """Ends it and reaps it; the exit code."""
        assert self._process is not None
        self._process.send_signal(number)
        return await _reaped(self._process)

    @property
    def is_running(self) -> bool:
        """Whether the process exists."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process."""
        assert self._process is not None
        return self._process.pid


class Worker:
    """`python -m guest_worker` under one name; the harness is its supervisor."""

    def __init__(
        self, name: str, port: int, join_key: bytes, directory: Path, shim: dict[str, str]
    ) -> None:
        self.name = name
        self.log = directory / f"{name}.log"
        self.starts = 0
        self.lock = asyncio.Lock()
        self._environment = _environment() | shim
        self._environment |= {
            "VIRTSCALE_DISPATCHER": f"127.0.0.1:{port}",
            "VIRTSCALE_WORKER_ID": name,
            "VIRTSCALE_JOIN_TOKEN": join_token(join_key, name),
            "VIRTSCALE_SLOTS": "1",
            "VIRTSCALE_PREFETCH": "128",
            "VIRTSCALE_LOGFILE": str(self.log),
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._replaced: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Starts a process; one that runs already is left alone and replaced."""
        if self._process is not None and self._process.poll() is None:
            self._replaced.append(self._process)
        self.starts += 1
        self._process = subprocess.Popen(
            [sys.executable, "-m", "guest_worker"], cwd=ROOT, env=self._environment
        )

    def send(self, number: int) -> None:
        """Sends a signal, if there is a process."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    async def end(self, number: int) -> int:
        """Ends the present process and reaps it; the exit code."""
        assert self._process is not None
        self.send(number)
        code = await _reaped(self._process)
        return code

    async def end_replaced(self) -> None:
        """Ends processes whose place another has taken."""
        for process in self._replaced:
            process.kill()
            await _reaped(process)
        self._replaced.clear()

    async def close(self) -> None:
        """Ends all processes of this name."""
        await self.end_replaced()
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            await _reaped(self._process)

    @property
    def pid(self) -> int:
        """The present process."""
        assert self._process is not None
        return self._process.pid


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VIRTSCALE_")}
    return kept | {"PYTHONPATH": f"{ROOT}:{ROOT / 'proto'}"}


async def _reaped(process: "subprocess.Popen[bytes]", patience: float = 30.0) -> int:
    deadline = time.monotonic() + patience
    while (code := process.poll()) is None:
        if time.monotonic() > deadline:
            process.kill()
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
        await asyncio.sleep(0.01)
    return code


def _is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
