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
            [machine.ROOT / "run", "--for", str(SECONDS), "--summary", str(summary_file)],
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
    holds_no_number_and_no_key(stack_state)


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
