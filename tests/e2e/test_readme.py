"""What the README shows: `./run` without a person, and the commands of a second terminal.

They are read there and typed as they stand, in a folder with the files that they name.
"""

import csv
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack.masking import mask
from tests import readme
from tests.contract import secret_search
from tests.e2e import machine

pytestmark = pytest.mark.e2e

# The first stays until a person ends it, and is in all else the same.
FOR_EVER, RUN = readme.commands_under("Try it")
OWN_NUMBERS = "Use it on your own numbers"
# Of one run: a wave is 100 s long, and a scale-in needs a while after the load has fallen.
SECONDS = int(shlex.split(RUN)[shlex.split(RUN).index("--for") + 1])
LEAN = "policies: [{kind: backlog, target_ratio: 0.95}]\n"
NUMBERS = ("KA-47-UT-9173", "MH12AB1234", "DL 2C AB 0007")


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where the reader's files are; the stack's user must be able to read and write there."""
    path = Path(tempfile.mkdtemp(prefix="vs-readme-", dir="/var/tmp"))
    path.chmod(0o777)
    yield path
    shutil.rmtree(path)


def typed(line: str) -> list[str]:
    """The words of a line, whose programs are those of this checkout."""
    program, *words = shlex.split(line)
    return [str(machine.ROOT / program), *words]


@pytest.mark.timeout(400)
def test_run_scales_out_and_in_by_itself_while_a_second_terminal_uses_it(
    installation, stack_state, folder
) -> None:
    environment = {**os.environ, "VIRTSCALE_STATE": str(installation)}
    (report,) = [
        line for line in readme.in_passing(readme.DOCUMENT.read_text()) if "--report" in line
    ]
    assert RUN.startswith(f"{FOR_EVER} ")
    with (folder / "screen.txt").open("w") as screen:
        run = subprocess.Popen(
            [*typed(RUN), *typed(report)[1:]],
            cwd=folder,
            # All that anybody could have logged.
            env={**environment, "VIRTSCALE_UP_LOGLEVEL": "debug"},
            stdin=subprocess.DEVNULL,
            stdout=screen,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        terminal = SecondTerminal(environment, folder)
        machine.wait_for("a worker says Hello", lambda: terminal.working() > 0, within=90)
        terminal.types_all()
        code = run.wait(timeout=SECONDS + 150)
    finally:
        if run.poll() is None:
            run.send_signal(signal.SIGTERM)
            run.wait(timeout=90)
        print((folder / "screen.txt").read_text())
    assert code == 0
    summary = json.loads((folder / "out.json").read_text())
    print(summary)
    assert summary["completed"] == summary["submitted"] > 0
    assert (summary["failed"], summary["lost"], summary["duplicated"]) == (0, 0, 0)
    assert summary["domains_left_running"] == 0
    assert summary["peak_domains"] == 2
    assert summary["scale_outs"] >= 1
    assert summary["scale_ins"] >= 1
    assert summary["first_scale_out_seconds"] > 0
    assert machine.processes_of(installation) == []
    assert not any(map(machine.is_listening, (15051, 15052, 9090, 9093, 9177, 9181, 9182)))
    the_report_tells_the_run(folder / "run.html")
    terminal.report(summary)
    assert machine.processes_of(installation) == []
    holds_no_number_and_no_key(stack_state)


def the_report_tells_the_run(page: Path) -> None:
    """Written while the domains shut down; it stays with the test's output."""
    text = page.read_text(encoding="utf-8")
    for key in ("load", "queue", "cpu", "machines", "supply", "waiting", "histogram"):
        assert f'id="chart-{key}"' in text, key
    for told in ("start vs-2: ", "drain vs-", "boot finished", "from call to Hello"):
        assert told in text, told
    assert "<script" not in text


def holds_no_number_and_no_key(state: Path) -> None:
    """Database, logs of the services and the guests' consoles, Prometheus' data, everything."""
    pepper = (state / "secrets" / "pepper").read_text().strip().partition(":")[2]
    secrets = {
        **secret_search.spellings("pepper", bytes.fromhex(pepper)),
        **secret_search.spellings("join key", (state / "secrets" / "join.key").read_bytes()),
    }
    for number in NUMBERS:
        for form in {number, number.replace("-", "").replace(" ", "")}:
            secrets |= secret_search.spellings(mask(form), form.encode())
    # Programs and the image, which is older than the numbers; and the keys themselves.
    skipped = ("venv", "image", "secrets")
    assert secret_search.leaks(state, secrets, skip=skipped) == {}
    seen = {str(path.relative_to(state)) for path in state.rglob("*") if path.is_file()}
    for part in ("dispatcher/dispatcher.db", "logs/dispatcher.log", "logs/guests/", "prometheus/"):
        assert any(name.startswith(part) for name in seen), seen


