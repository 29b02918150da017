import re
import subprocess
from pathlib import Path

import pytest

from bench.__main__ import command_line

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "BENCHMARKS.md"


def test_every_command_of_the_document_is_understood():
    text = DOCUMENT.read_text(encoding="utf-8")
    commands = re.findall(r"python -m bench (\w+[^\n`#]*)", text)
    assert len(commands) >= 3
    for command in commands:
        command_line().parse_args(command.split())


@pytest.mark.parametrize(
    "name",
    [
        *("dispatch", "latency", "worker", "scaleout", "scalein"),
        *("fidelity", "elasticity", "decide"),
    ],
)
def test_every_flag_of_the_document_exists(name):
    text = DOCUMENT.read_text(encoding="utf-8")
    section = text.partition(f"## `bench {name}`")[2].partition("\n## ")[0]
    assert section
    shown = set(re.findall(r"`(--[a-z-]+)", section)) - {"--prefetch"}
    known = command_line()._subparsers._group_actions[0].choices[name].format_help()
    assert not {flag for flag in shown if flag not in known}


def test_the_setup_says_what_it_does_and_installs_nothing():
    root = DOCUMENT.parents[1]
    done = subprocess.run([root / "bench" / "setup", "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    assert ".venv-bench/bin/python -m bench dispatch" in done.stdout
