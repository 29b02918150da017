"""docs/TUTORIAL.md, typed by a test from the first command to the last."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import machine, tutorial

pytestmark = pytest.mark.e2e


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where the reader's files are; the stack's user must be able to read them."""
    path = Path(tempfile.mkdtemp(prefix="vs-tutorial-", dir="/var/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


class Reader:
    """Two terminals: one with `./run`, one for everything else."""

    def __init__(self, folder: Path, state: Path) -> None:
        self.folder = folder
        self._environment = {**os.environ, "VIRTSCALE_STATE": str(state)}
        self._screen = folder / "screen.txt"
        self._run: subprocess.Popen[str] | None = None
        self.code: int | None = None
        self.told = ""
        """What the last block printed."""

    def type(self, step: tutorial.Step) -> None:
        """What a person would do with the block."""
        if step.kind == "input":
            assert self._run is not None
            assert self._run.stdin is not None
            self._run.stdin.write(step.text)
            self._run.stdin.flush()
        elif step.text.startswith("./run "):
            self._start(step.text)
        else:
            self.told = self.shell(step.text)

    def _start(self, line: str) -> None:
        with self._screen.open("w") as screen:
            self._run = subprocess.Popen(
                line.replace("\\\n", " ").split(),
                cwd=machine.ROOT,
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=screen,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )

    def shell(self, text: str) -> str:
        """Everything printed by commands of which none may fail."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text],
            cwd=machine.ROOT,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )
        print(f"$ {text}{done.stdout}")
        assert done.returncode == 0, done.stdout
        return done.stdout

    def sees(self, pattern: str, command: str, *, within: float = 60.0) -> None:
        """Looks again and again, as the text says to."""

        def look() -> bool:
            done = subprocess.run(
                ["bash", "-c", command],
                cwd=machine.ROOT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=60,
            )
            return re.search(pattern, done.stdout) is not None

        machine.wait_for(f"{command} shows {pattern}", look, within=within, every=0.5)

    def ends(self) -> None:
        """Waits for `./run` after `terminate`."""
        assert self._run is not None
        self.code = self._run.wait(timeout=90)

    def leave(self) -> None:
        """Whatever happened, nothing goes on."""
        if self._run is None:
            return
        if self._run.poll() is None:
            self._run.send_signal(signal.SIGTERM)
            self._run.wait(timeout=90)
        print(self._screen.read_text())


_BUSY = r'"state": "(idle|busy)"'


def what_the_text_promises(reader: Reader, step: tutorial.Step, after: str) -> None:
    """What the reader is told to see after a block; `after` is the block's first words."""
    match step.title.partition(". ")[2], after:
        case "Start it", "./run":
            reader.sees(_BUSY, "./virtscale status --json", within=90)
        case "Start it", _:
            assert "1 to 2 domains" in reader.told
        case "Look at it", "./virtscale top":
            assert "<title>" in reader.told
            assert "vs-1" in reader.told
        case "Hash numbers of your own", "cat":
            assert reader.told.count("hmac-sha256,") == 3
            assert "9173" not in reader.told
        case "Let the pool grow", "0.4":
            reader.sees(f"(?s){_BUSY}.*{_BUSY}", "./virtscale status --json")
        case "Let the pool grow", _:
            assert "start vs-2: more domains are wanted than run (1 -> 2:" in reader.told
        case "Kill something", "seq":
            assert "21 " in reader.told
        case "Kill something", _:
            assert "no job has failed" in reader.told.lower()
        case "Change a rule while it runs", "20":
            reader.sees("min", "./virtscale explain")
        case "Change a rule while it runs", "sed" if "min: 1" in step.text.partition("/min")[2]:
            reader.sees("drain vs-", "./virtscale explain --last 1m")
        case "See it shrink", "./virtscale explain":
            assert re.search(r"drain vs-\d: fewer domains are wanted", reader.told)
        case "End it, and read the report", "terminate":
            reader.ends()


@pytest.mark.timeout(300)
def test_the_tutorial_leads_through(installation, stack_state, folder) -> None:
    began = time.monotonic()
    reader = Reader(folder, installation)
    try:
        for step in tutorial.steps(folder=folder, state=installation):
            print(f"--- {time.monotonic() - began:.0f} s: {step.title}", flush=True)
            reader.type(step)
            first = " ".join(step.text.split()[: 2 if step.text.startswith("./virt") else 1])
            what_the_text_promises(reader, step, first)
    finally:
        reader.leave()
    assert reader.code == 0, "the tutorial did not come to its end"
    page = (folder / "run.html").read_text(encoding="utf-8")
    assert "start vs-2: " in page
    assert "drain vs-" in page
    assert machine.processes_of(installation) == []