class SecondTerminal:
    """Types what the README shows beside a running stack."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self._environment = environment
        self._folder = folder
        self._hashed: dict[str, str] = {}
        (folder / "plates.csv").write_text("number\n" + "\n".join(NUMBERS) + "\n")
        (folder / "lean.yaml").write_text(LEAN)

    def types_all(self) -> None:
        """Every line of the section, in its order. A new one needs a row in the table."""
        types = {
            "submit": self._submit,
            "verify": self._verify,
            "watch": self._follow,
            "export": lambda line: self.types(line),
            "status": lambda line: self.types(line, "vs-1"),
            "top": self._follow,
            "explain": self._explain,
            "policy": lambda line: self.types(line, "kind: backlog"),
            "override": self._override,
            "replay": lambda line: self.types(line, "turns"),
            "report": lambda line: self.types(line),
        }
        for line in readme.commands_under(OWN_NUMBERS):
            types[line.split()[1]](line)
        exported = (self._folder / "all.csv").read_text().splitlines()
        assert len(exported) > len(NUMBERS)
        (page,) = self._folder.glob("report-*.html")
        assert "<h1>How the pool default did</h1>" in page.read_text(encoding="utf-8")

    def types(self, line: str, pattern: str = "", *, code: int = 0) -> str:
        """What the command printed on standard output."""
        done = subprocess.run(
            typed(line),
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
        print(f"$ {line}\n{done.stdout}{done.stderr}", flush=True)
        assert done.returncode == code, line
        assert re.search(pattern, done.stdout), line
        return done.stdout

    def working(self) -> int:
        """How many domains work, or could."""
        done = subprocess.run(
            typed("./virtscale status --json"),
            env=self._environment,
            capture_output=True,
            text=True,
        )
        rows = json.loads(done.stdout)["rows"] if done.returncode == 0 else []
        return sum(row["state"] in ("idle", "busy") for row in rows)

    def _submit(self, line: str) -> None:
        self.types(line)
        with (self._folder / "hashes.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == len(NUMBERS)
        for number, row in zip(NUMBERS, rows, strict=True):
            assert number not in row.values()
            self._hashed[number] = row["hash"]

    def _verify(self, line: str) -> None:
        """The README's number, then the others, then one that it is not."""
        shown = line.split()[2]
        (placeholder,) = re.findall(r"'\S+…'", line)
        for number, stored in self._hashed.items():
            own = line.replace(placeholder, shlex.quote(stored))
            self.types(own.replace(shown, shlex.quote(number)))
        wrong = line.replace(placeholder, shlex.quote(self._hashed[shown]))
        self.types(wrong.replace(shown, "KA-01-AA-0001"), code=1)

    def _explain(self, line: str) -> None:
        """Of now: at the README's own time of day there was no run."""
        moment = time.strftime("%H:%M:%S", time.localtime(time.time() - 1))
        self.types(re.sub(r"\d\d:\d\d$", moment, line), "desired")

    def _override(self, line: str) -> None:
        """While the run has as many as it says, so that it is the same run without it."""
        machine.wait_for("two domains work", lambda: self.working() >= 2, within=90)
        self.types(line, "floor 2")
        (order,) = json.loads(self.types("./virtscale override list --json"))["overrides"]
        self.types(f"./virtscale override remove {order['id']}")

    def report(self, summary) -> None:
        """Of the stack that has ended: what it kept says what was seen from outside."""
        # By itself it ends with the scaler's last turn, before the last jobs may be scraped.
        until = int(time.time())
        found = json.loads(self.types(f"./virtscale report --json --price 2 --to {until}"))
        jobs = found["jobs"]
        assert jobs["lost"] == jobs["failed"] == 0
        everything = summary["submitted"] + len(NUMBERS)
        assert jobs["accepted"] == jobs["done"] == everything
        assert jobs["open_before"] == jobs["open_at_end"] == 0
        assert found["waits"]["jobs"] == everything
        assert found["domains"][1] == summary["peak_domains"]
        # The first domain is started for `min`, and one that boots at the end says no Hello.
        assert found["starts"] == 1 + summary["scale_outs"]
        starts = summary["start_to_hello_seconds"]
        (hello,) = [one for one in found["durations"] if one["what"] == "Start, from call to Hello"]
        assert hello["longest"] == pytest.approx(max(starts), abs=0.5)
        assert found["cost"] == pytest.approx(2 * found["machine_hours"])
        assert found["elasticity"]["seconds"] > SECONDS / 2

    def _follow(self, line: str) -> None:
        """Until the first line is there, then it is left as a person does, with Ctrl-C."""
        process = subprocess.Popen(
            typed(line),
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.stdout is not None
        with process.stdout:
            assert process.stdout.readline().strip(), line
            process.send_signal(signal.SIGINT)
            process.stdout.read()
        process.wait(timeout=20)
