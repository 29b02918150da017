"""The whole thing on real guests: load comes, machines start, parts die, nothing is lost."""

import json
import random
import signal
import time

import pytest
import requests
from google.protobuf import duration_pb2
from virtscale.v1 import job_pb2

from grafana import check
from grafana.filling import Window
from grafana.prometheus_api import Prometheus
from tests.e2e import machine, security
from tests.e2e.status_page_visit import visit

pytestmark = pytest.mark.e2e

PROFILES = (
    job_pb2.HASH_PROFILE_LEGACY_SHA256,
    job_pb2.HASH_PROFILE_HMAC_SHA256,
    job_pb2.HASH_PROFILE_ARGON2ID,
)


def jobs(count: int, seed: int, *, busy_seconds: float) -> list[job_pb2.JobSpec]:
    choose = random.Random(seed)
    load = job_pb2.Load(
        busy=job_pb2.Busy(
            duration=duration_pb2.Duration(
                nanos=int(busy_seconds * 1e9) % 1_000_000_000, seconds=int(busy_seconds)
            )
        )
    )
    return [
        job_pb2.JobSpec(
            number=f"KA-{choose.randrange(1, 100):02d}-UT-{choose.randrange(1, 10_000):04d}",
            profile=choose.choice(PROFILES),
            load=load,
            reference=f"{seed}-{index}",
        )
        for index in range(count)
    ]


@pytest.mark.timeout(600)
def test_scales_out_and_in_and_loses_nothing_while_parts_are_killed(
    stack_state, virtscale, tmp_path
) -> None:
    began = time.time()
    with machine.running_stack(
        stack_state,
        *("--no-load", "--min", "1", "--max", "2", "--summary", str(tmp_path / "out.json")),
        # tests/e2e/test_readme.py waits for as long as it takes by default.
        *machine.short_scale_in(stack_state),
        command=virtscale,
    ) as stack:
        client = machine.Client(stack)
        try:
            machine.wait_for(
                "the first worker says Hello", lambda: len(client.workers()) == 1, within=180
            )
            _one_is_wanted_in_prometheus(stack)
            (guest,) = map(stack.guest, stack.running())
            security.nobody_else_gets_in(stack, client)
            _scale_out(client)
            visit(stack, tmp_path)
            _kill_a_guest(stack, client)
            for service in machine.SERVICES:
                _kill_a_service(stack, client, service)
            # The killed guest is replaced only if its place is needed: make sure that two serve.
            client.submit(jobs(30, seed=5, busy_seconds=1.0))
            _two_work(client)
            machine.wait_for("every job is final", lambda: not client.unfinished(), within=180)
            client.check_every_result()
            machine.wait_for("one domain is left", lambda: len(stack.running()) == 1, within=120)
            client.check_every_result()
            _dashboards_show_the_run(stack, began)
        finally:
            client.close()
        assert stack.stop() == 0
        security.no_secret_was_told(stack, guest)
        assert stack.leftovers() == []
    summary = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert summary["domains_lost"] == 1
    assert summary["scale_outs"] >= 1
    assert summary["scale_ins"] >= 1


def _one_is_wanted_in_prometheus(stack: machine.Stack) -> None:
    """A rise that is older than the first sample is none in the dashboards."""
    address = f"http://127.0.0.1:{stack.ports['prometheus']}/api/v1/query"
    query = {"query": "virtscale_scaler_desired_domains"}

    def is_there() -> bool:
        found = requests.get(address, query, timeout=10).json()["data"]["result"]
        return [one["value"][1] for one in found] == ["1"]

    machine.wait_for("Prometheus knows that one domain is wanted", is_there, within=60)


def _scale_out(client: machine.Client) -> None:
    client.submit(jobs(30, seed=1, busy_seconds=1.0))
    _two_work(client)


def _two_work(client: machine.Client) -> None:
    machine.wait_for(
        "two workers hold leases",
        lambda: sum(worker.leases > 0 for worker in client.workers().values()) == 2,
        within=60,
    )


def _kill_a_guest(stack: machine.Stack, client: machine.Client) -> None:
    victim = stack.running()[0]
    before = client.workers()[victim].instance_id
    client.submit(jobs(10, seed=2, busy_seconds=1.0))
    stack.guest(victim).kill()
    machine.wait_for(
        "the killed worker's session is gone",
        lambda: (
            client.workers().get(victim) is None or client.workers()[victim].instance_id != before
        ),
        within=20,
    )


def _dashboards_show_the_run(stack: machine.Stack, began: float) -> None:
    """Every query of every dashboard brings what its panel says, from this Prometheus."""
    prometheus = Prometheus(f"http://127.0.0.1:{stack.ports['prometheus']}")
    found: list[check.Finding] = []

    def show_it() -> bool:
        # On a busy machine some scrapes come late: windows of rates are for every fourth.
        window = Window.fitting(began, time.time() - 1, 200, scrape_seconds=4)
        # Incidents may be missing: a killed guest is none when it was about to leave, and a scaler
        # that was killed may not have been asked for what it had counted.
        found[:] = [one for one in check.findings(prometheus, window) if one.excuse is None]
        return not found

    try:
        # The last domain left a moment ago: that is in Prometheus after the next scrape, and in an
        # answer after the next step.
        machine.wait_for("the dashboards show the run", show_it, within=30, every=1)
    except AssertionError as error:
        raise AssertionError(f"{error}: {found}") from error
    finally:
        prometheus.close()


def _kill_a_service(stack: machine.Stack, client: machine.Client, name: str) -> None:
    client.submit(jobs(6, seed=hash(name) % 1000, busy_seconds=0.5))
    victim = stack.service(name)
    victim.kill()
    machine.wait_for(f"{name} is back", lambda: stack.service(name).pid != victim.pid, within=30)
    client.submit(jobs(2, seed=3, busy_seconds=0.2))


@pytest.mark.timeout(300)
def test_after_kill_9_of_everything_the_next_up_keeps_the_jobs_and_a_second_is_refused(
    stack_state, virtscale
) -> None:
    with machine.running_stack(stack_state, "--no-load", command=virtscale) as stack:
        client = machine.Client(stack)
        machine.wait_for("a worker says Hello", client.workers, within=180)
        client.submit(jobs(12, seed=4, busy_seconds=1.0))
        stack.process.kill()
        stack.process.wait()
        account = client.numbers
        client.close()
    with machine.running_stack(stack_state, "--no-load", command=virtscale) as stack:
        client = machine.Client(stack, numbers=account)
        machine.wait_for("every job is final", lambda: not client.unfinished(), within=180)
        _another_up_is_refused(stack, virtscale)
        client.check_every_result()
        client.close()
        assert stack.stop(signal.SIGINT) == 0
        assert stack.leftovers() == []


def _another_up_is_refused(first: machine.Stack, virtscale: list[str]) -> None:
    code, text = machine.run_to_end(virtscale, "up", "--state", str(first.state), "--no-load")
    assert code != 0
    assert str(first.process.pid) in text, text
    assert first.process.poll() is None
