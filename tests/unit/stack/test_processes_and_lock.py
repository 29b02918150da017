import os
import subprocess
from pathlib import Path

import pytest

from servicekit.lifecycle import StartError
from stack import endpoints, lock, processes
from stack.endpoints import Endpoints, NotRunningError
from stack.lock import StackLock
from stack.paths import StateDirectory, state_directory
from stack.processes import ProcessId


def test_a_pid_that_belongs_to_somebody_else_by_now_is_not_ours(tmp_path: Path) -> None:
    mine = ProcessId.of(os.getpid())
    assert mine is not None and mine.is_alive
    processes.write_pid_file(tmp_path / "a.pid", ProcessId(mine.pid, mine.start_ticks - 1))
    assert processes.read_pid_file(tmp_path / "a.pid") is None
    assert processes.end_recorded(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_a_recorded_process_is_ended_and_named(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        process = ProcessId.of(child.pid)
        assert process is not None
        processes.write_pid_file(tmp_path / "scaler.pid", process)
        assert processes.end_recorded(tmp_path) == ["scaler"]
        assert child.wait() != 0


@pytest.mark.parametrize("content", ["", "x y\n", "1\n"])
def test_a_damaged_pid_file_is_ignored(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.pid").write_text(content, encoding="ascii")
    assert processes.read_pid_file(tmp_path / "a.pid") is None


def test_cpu_time_grows_and_a_dead_process_used_none() -> None:
    mine = ProcessId.of(os.getpid())
    assert mine is not None
    assert mine.cpu_seconds() > 0
    assert ProcessId(mine.pid, 1).cpu_seconds() == 0.0


def test_a_second_up_is_told_the_first_ones_pid(tmp_path: Path) -> None:
    path = tmp_path / "run" / "up.lock"
    path.parent.mkdir()
    with StackLock(path):
        assert lock.holder(path) == os.getpid()
        with pytest.raises(StartError, match=rf"pid {os.getpid()}.*virtscale down"):
            StackLock(path).acquire()
    assert lock.holder(path) is None


def test_a_link_in_the_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "up.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match=r"up\.lock"):
        StackLock(tmp_path / "up.lock").acquire()
    assert not (tmp_path / "elsewhere").exists()


def test_endpoints_are_read_only_while_the_stack_runs(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path)
    state.create()
    told = Endpoints(1, "qemu:///x", "default", "a", "t", "b", "c", "d", "e", "f", "g", 5.0)
    endpoints.write(state, told)
    with pytest.raises(NotRunningError, match="no stack is running"):
        endpoints.read(state)
    with StackLock(state.lock):
        assert endpoints.read(state) == told
        endpoints.remove(state)
        with pytest.raises(NotRunningError, match="still starting"):
            endpoints.read(state)
        state.endpoints.write_text("{}", encoding="utf-8")
        with pytest.raises(NotRunningError, match="damaged"):
            endpoints.read(state)


@pytest.mark.parametrize(
    ("given", "environ", "is_root", "expected"),
    [
        (Path("/s"), {"VIRTSCALE_STATE": "/e"}, True, "/s"),
        (None, {"VIRTSCALE_STATE": "/e"}, True, "/e"),
        (None, {}, True, "/var/lib/virtscale"),
        (None, {}, False, "/u/.local/state/virtscale"),
        (None, {"XDG_STATE_HOME": "/x"}, False, "/x/virtscale"),
    ],
)
def test_where_the_state_directory_is(given, environ, is_root, expected) -> None:
    found = state_directory(given, environ=environ, is_root=is_root, home=Path("/u"))
    assert str(found.root) == expected


def test_a_path_too_long_for_sockets_is_a_fault() -> None:
    assert StateDirectory(Path("/var/lib/virtscale")).fault() is None
    assert "too long" in str(StateDirectory(Path("/tmp/" + "x" * 90)).fault())
