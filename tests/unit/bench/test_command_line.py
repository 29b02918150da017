import re
import subprocess
import sys
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
        *("fidelity", "elasticity", "decide", "collector"),
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


ONLY_WHAT_THE_LOCK_NAMES = """
import importlib.metadata, re, sys
lock = open("locks/bench.lock", encoding="utf-8").read()
locked = {re.sub("[-_.]+", "-", name).lower() for name in re.findall(r"^([\\w.-]+)==", lock, re.M)}
for module, packages in importlib.metadata.packages_distributions().items():
    named = {re.sub("[-_.]+", "-", package).lower() for package in packages}
    if named.isdisjoint(locked | {"virtscale"}):
        sys.modules[module] = None
import bench.__main__
print(sys.modules["requests"])
"""


def test_the_environment_that_the_setup_makes_has_all_that_is_imported():
    done = subprocess.run(
        [sys.executable, "-c", ONLY_WHAT_THE_LOCK_NAMES],
        capture_output=True,
        text=True,
        cwd=DOCUMENT.parents[1],
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "None\n", "what the lock does not name was not hidden"
