"""The processes that a benchmark measures: started in a directory of their own, always removed."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from dispatcher import hashing

ROOT = Path(__file__).resolve().parents[1]
PATIENCE_SECONDS = 60.0
PROGRAMS = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
"""Where programs are looked for."""
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST_PORT = 10_000
_GIVEN: set[int] = set()
_JOIN_KEY = os.urandom(32)
_COMMIT_ROWS = re.compile(r"virtscale_dispatcher_\w*commit\w*_(rows|size)_sum")
_SAMPLE = re.compile(r"^([a-zA-Z_:][\w:]*)(\{[^}]*\})? (\S+)$", re.M)


def free_port() -> int:
    """A TCP port of loopback that nobody uses now, and no outgoing connection will take later.

    Servers here are started again on the same port; one from the range that the kernel gives to
    outgoing connections could be gone by then.
    """
    first = int(_EPHEMERAL.read_text().split()[0])
    low = min(_LOWEST_PORT, first // 2)
    for _ in range(1_000):
        port = low + int.from_bytes(os.urandom(4), "big") % (first - low)
        if port in _GIVEN:
            continue
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            _GIVEN.add(port)
            return port
    raise SystemExit("no free port on 127.0.0.1")


def wait_until(question: Callable[[], bool], what: str, seconds: float = PATIENCE_SECONDS) -> float:
    """Asks until the answer is yes; returns the seconds it took.

    Raises:
        SystemExit: it did not become true in time.

    """
    began = time.monotonic()
    while not question():
        if time.monotonic() - began > seconds:
            raise SystemExit(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.002)
    return time.monotonic() - began


def is_listening(port: int) -> bool:
    """Whether something accepts connections on this port of loopback."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Rig:
    """A directory and the processes in it. Leaving the `with` block ends and removes everything."""

    def __init__(self) -> None:
        self._exits = contextlib.ExitStack()
        self.directory = Path()
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith("VIRTSCALE_")
        }
        self.environment["PYTHONPATH"] = f"{ROOT}:{ROOT / 'proto'}"

    def __enter__(self) -> "Rig":
        folder = self._exits.enter_context(
            tempfile.TemporaryDirectory(prefix="virtscale-bench-", ignore_cleanup_errors=True)
        )
        self.directory = Path(folder)
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()

    def spawn(
        self, name: str, *command: str | Path, environment: Mapping[str, str] | None = None
    ) -> "subprocess.Popen[bytes]":
        """Starts a command in a group of its own; its output goes to `<name>.log`.

        It ends with the benchmark even when that is killed with -9.
        """
        leash = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        with (self.directory / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [*leash, *map(str, command)],
                cwd=ROOT,
                env={**self.environment, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._exits.callback(kill_group, process)
        return process

    def python(
        self, name: str, *arguments: str | Path, environment: Mapping[str, str] | None = None
    ) -> "subprocess.Popen[bytes]":
        """Starts this Python."""
        return self.spawn(name, sys.executable, *arguments, environment=environment)

    def report(self, name: str, module: str, request: Mapping[str, Any], seconds: float) -> Any:
        """Runs `python -m MODULE` with a request as its one argument; returns the JSON it writes.

        Raises:
            SystemExit: it failed, with what it said, or took longer than `seconds`.

        """
        path = self.directory / f"{name}.json"
        path.unlink(missing_ok=True)
        process = self.python(name, "-m", module, json.dumps(dict(request)), path)
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            kill_group(process)
        if code != 0 or not path.exists():
            reason = f"took more than {seconds:.0f} s" if code is None else f"ended with {code}"
            raise SystemExit(f"{module} {reason}:\n{self.tail(name)}{self._last_words(name)}")
        return json.loads(path.read_text())

    def _last_words(self, but: str) -> str:
        """What the other processes wrote last: often the cause."""
        names = sorted(path.stem for path in self.directory.glob("*.log") if path.stem != but)
        return "".join(f"\n--- {name}:\n{text}" for name in names if (text := self.tail(name, 4)))

    def tail(self, name: str, lines: int = 15) -> str:
        """The last lines that a process wrote."""
        path = self.directory / f"{name}.log"
        text = path.read_text(errors="replace") if path.exists() else ""
        return "\n".join(text.splitlines()[-lines:])


def kill_group(process: "subprocess.Popen[bytes]") -> None:
    """Ends a process and its descendants at once."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


class DispatcherProcess:
    """`python -m dispatcher` with a store on disk; the same ports at every start."""

    def __init__(self, rig: Rig, **settings: Any) -> None:
        self._rig = rig
        self.folder = Path(tempfile.mkdtemp(prefix="dispatcher-", dir=rig.directory))
        self.port, self.metrics_port = free_port(), free_port()
        (self.folder / "join.key").write_bytes(_JOIN_KEY)
        (self.folder / "pepper").write_text(f"k1:{os.urandom(32).hex()}\n")
        self._config = self.folder / "config.yaml"
        self._config.write_text(
            json.dumps(
                {
                    "listen": self.address,
                    "listen_address": f"127.0.0.1:{self.metrics_port}",
                    "database": str(self.folder / "jobs.db"),
                    "pepper_file": str(self.folder / "pepper"),
                    "join_key_file": str(self.folder / "join.key"),
                    "default_profile": "legacy-sha256",
                    "loglevel": "warning",
                    **settings,
                }
            )
        )
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> float:
        """Starts it; returns the seconds until it accepted connections."""
        began = time.monotonic()
        process = self._rig.python("dispatcher", "-m", "dispatcher", "--config", self._config)
        self._process = process

        def is_up() -> bool:
            if process.poll() is not None:
                raise SystemExit(f"the dispatcher ended:\n{self._rig.tail('dispatcher')}")
            return is_listening(self.port)

        wait_until(is_up, "the dispatcher listens")
        return time.monotonic() - began

    def kill(self) -> None:
        """Ends it with SIGKILL."""
        assert self._process is not None
        kill_group(self._process)

    def database_bytes(self) -> int:
        """Size of the store's files."""
        return sum(path.stat().st_size for path in self.folder.glob("jobs.db*"))

    def metrics(self) -> dict[str, float]:
        """Every sample of /metrics by its name and labels."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics") as answer:
            text = answer.read().decode()
        return {name + labels: float(value) for name, labels, value in _SAMPLE.findall(text)}

    def rows_and_commits(self) -> tuple[float, float] | None:
        """Rows written and commits so far, when the dispatcher exports them."""
        samples = self.metrics()
        for name in samples:
            if _COMMIT_ROWS.fullmatch(name):
                return samples[name], samples[name.removesuffix("_sum") + "_count"]
        return None


class WorkerProcess:
    """`python -m guest_worker`, joined to a dispatcher."""

    def __init__(
        self, rig: Rig, address: str, worker_id: str, slots: int, prefetch: int | None
    ) -> None:
        flags = [] if prefetch is None else ["--prefetch", str(prefetch)]
        self._process = rig.python(
            worker_id,
            *("-m", "guest_worker", "--slots", str(slots), *flags),
            environment={
                "VIRTSCALE_DISPATCHER": address,
                "VIRTSCALE_WORKER_ID": worker_id,
                "VIRTSCALE_JOIN_TOKEN": join_token(worker_id),
            },
        )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def kill(self) -> None:
        """Ends it with SIGKILL, hashing processes included."""
        kill_group(self._process)


def join_token(worker_id: str) -> str:
    """What lets a worker of this name join the dispatchers of this benchmark."""
    return hashing.join_token(_JOIN_KEY, worker_id)


def wait_for_workers(dispatcher: DispatcherProcess, count: int) -> None:
    """Returns when so many workers have said Hello."""
    prefix = "virtscale_dispatcher_workers{"

    def are_there() -> bool:
        samples = dispatcher.metrics()
        return sum(value for name, value in samples.items() if name.startswith(prefix)) >= count

    wait_until(are_there, f"{count} workers say Hello")


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Makes SIGTERM and SIGHUP end the benchmark as Ctrl-C does: nothing is left running."""

    def stop(number: int, _frame: object) -> None:
        raise KeyboardInterrupt(signal.Signals(number).name)

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
