"""What a person gets for bad input: the thing, the fix, an exit code that is not 0."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
UNPRIVILEGED = 65534


@pytest.fixture
def state() -> Iterator[Path]:
    """A short path that the user below may write: sockets are in it."""
    path = Path(tempfile.mkdtemp(prefix="vs-"))
    if os.geteuid() == 0:
        os.chown(path, UNPRIVILEGED, UNPRIVILEGED)
    yield path
    shutil.rmtree(path, ignore_errors=True)


def virtscale(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    """Runs the command as an ordinary user, from a checkout or an installation."""
    options = {"user": UNPRIVILEGED, "group": UNPRIVILEGED} if os.geteuid() == 0 else {}
    return subprocess.run(
        [sys.executable, "-m", "stack", *arguments],
        env={
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "LANG": "C.UTF-8",
            "PYTHONPATH": f"{ROOT}:{ROOT / 'proto'}",
            "COLUMNS": "400",
        },
        input=given,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        extra_groups=[] if options else None,
        **options,  # type: ignore[call-overload]
    )


def refused(*arguments: str, given: str = "") -> str:
    """The error text of a command that must fail, without a traceback."""
    result = virtscale(*arguments, given=given)
    assert result.returncode not in (0, None), result.stdout
    assert "Traceback" not in result.stderr
    return result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--flag-that-is-not"], ["--flag-that-is-not"]),
        (["--delta", "soon"], ["--delta", "valid number"]),
        (["--delta", "0"], ["delta = 0", "greater than 0"]),
        (["--load", "heavy"], ["load = 'heavy'", "collision"]),
        (["--load", "collision", "--difficulty", "99"], ["difficulty = 99", "1 to 40"]),
        (["--min", "3", "--max", "2"], ["min = 3", "max = 2"]),
        (["--profile", "md5"], ["profile = 'md5'", "argon2id"]),
        (["--config", "/nowhere.yaml"], ["/nowhere.yaml", "--config"]),
        (["--scaler-port", "0"], ["scaler_port = 0"]),
        (["--scaler-port", "20500", "--collector-port", "20500"], ["both 20500"]),
        (["--define"], ["define needs url"]),
        (["--summary", "/nowhere/out.json"], ["/nowhere/out.json", "choose another file"]),
    ],
)
def test_a_bad_option_is_named(state: Path, arguments: list[str], words: list[str]) -> None:
    result = virtscale("up", "--state", str(state), *arguments)
    assert result.returncode != 0
    text = result.stdout + result.stderr
    assert "Traceback" not in text
    for word in words:
        assert word in text


def test_every_fault_of_a_configuration_file_is_named_at_once(state: Path) -> None:
    config = state / "up.yaml"
    config.write_text("delta: -1\ntypo: 2\nmemory: lots\n", encoding="utf-8")
    text = refused("up", "--state", str(state), "--config", str(config))
    for word in ("delta = -1", "unknown key 'typo'", "memory = 'lots'", str(config)):
        assert word in text


def test_a_busy_port_is_named_with_service_and_option(state: Path) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        port = held.getsockname()[1]
        result = virtscale(
            "up", "--state", str(state), "--port-base", "20510", "--scaler-port", str(port)
        )
    assert result.returncode == 1
    assert f"port {port} for the scaler" in result.stdout
    assert "--scaler-port" in result.stdout


def test_a_state_directory_that_cannot_be_written_is_named() -> None:
    text = refused("up", "--state", "/proc/virtscale")
    assert "/proc/virtscale" in text
    assert "--state" in text


def test_a_path_too_long_for_sockets_is_refused_before_anything_is_made() -> None:
    text = refused("up", "--state", "/tmp/" + "x" * 120)
    assert "too long" in text
    assert "--state" in text


def test_a_libvirt_that_does_not_answer_is_named(state: Path) -> None:
    uri = "qemu+unix:///system?socket=/nowhere/libvirt-sock"
    result = virtscale("up", "--state", str(state), "--url", uri, "--port-base", "20520")
    assert result.returncode == 1
    assert "/nowhere/libvirt-sock" in result.stdout
    assert "--url" in result.stdout


def test_a_refused_start_leaves_no_process_and_keeps_an_old_summary(state: Path) -> None:
    summary = state / "out.json"
    summary.write_text("{}", encoding="utf-8")
    os.chmod(summary, 0o666)
    refused("up", "--state", "/proc/virtscale", "--summary", str(summary))
    assert summary.read_text(encoding="utf-8") == "{}"


@pytest.mark.parametrize(
    "arguments",
    [["status"], ["top"], ["watch"], ["explain"], ["verify", "KA-47-UT-9173", "d:s"]],
)
def test_without_a_running_stack_a_command_says_how_to_start_one(
    state: Path, arguments: list[str]
) -> None:
    text = refused(*arguments, "--state", str(state))
    assert f"no stack is running in {state}" in text
    assert "virtscale up" in text


def test_down_without_a_stack_is_no_error(state: Path) -> None:
    result = virtscale("down", "--state", str(state))
    assert result.returncode == 0
    assert "no stack is running" in result.stdout


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("127.0.0.1:1", ["127.0.0.1:1", "does not answer"]),
        ("nonsense", ["nonsense", "HOST:PORT"]),
        ("192.0.2.1:50051", ["192.0.2.1:50051", "--ca"]),
    ],
)
def test_a_dispatcher_that_cannot_be_used_is_named(
    state: Path, address: str, words: list[str]
) -> None:
    plates = state / "plates.txt"
    plates.write_text("KA-47-UT-9173\n", encoding="utf-8")
    text = refused("submit", str(plates), "--dispatcher", address)
    for word in words:
        assert word in text


def test_malformed_numbers_are_told_by_line_masked_and_nothing_is_sent(state: Path) -> None:
    plates = state / "plates.txt"
    plates.write_text("KA-47-UT-9173\nKA-47-UT-9173;DROP\n\n\x07\n", encoding="utf-8")
    text = refused("submit", str(plates), "--dispatcher", "127.0.0.1:1")
    assert f"{plates}:2:" in text
    assert f"{plates}:4:" in text
    assert "--skip-bad" in text
    assert "9173" not in text
    assert "does not answer" not in text


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("missing.txt", None, ["missing.txt", "No such file"]),
        ("empty.txt", "", ["empty.txt", "no numbers"]),
        ("cars.csv", "a,b\n1,2\n", ["--column", "'a', 'b'"]),
    ],
)
def test_a_file_that_cannot_be_used_is_named(
    state: Path, name: str, content: str | None, words: list[str]
) -> None:
    path = state / name
    if content is not None:
        path.write_text(content, encoding="utf-8")
    text = refused("submit", str(path), "--dispatcher", "127.0.0.1:1")
    for word in words:
        assert word in text


def test_an_unknown_profile_names_those_that_exist(state: Path) -> None:
    text = refused("submit", str(state / "x.txt"), "--profile", "md5")
    assert "'md5'" in text
    assert "argon2id" in text


def test_verify_without_a_number_says_how_to_give_one() -> None:
    text = refused("verify", "digest:salt", given="")
    assert "standard input" in text


def test_explain_refuses_a_time_that_is_none() -> None:
    text = refused("explain", "--at", "teatime")
    assert "teatime" in text
    assert "HH:MM:SS" in text
