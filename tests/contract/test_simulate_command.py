"""`virtscale simulate` reaches the simulator with its arguments and its exit code."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def simulate(*arguments):
    command = [sys.executable, "-m", "stack", "simulate", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_runs_the_simulator():
    done = simulate("--shape", "sine", "--length", "300", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["policies"]["default"]["unfinished"] == 0


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (("--help",), 0, "--job-seconds"),
        (("--shape", "none"), 2, "no such shape"),
        ((), 2, "--trace"),
    ],
)
def test_help_and_errors_are_those_of_the_simulator(arguments, code, word):
    done = simulate(*arguments)
    assert done.returncode == code
    assert word in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
