"""A real scaler takes up a changed policies file at SIGHUP, and refuses a faulty one."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import requests

from stack import endpoints, site_secrets
from stack.lock import StackLock
from stack.paths import StateDirectory
from tests.free_ports import free_ports


def wait_for(condition, what, seconds=30.0):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if condition():
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise AssertionError(f"not in time: {what}")


class Scaler:
    def __init__(self, folder, token_file):
        self.file = folder / "policies.yaml"
        self.file.write_text("max: 3\n")
        self.address = f"127.0.0.1:{free_ports()}"
        self.log = folder / "log"
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "scaler", "--url", "test:///default"),
                *("--state-dir", str(folder / "state"), "--policies-file", str(self.file)),
                *("--prometheus-url", "http://127.0.0.1:9", "--dispatcher", "127.0.0.1:9"),
                *("--listen-address", self.address, "--logfile", str(self.log)),
            ],
            env={**os.environ, "VIRTSCALE_SCALER_CONTROL_TOKEN_FILE": str(token_file)},
            stdin=subprocess.DEVNULL,
        )

    def get(self, path):
        answer = requests.get(f"http://{self.address}{path}", timeout=5)
        answer.raise_for_status()
        return answer.text

    def policies(self):
        return json.loads(self.get("/api/v1/policies"))

    def reload(self, text):
        self.file.write_text(text)
        self.process.send_signal(signal.SIGHUP)


@pytest.fixture
def scaler(tmp_path):
    pytest.importorskip("libvirt")
    state = StateDirectory(tmp_path / "stack")
    state.create()
    site_secrets.ensure(state, time.time())
    scaler = Scaler(tmp_path, site_secrets.of(state).token_file(site_secrets.CONTROL))
    try:
        wait_for(lambda: "desired" in scaler.get("/api/v1/status"), "the first turn")
        yield scaler
    finally:
        scaler.process.terminate()
        scaler.process.wait(20)


def test_sighup_takes_a_good_file_and_refuses_a_faulty_one(scaler):
    assert scaler.policies()["effective"]["max"] == 3

    scaler.reload("max: 7\npolicies: [{kind: backlog, name: jobs}]\n")
    wait_for(lambda: scaler.policies()["effective"]["max"] == 7, "the new file")
    wait_for(lambda: '"policy": "jobs"' in scaler.get("/api/v1/status"), "the new policy decides")

    scaler.reload("max: 0\npolicies: []\n")
    wait_for(lambda: len(scaler.policies()["faults"]) == 2, "both faults")
    assert scaler.policies()["effective"]["max"] == 7
    metrics = scaler.get("/metrics")
    assert 'virtscale_scaler_policies_refused{pool="default"} 1.0' in metrics
    assert 'virtscale_scaler_policy_reloads_total{outcome="refused",pool="default"} 1.0' in metrics
    assert scaler.log.read_text().count("policies.refused") == 2

    scaler.reload("")
    wait_for(lambda: scaler.policies()["effective"]["max"] == 4, "the configuration alone")
    assert 'virtscale_scaler_policies_refused{pool="default"} 0.0' in scaler.get("/metrics")
    assert scaler.process.poll() is None


@pytest.fixture
def state(scaler, tmp_path):
    """The state directory of a stack whose scaler this is."""
    state = StateDirectory(tmp_path / "stack")
    lock = StackLock(state.lock)
    lock.acquire()
    others = dict.fromkeys(("dispatcher", "dispatcher_metrics", "collector", "prometheus"), "")
    endpoints.write(
        state,
        endpoints.Endpoints(
            **others,
            pid=os.getpid(),
            uri="test:///default",
            pool="default",
            token_file="",
            scaler=scaler.address,
            alertmanager="",
            logs="",
            started_at=0.0,
        ),
    )
    yield state
    lock.release()


def virtscale(*words):
    return subprocess.run(
        [sys.executable, "-m", "stack", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_commands_of_a_person(scaler, state, tmp_path):
    shown = virtscale("policy", "show", "--state", state.root)
    assert shown.returncode == 0, shown.stderr
    file = tmp_path / "mine.yaml"
    file.write_text(shown.stdout.replace("max: 3", "max: 9"))
    checked = virtscale("policy", "check", file, "--state", state.root)
    assert checked.stdout == "policies OK: reference, backlog; 1 to 9 domains\n"

    scaler.file.write_text(file.read_text())
    reloaded = virtscale("policy", "reload", "--state", state.root)
    assert (reloaded.returncode, reloaded.stdout) == (0, "in effect: reference, backlog\n")
    assert scaler.policies()["effective"]["max"] == 9

    scaler.file.write_text("max: 0\nmin: -1\n")
    checked = virtscale("policy", "check", scaler.file, "--state", state.root)
    assert checked.returncode == 2
    assert len(checked.stderr.splitlines()) == 2
    reloaded = virtscale("policy", "reload", "--state", state.root)
    assert reloaded.returncode == 1
    assert "the policies before that stay in effect" in reloaded.stderr
    shown = virtscale("policy", "show", "--state", state.root, "--json")
    found = json.loads(shown.stdout)
    assert (found["effective"]["max"], len(found["faults"])) == (9, 2)

    file.write_text("policies: [{kind: seasonal}]\n")
    shown = virtscale("policy", "show", file, "--state", state.root)
    assert "least_seasons: 3" in shown.stdout


def test_without_a_stack_show_says_so(tmp_path):
    shown = virtscale("policy", "show", "--state", tmp_path)
    assert shown.returncode == 1
    assert "no stack is running" in shown.stderr
