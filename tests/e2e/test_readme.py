"""What the README shows: `./run` without a person, and the commands of a second terminal."""

import csv
import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from stack.masking import mask
from tests.contract import secret_search
from tests.e2e import machine

pytestmark = pytest.mark.e2e

# Of one run: a wave is 100 s long, and a scale-in needs a while after the load has fallen.
SECONDS = 120
NUMBERS = ("KA-47-UT-9173", "MH12AB1234", "DL 2C AB 0007")


@pytest.mark.timeout(400)
def test_run_scales_out_and_in_by_itself_while_a_second_terminal_uses_it(
    installation, stack_state, tmp_path
) -> None:
    environment = {**os.environ, "VIRTSCALE_STATE": str(installation)}
    summary_file = tmp_path / "out.json"
    with (tmp_path / "screen.txt").open("w") as screen:
        run = subprocess.Popen(
            [
                *(machine.ROOT / "run", "--for", str(SECONDS)),
                *("--summary", str(summary_file), "--report", str(tmp_path / "run.html")),
            ],
            # All that anybody could have logged.
            env={**environment, "VIRTSCALE_UP_LOGLEVEL": "debug"},
            stdin=subprocess.DEVNULL,
            stdout=screen,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        terminal = SecondTerminal(environment)
        machine.wait_for("a worker says Hello", terminal.sees_a_worker, within=90)
        terminal.submit_and_verify(tmp_path)
        terminal.explain()
        terminal.watch()
        code = run.wait(timeout=SECONDS + 150)
    finally:
        if run.poll() is None:
            run.send_signal(signal.SIGTERM)
            run.wait(timeout=90)
        print((tmp_path / "screen.txt").read_text())
    assert code == 0
    summary = json.loads(summary_file.read_text())
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
    the_report_tells_the_run(tmp_path / "run.html")
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
    """The commands that the README shows beside a running stack."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [machine.ROOT / "virtscale", *arguments],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def sees_a_worker(self) -> bool:
        done = self._run("status", "--json")
        if done.returncode != 0:
            return False
        return any(row["state"] in ("idle", "busy") for row in json.loads(done.stdout)["rows"])

    def submit_and_verify(self, folder) -> None:
        plates, hashes = folder / "plates.csv", folder / "hashes.csv"
        plates.write_text("number\n" + "\n".join(NUMBERS) + "\n")
        done = self._run("submit", str(plates), "--out", str(hashes))
        assert done.returncode == 0, done.stderr
        with hashes.open() as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == len(NUMBERS)
        for number, row in zip(NUMBERS, rows, strict=True):
            assert number not in row.values()
            assert self._run("verify", number, row["hash"]).returncode == 0
            assert self._run("verify", "KA-01-AA-0001", row["hash"]).returncode == 1

    def explain(self) -> None:
        done = self._run("explain")
        assert done.returncode == 0, done.stderr
        assert "desired" in done.stdout

    def report(self, summary) -> None:
        """Of the stack that has ended: what it kept says what was seen from outside."""
        done = self._run("report", "--json", "--price", "2")
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        jobs = found["jobs"]
        assert jobs["lost"] == jobs["failed"] == 0
        # What came before the first scrape, a second's worth, is not known.
        everything = pytest.approx(summary["submitted"] + len(NUMBERS), abs=5)
        assert jobs["accepted"] == everything
        assert jobs["done"] + jobs["open_at_end"] == everything
        assert jobs["accepted"] + jobs["open_before"] == jobs["done"] + jobs["open_at_end"]
        assert found["waits"]["jobs"] == everything
        assert found["domains"][1] == summary["peak_domains"]
        # The first domain is started for `min`, and one that boots at the end says no Hello.
        assert found["starts"] == 1 + summary["scale_outs"]
        starts = summary["start_to_hello_seconds"]
        (hello,) = [one for one in found["durations"] if one["what"] == "Start, from call to Hello"]
        assert hello["longest"] == pytest.approx(max(starts), abs=0.5)
        assert found["cost"] == pytest.approx(2 * found["machine_hours"])
        assert found["elasticity"]["seconds"] > SECONDS / 2

    def watch(self) -> None:
        """Follows until the first line is there, then leaves as a person does, with Ctrl-C."""
        watch = subprocess.Popen(
            [machine.ROOT / "virtscale", "watch"],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert watch.stdout is not None
        with watch.stdout:
            line = watch.stdout.readline()
            assert line.strip()
            watch.send_signal(signal.SIGINT)
            watch.stdout.read()
        watch.wait(timeout=20)
