"""A real Alertmanager and a real scaler: an alert raises the desired capacity while it fires."""

import shutil
import time

import pytest
import requests

from scaler.alert_messages import fingerprint_of, read_alertmanager
from tests.contract.alertmanager_process import Scene

pytestmark = [
    pytest.mark.skipif(
        shutil.which("prometheus-alertmanager") is None,
        reason="not installed: prometheus-alertmanager",
    ),
    pytest.mark.skipif(shutil.which("prometheus") is None, reason="not installed: prometheus"),
]


@pytest.fixture
def scene_of():
    scenes = []

    def make(**options):
        scenes.append(Scene(**options))
        return scenes[-1]

    yield make
    for scene in scenes:
        scene.close()


def test_an_alert_raises_the_pool_and_its_end_lets_it_fall_back(scene_of):
    scene = scene_of()
    scene.until(lambda: scene.desired() == 1)
    scene.tell()
    scene.until(lambda: scene.desired() == 3)
    scene.until(lambda: scene.status()["current"] == 3)
    (effect,) = scene.status()["decision"]["alerts"]
    assert effect == {"rule": "more", "reason": "alert_raise", "least": 3, "alerts": ["Busy"]}
    assert scene.metric('virtscale_scaler_alert_demand_domains{pool="web",rule="more"} 3.0')
    # The base outlives the process, or the raise would be added to itself.
    scene.kill_scaler()
    scene.start_scaler()
    scene.until(lambda: scene.status()["decision"]["alerts"] == [effect])
    assert scene.desired() == 3
    scene.tell(ends_at=time.time() - 1)
    scene.until(lambda: scene.desired() == 1)
    reasons = {record["reason"] for record in scene.records() if record["type"] == "decision"}
    assert "alert_raise" in reasons


def test_notifications_that_are_all_lost_do_no_harm(scene_of):
    """Alertmanager shows a wrong token: the scaler hears of alerts by asking alone."""
    scene = scene_of(
        shown_token="wrong",
        resync_seconds=1,
        ttl_seconds=4,
    )
    scene.until(lambda: scene.desired() == 1)
    scene.tell()
    scene.until(
        lambda: scene.metric(
            'virtscale_scaler_alert_notifications_total{pool="web",result="refused"} 1.0'
        )
    )
    assert scene.desired() == 1
    scene.kill_scaler()
    scene.ask_alertmanager()
    scene.start_scaler()
    scene.until(lambda: scene.desired() == 3)
    scene.tell(ends_at=time.time() - 1)
    scene.until(lambda: scene.desired() == 1)


def test_prometheus_alone_can_be_asked(scene_of):
    scene = scene_of(rule="Busy", ask_prometheus=True, resync_seconds=1, ttl_seconds=4)
    scene.until(lambda: scene.desired() == 3)
    scene.set_rules()
    scene.until(lambda: scene.desired() == 1)


def test_our_fingerprint_is_alertmanager_s(scene_of):
    scene = scene_of()
    scene.tell(name="Ünïcode")
    listed = requests.get(f"{scene.alertmanager}/api/v2/alerts", timeout=5).json()
    (notice,) = read_alertmanager(listed)
    assert notice.fingerprint == fingerprint_of(notice.labels)


def test_a_client_without_tls_is_turned_away_and_the_next_is_served(scene_of):
    scene = scene_of()
    with pytest.raises(requests.RequestException):
        requests.get(scene.scaler.replace("https", "http"), timeout=5)
    assert scene.status() is not None
    assert "Traceback" not in (scene.root / "scaler.log").read_text()
