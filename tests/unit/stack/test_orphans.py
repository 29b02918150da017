"""A detached grandchild that dies leaves the process table, whoever is PID 1."""

import subprocess
import sys

_SCRIPT = """
import os, subprocess, sys, time
from stack import orphans
orphans.adopt_and_reap()
# A child that starts a grandchild and leaves it behind, as libvirtd does with QEMU.
text = subprocess.run(
    [sys.executable, "-c", "import subprocess;"
     "print(subprocess.Popen(['sleep', '0.2'], stdout=subprocess.DEVNULL).pid)"],
    capture_output=True, text=True, check=True).stdout
pid = int(text)
assert f"PPid:\\t{os.getpid()}\\n" in open(f"/proc/{pid}/status").read()
deadline = time.monotonic() + 10
while os.path.exists(f"/proc/{pid}"):
    assert time.monotonic() < deadline, "the orphan was not reaped"
    time.sleep(0.05)
"""


def test_an_orphaned_grandchild_is_adopted_and_reaped() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stderr


def test_a_child_that_somebody_waits_for_keeps_its_exit_code() -> None:
    script = (
        "import subprocess, sys\n"
        "from stack import orphans\n"
        "orphans.adopt_and_reap()\n"
        "codes = [subprocess.run(['sh', '-c', 'exit 7']).returncode for _ in range(50)]\n"
        "assert set(codes) == {7}, codes\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stderr
