"""The samples of a stack that has ended: its Prometheus, started again for a moment to be asked."""

import contextlib
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from servicekit.lifecycle import StartError
from stack import privilege, service_plan, up_entry
from stack.listeners import HOST
from stack.paths import StateDirectory

_READY_SECONDS = 60.0
_STOP_SECONDS = 15.0
_POLL_SECONDS = 0.05
_FOR_EVER = "100y"


@contextlib.contextmanager
def served(state: StateDirectory) -> Iterator[str]:
    """URL of a server of the samples. While it runs, no stack can start in the state directory.

    Raises:
        StartError: there are none, or they cannot be served.

    """
    data = state.of("prometheus") / "data"
    try:
        if not data.exists():
            raise StartError(f"{data}: no such directory; no Prometheus of a stack ran here")
    except PermissionError:
        raise StartError(f"{data}: it belongs to another user; run this as that user") from None
    with up_entry.own_state(state):
        port = _free_port()
        process = _start(state, data, port)
        try:
            _wait_ready(process, port)
            yield f"http://{HOST}:{port}"
        finally:
            _stop(process)


def _start(state: StateDirectory, data: Path, port: int) -> subprocess.Popen[bytes]:
    command = [
        service_plan.program("prometheus", "prometheus"),
        # It scrapes nothing, has no rules and forgets nothing: it only answers.
        f"--config.file={os.devnull}",
        f"--storage.tsdb.path={data}",
        f"--storage.tsdb.retention.time={_FOR_EVER}",
        f"--web.listen-address={HOST}:{port}",
        "--log.level=error",
    ]
    user = privilege.account() if os.geteuid() == 0 else None
    return subprocess.Popen(
        command,
        env=service_plan.environment(state),
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        user=None if user is None else user.pw_uid,
        group=None if user is None else user.pw_gid,
        extra_groups=None if user is None else [],
    )


def _wait_ready(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    # A proxy of the caller's is not to be asked for what is on this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while True:
        if process.poll() is not None:
            raise StartError(
                f"prometheus ended at once with code {process.returncode}; if one of an earlier "
                "run is left, end it with: virtscale down"
            )
        with contextlib.suppress(urllib.error.URLError, OSError):
            opener.open(f"http://{HOST}:{port}/-/ready", timeout=1.0).close()
            return
        if time.monotonic() > deadline:
            raise StartError(f"prometheus was not ready within {_READY_SECONDS:.0f} s")
        time.sleep(_POLL_SECONDS)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
