"""The report of a real decision store and a real Prometheus that kept the samples of its time."""

import asyncio
import json
import shutil
import subprocess
import time

import pytest
import requests

from scaler.__main__ import main
from scaler.records import config_record
from tests.free_ports import free_ports
from tests.simulation.recording import lived, recorded_world

pytestmark = pytest.mark.skipif(
    shutil.which("promtool") is None or shutil.which("prometheus") is None,
    reason="not installed: prometheus",
)
START, END = 1_700_000_000, 1_700_000_270
OPENED, FOUND = START - 5, 7
"""The dispatcher began before the scaler and was first scraped with it; jobs that it found."""
HOLE = range(START + 200, START + 230)
"""Nothing was scraped."""


def openmetrics():
    """A dispatcher that takes two jobs a second, each of half a second; CPU; an alert."""
    waits = {"0.1": 1.0, "1": 1.5, "+Inf": 2.0}
    per_second = {
        "virtscale_dispatcher_jobs_accepted_total": {"": 2.0},
        "virtscale_dispatcher_jobs": {'state="done"': 2.0, 'state="ready"': 0.0},
        "virtscale_dispatcher_job_service_seconds_sum": {"": 1.0},
        "virtscale_dispatcher_job_service_seconds_count": {"": 2.0},
        "virtscale_dispatcher_job_wait_seconds_bucket": {
            f'le="{le}"': rate for le, rate in waits.items()
        },
        "virtscale_worker_jobs_completed_total": {f'worker="domain-{n}"': 1.0 for n in range(4)},
    }
    constant = {
        "pool:libvirt_domain_cpu_utilisation:avg5s": {'pool="default"': 0.5},
        "pool_domain:libvirt_domain_cpu_utilisation:avg5s": {
            'pool="default",domain="domain-0"': 0.25
        },
        "virtscale_dispatcher_store_opened_timestamp_seconds": {"": OPENED},
        "virtscale_dispatcher_jobs_found": {'state="done"': FOUND, 'state="ready"': 0},
    }
    lines = []
    for name, series in (*per_second.items(), *constant.items()):
        lines.append(f"# TYPE {name} gauge")
        for labels, value in series.items():
            found = FOUND if "done" in labels or name.endswith("accepted_total") else 0
            for at in range(START, END + 1):
                if at in HOLE:
                    continue
                shown = value if name in constant else found + value * (at - OPENED)
                lines.append(f"{name}{{{labels}}} {shown} {at}")
    lines.append("# TYPE ALERTS gauge")
    firing = 'alertname="QueueLong",alertstate="firing",severity="<b>page</b>"'
    lines += [f"ALERTS{{{firing}}} 1 {at}" for at in range(START + 100, START + 131)]
    return "\n".join([*lines, "# EOF", ""])


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    directory = tmp_path_factory.mktemp("run")

    async def live():
        world, store = recorded_world(path=directory / "decisions.db")
        store.append(config_record("0123456789ab", {"min": 1}, START, is_start=True))
        await lived(world)
        store.close()
        await world.end()

    asyncio.run(live())
    text = directory / "samples.txt"
    text.write_text(openmetrics())
    data = directory / "data"
    subprocess.run(
        ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(text), str(data)],
        check=True,
        capture_output=True,
    )
    port = free_ports()
    process = subprocess.Popen(
        [
            "prometheus",
            "--config.file=/dev/null",
            f"--storage.tsdb.path={data}",
            "--storage.tsdb.retention.time=100y",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=error",
        ],
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 30
    while True:
        try:
            if requests.get(f"{url}/-/ready", timeout=1).ok:
                break
        except requests.RequestException:
            assert time.monotonic() < deadline, "Prometheus does not start"
        time.sleep(0.05)
    yield directory, url
    process.terminate()
    process.wait(20)


RANGE = ("--from", START, "--to", END)


def report(recorded, *more, range=RANGE):
    directory, url = recorded
    common = ["report", "--state-dir", directory, "--prometheus-url", url]
    assert main([str(one) for one in (*common, *range, *more)]) == 0


def test_the_figures_are_those_of_both(recorded, capsys):
    report(recorded, "--json", "--price", 2)
    found = json.loads(capsys.readouterr().out)
    jobs = found["jobs"]
    assert (jobs["accepted"], jobs["done"], jobs["lost"]) == (540, 540, 0)
    assert jobs["seconds"] == pytest.approx(0.5)
    assert found["waits"]["p50"] == pytest.approx(0.1)
    assert found["waits"]["p95"] == 1.0, "above the last finite bound"
    # Two jobs of half a second: 1 / 0.8 slots; the recorded domains have one slot or more.
    assert found["elasticity"]["seconds"] == pytest.approx(270 - 20, abs=2)
    assert found["starts"] == 4
    assert found["wasted_boots"] == 0
    assert found["cost"] == pytest.approx(2 * found["machine_hours"])


def test_a_whole_run_has_the_jobs_that_came_before_the_first_scrape(recorded, capsys):
    report(recorded, "--json", range=("--to", END))
    found = json.loads(capsys.readouterr().out)
    assert found["since"] == OPENED
    jobs = found["jobs"]
    assert (jobs["accepted"], jobs["done"], jobs["lost"]) == (550, 550, 0)
    assert (jobs["open_before"], found["waits"]["jobs"]) == (0, 550)


def test_a_hole_is_told_and_an_alert_stands_with_its_times(recorded, tmp_path):
    page = tmp_path / "run.html"
    report(recorded, "--out", page)
    text = page.read_text()

    def clock(at):
        return time.strftime("%H:%M:%S", time.localtime(at))

    # A sample stands for ten seconds: so old may one be that the scaler decides by.
    assert f"no samples of the dispatcher from {clock(START + 210)} to {clock(START + 230)}" in text
    assert f'<td class="t">{clock(START + 100)}</td>' in text
    assert "QueueLong (&lt;b&gt;page&lt;/b&gt;)" in text
    for key in ("load", "queue", "cpu", "machines", "supply", "waiting", "histogram"):
        assert f'id="chart-{key}"' in text, key


def test_what_prometheus_refuses_is_told(recorded, capsys):
    report(recorded, "--json", "--pool", "other")
    told = json.loads(capsys.readouterr().out)
    assert told["pool"] == "other"
    assert any("CPU is not known" in one for one in told["unknown"])
