"""docs/TUTORIAL.md, typed by a test from the first command to the last."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
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


@pytest.fixture
def untouched(stack_state: Path) -> Path:
    """The state directory without the domains of earlier tests, which have another owner."""
    shutil.rmtree(stack_state / "libvirt" / "config", ignore_errors=True)
    return stack_state


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
            ["bash", "-eu", "-c", text],
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

    def sees(self, pattern: str, command: str, *, within: float = 120.0) -> None:
        """Looks again and again, as the text says to."""

        def look() -> bool:
            assert self._run is None or self._run.poll() is None, "./run has ended"
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
        assert self._run.stdin is not None
        self._run.stdin.close()
        if self._run.poll() is None:
            self._run.send_signal(signal.SIGTERM)
            self._run.wait(timeout=90)
        print(self._screen.read_text())


Promise = Callable[[Reader], None]


def told(*patterns: str) -> Promise:
    """The block printed this."""

    def check(reader: Reader) -> None:
        for pattern in patterns:
            assert re.search(pattern, reader.told), pattern

    return check


def seen(pattern: str, command: str, *, within: float = 120.0) -> Promise:
    """The command shows it, by and by."""
    return lambda reader: reader.sees(pattern, command, within=within)


def looks_around(reader: Reader) -> None:
    """In the terminal, as JSON, and in a browser; `top` prints one line into a pipe, no table."""
    told("1 (idle|busy), 1 off", '"rows": ')(reader)
    (address,) = re.findall(r"http://[\d.:]+/", tutorial.DOCUMENT.read_text(encoding="utf-8"))
    with urllib.request.urlopen(address, timeout=20) as page:
        assert "<title>default - virtscale</title>" in page.read().decode()


def hides_the_numbers(reader: Reader) -> None:
    """Hashes come back, numbers do not."""
    assert reader.told.count("hmac-sha256,") == 3
    assert "9173" not in reader.told


def adds_up(reader: Reader) -> None:
    """As many are done as came in, or had before the dispatcher was scraped for the first time."""
    told(r"jobs? came in.* 0 failed, 0 lost")(reader)
    (came, before, done) = re.findall(
        r"(\d+) jobs? came in(?:, (\d+) had come before)?: (\d+) done", reader.told
    )[0]
    assert int(came) + int(before or 0) == int(done)


STATUS = "./virtscale status --json"
BUSY = r'"state": "(idle|busy)"'
# Heading, and the how-manieth block below it -> what the text says that is seen then.
PROMISES: dict[tuple[str, int], Promise] = {
    ("1. Start it", 0): told("1 to 2 domains"),
    ("1. Start it", 1): seen(BUSY, STATUS, within=90),
    ("2. Look at it", 0): told("vs-1"),
    ("2. Look at it", 1): looks_around,
    ("3. Hash numbers of your own", 0): hides_the_numbers,
    ("3. Hash numbers of your own", 1): told("yes: the hash belongs to the number"),
    ("4. Let the pool grow", 0): seen(f"(?s){BUSY}.*{BUSY}", STATUS),
    ("4. Let the pool grow", 1): told(r"start vs-2: more domains are wanted than run \(1 -> 2:"),
    ("5. Kill something", 0): told("(?m)^21 "),
    ("5. Kill something", 1): told("(?i)no job has failed"),
    ("6. Change a rule while it runs", 0): seen(
        r"desired 2: the pool's minimum \[min\]", "./virtscale explain"
    ),
    ("6. Change a rule while it runs", 1): told(r"desired 2: the pool's minimum \[min\]"),
    ("6. Change a rule while it runs", 2): seen(
        r"drain vs-\d: fewer domains", "./virtscale explain --last 30s"
    ),
    ("7. See it shrink", 0): told(r"drain vs-\d: fewer domains are wanted"),
    ("7. See it shrink", 1): told("pause"),
    ("8. End it, and read the report", 0): Reader.ends,
    ("8. End it, and read the report", 1): adds_up,
}


@pytest.mark.timeout(400)
def test_the_tutorial_leads_through(untouched, folder) -> None:
    began = time.monotonic()
    reader = Reader(folder, untouched)
    blocks: Counter[str] = Counter()
    try:
        for step in tutorial.steps(folder=folder, state=untouched):
            print(f"--- {time.monotonic() - began:.0f} s: {step.title}", flush=True)
            reader.type(step)
            promise = PROMISES.get((step.title, blocks[step.title]))
            if promise is not None:
                promise(reader)
            blocks[step.title] += 1
    finally:
        reader.leave()
    assert [key for key in PROMISES if key[1] >= blocks[key[0]]] == []
    assert reader.code == 0, "the tutorial did not come to its end"
    page = (folder / "run.html").read_text(encoding="utf-8")
    assert "start vs-2: " in page
    assert "drain vs-" in page
    assert machine.processes_of(untouched) == []
