"""Who is told of which alert, and what is not told beside its cause; by a real Alertmanager."""

import re
import shutil
import subprocess
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import requests
import yaml

from tests.free_ports import free_ports

FOLDER = Path(__file__).resolve().parents[2] / "prometheus"
OURS, PEOPLE = "alertmanager.yml", "alertmanager-people.yml"
PROGRAMS = ("prometheus-alertmanager", "amtool")
MISSING = [one for one in PROGRAMS if shutil.which(one) is None]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")

ALERTS = {
    rule["alert"]: rule["labels"]
    for folder in ("rules", "collector")
    for path in (FOLDER / folder).glob("*.yml")
    for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
    if "alert" in rule
}
LATE = {"VirtscaleJobsLateFast", "VirtscaleJobsLateSlow", "VirtscaleJobsWaiting"}
WITHOUT_LIBVIRT = {"VirtscaleScalingStuck", "VirtscaleSignalUnknown", "VirtscaleTurnsFail"}
EXPLAINED = {
    "VirtscaleDispatcherDown": {
        *("VirtscaleBacklogWithoutWorkers", "VirtscaleFleetUnknown", "VirtscaleScalingStuck"),
        *("VirtscaleSignalUnknown", "VirtscaleSignalsAllUnknown", *LATE),
    },
    "VirtscaleScalerDown": {"VirtscaleBacklogWithoutWorkers", *LATE},
    "LibvirtCollectorDown": WITHOUT_LIBVIRT,
    "LibvirtDown": {
        *("LibvirtGroupFailing", "LibvirtScrapeSlow", "LibvirtDomainStatsIncomplete"),
        *WITHOUT_LIBVIRT,
    },
    "VirtscaleSignalsAllUnknown": {"VirtscaleSignalUnknown"},
    "VirtscaleBreakerOpen": {
        *("VirtscaleBootFailures", "VirtscaleScalingStuck", "VirtscaleStandbyMissing"),
    },
    "VirtscaleBacklogWithoutWorkers": LATE,
    "VirtscaleJobsLateFast": {"VirtscaleJobsLateSlow", "VirtscaleJobsWaiting"},
    "VirtscalePoolAtCeiling": {"VirtscaleJobsWaiting"},
    "VirtscaleStoreDamaged": {"VirtscaleStoreNotWritable"},
}


class Alertmanager:
    def __init__(self, config):
        self.root = Path(tempfile.mkdtemp(prefix="vs-routes-"))
        self.url = f"http://127.0.0.1:{free_ports()}"
        command = [
            "prometheus-alertmanager",
            f"--config.file={FOLDER / config}",
            f"--storage.path={self.root}",
            f"--web.listen-address={self.url.removeprefix('http://')}",
            "--cluster.listen-address=",
        ]
        with (self.root / "log").open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        self.until(lambda: requests.get(f"{self.url}/-/ready", timeout=1).ok)

    def tell(self, names, *, is_over=False, **labels):
        """All of one pool and one target."""
        now = datetime.now(UTC)
        alerts = [
            {
                "labels": {
                    **{"alertname": name, "pool": "default", "job": "j", "instance": "i"},
                    **ALERTS[name],
                    **labels,
                },
                "startsAt": (now - timedelta(seconds=9)).isoformat(),
                "endsAt": (now + timedelta(seconds=-1 if is_over else 300)).isoformat(),
            }
            for name in names
        ]
        answer = requests.post(f"{self.url}/api/v2/alerts", json=alerts, timeout=5)
        assert answer.ok, answer.text

    def firing(self):
        return requests.get(f"{self.url}/api/v2/alerts", timeout=5).json()

    def names(self, is_wanted=lambda alert: True):
        return {one["labels"]["alertname"] for one in self.firing() if is_wanted(one)}

    def inhibited(self):
        return self.names(lambda alert: alert["status"]["inhibitedBy"])

    def until(self, condition, seconds=20.0):
        end = time.monotonic() + seconds
        while True:
            try:
                if condition():
                    return
            except requests.RequestException:
                pass
            assert time.monotonic() < end, (self.root / "log").read_text()[-2000:]
            time.sleep(0.05)

    def close(self):
        self._process.terminate()
        self._process.wait(20)
        shutil.rmtree(self.root, ignore_errors=True)


