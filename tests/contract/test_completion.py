"""What bash offers on Tab, asked through the script that `--show-completion` prints."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from scaler.overrides import OverrideKind
from tests import readme
from tests.contract.announced_stack import AnnouncedStack, environment

ROOT = Path(__file__).resolve().parents[2]
README = readme.DOCUMENT.read_text(encoding="utf-8")
# A person types this; each line of what may follow is printed.
_ASK = """
eval "$SCRIPT"
complete -p virtscale >/dev/null || exit 9
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_virtscale_completion "$1"
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def stack():
    with AnnouncedStack() as announced:
        yield announced


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    """A `virtscale` on the PATH, and the script for bash."""
    directory = tmp_path_factory.mktemp("bin")
    program = directory / "virtscale"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m stack "$@"\n', encoding="ascii")
    program.chmod(0o755)
    path = os.pathsep.join([str(directory), os.environ["PATH"]])
    # The shell is the caller by its name, which a test's caller need not be.
    shown = subprocess.run(
        [sys.executable, "-m", "stack"],
        env=environment(directory, PATH=path, _VIRTSCALE_COMPLETE="source_bash"),
        capture_output=True,
        text=True,
        check=True,
    )
    return path, shown.stdout


def offered(shell, state, *words):
    path, script = shell
    done = subprocess.run(
        ["bash", "-c", _ASK, "bash", *words],
        env=environment(state, PATH=path, SCRIPT=script),
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert done.returncode == 0
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("st",), ["status"]),
        (("explain", "--dom"), ["--domain"]),
        (("override", "dr"), ["dry-run", "drain"]),
        (("override", "block", ""), ["out", "in"]),
        (("override", "drain", "vs-"), ["vs-1", "vs-2"]),
        (("explain", "--domain", ""), ["vs-1", "vs-2"]),
        (("submit", "x.csv", "--profile", "h"), ["hmac-sha256"]),
        (("up", "--load", "c"), ["collision"]),
        # Files are bash's own to offer.
        (("policy", "check", ""), []),
    ],
)
def test_options_and_values(shell, stack, words, expected):
    assert offered(shell, stack.state.root, "virtscale", *words) == expected


def test_ids_of_overrides(shell, stack):
    one = stack.overrides.add(OverrideKind.PAUSE, author="ann", reason="")
    assert offered(shell, stack.state.root, "virtscale", "override", "remove", "") == [one.id]


def test_no_stack_is_nothing_to_offer(shell, tmp_path):
    assert offered(shell, tmp_path, "virtscale", "override", "drain", "") == []


def test_a_scaler_that_hangs_is_not_waited_for(shell, stack, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        run = tmp_path / "run"
        run.mkdir()
        text = stack.state.endpoints.read_text(encoding="utf-8")
        port = silent.getsockname()[1]
        (run / "endpoints.json").write_text(
            text.replace(str(stack.server.port), str(port)), encoding="utf-8"
        )
        assert offered(shell, tmp_path, "virtscale", "override", "drain", "") == []


def test_what_the_readme_says_installs_the_script(shell, stack, tmp_path):
    """Typed in a bash of its own, whose start-up file then knows the command."""
    path, _ = shell
    (line,) = [one for one in readme.in_passing(README) if one.endswith("--install-completion")]
    home = {"HOME": str(tmp_path), "PATH": path}
    typed = ["bash", "-c", f"{line.removeprefix('./')}; exit $?"]
    done = subprocess.run(
        typed, env=environment(stack.state.root, **home), capture_output=True, text=True, timeout=20
    )
    assert done.returncode == 0, done.stderr
    assert "bash completion installed" in done.stdout
    script = next((tmp_path / ".bash_completions").iterdir()).read_text(encoding="utf-8")
    assert ".bash_completions" in (tmp_path / ".bashrc").read_text(encoding="utf-8")
    assert offered((path, script), stack.state.root, "virtscale", "expl") == ["explain"]


def test_the_checkouts_command_completes_and_sets_nothing_up(shell, tmp_path):
    """`./virtscale` has the compspec of its last part, and must not install anything for Tab."""
    state = tmp_path / "state"
    assert offered(shell, state, str(ROOT / "virtscale"), "st") == []
    assert not state.exists()
    (state / "venv" / "bin").mkdir(parents=True)
    program = shutil.which("virtscale", path=shell[0])
    assert program is not None
    (state / "venv" / "bin" / "virtscale").symlink_to(program)
    assert offered(shell, state, str(ROOT / "virtscale"), "st") == ["status"]