@pytest.fixture(scope="module", params=[OURS, PEOPLE])
def alertmanager(request):
    made = Alertmanager(request.param)
    yield made
    made.close()


@pytest.mark.parametrize("name", [OURS, PEOPLE])
def test_amtool_accepts_the_file(name):
    checked = subprocess.run(
        ["amtool", "check-config", str(FOLDER / name)], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_both_files_route_and_inhibit_alike_and_one_tells_people():
    ours, people = (
        yaml.safe_load((FOLDER / name).read_text(encoding="utf-8")) for name in (OURS, PEOPLE)
    )
    for part in ("route", "inhibit_rules"):
        assert ours[part] == people[part]
    said = {one["name"]: set(one) - {"name"} for one in people["receivers"]}
    assert said["page"] >= {"email_configs", "pagerduty_configs"}
    assert said["ticket"] >= {"email_configs", "slack_configs", "webhook_configs"}
    assert said["scaler"] == {"webhook_configs"}
    # Who takes ours as it is tells nobody by mistake.
    assert [set(one) for one in ours["receivers"][:2]] == [{"name"}, {"name"}]


def test_every_alert_reaches_the_scaler_or_people_by_its_severity(alertmanager):
    alertmanager.tell(ALERTS)
    alertmanager.until(lambda: alertmanager.names() == set(ALERTS))
    told = {
        one["labels"]["alertname"]: [receiver["name"] for receiver in one["receivers"]]
        for one in alertmanager.firing()
    }
    receiver_of = {"critical": "page", "warning": "ticket"}
    assert told == {
        name: ["scaler" if "scaling" in labels else receiver_of[labels["severity"]]]
        for name, labels in ALERTS.items()
    }
    assert {"scaler", "page", "ticket"} == {one for (one,) in told.values()}
    alertmanager.tell(ALERTS, is_over=True)
    alertmanager.until(lambda: not alertmanager.names())


@pytest.mark.parametrize("cause", EXPLAINED)
def test_what_a_cause_explains_is_not_told_and_all_else_is(alertmanager, cause):
    told = (set(ALERTS) - set(EXPLAINED)) | {cause} | EXPLAINED[cause]
    alertmanager.tell(told)
    alertmanager.until(lambda: alertmanager.inhibited() == EXPLAINED[cause])
    assert alertmanager.names() == told
    alertmanager.tell(told, is_over=True)
    alertmanager.until(lambda: not alertmanager.names())


def test_the_trouble_of_one_pool_does_not_hide_another_s(alertmanager):
    alertmanager.tell(["VirtscaleBreakerOpen"])
    alertmanager.tell(["VirtscaleBootFailures"], pool="other")
    alertmanager.tell(["VirtscaleBootFailures"])
    alertmanager.until(lambda: len(alertmanager.inhibited()) == 1)
    (hidden,) = [one for one in alertmanager.firing() if one["status"]["inhibitedBy"]]
    assert hidden["labels"]["pool"] == "default"
    alertmanager.tell(["VirtscaleBreakerOpen", "VirtscaleBootFailures"], is_over=True)
    alertmanager.tell(["VirtscaleBootFailures"], is_over=True, pool="other")
    alertmanager.until(lambda: not alertmanager.names())


def test_every_alert_that_is_named_exists_and_none_that_scales_is_held_back():
    config = yaml.safe_load((FOLDER / OURS).read_text(encoding="utf-8"))
    scaling = [name for name, labels in ALERTS.items() if "scaling" in labels]
    assert scaling
    for rule in config["inhibit_rules"]:
        for side in ("source_matchers", "target_matchers"):
            (pattern,) = re.fullmatch(r'alertname=~?"(.+)"', rule[side][0]).groups()
            found = [name for name in ALERTS if re.fullmatch(pattern, name)]
            assert len(found) >= len(re.findall(r"\|", pattern)) + 1, rule
            if side == "target_matchers":
                assert not set(found) & set(scaling), rule
