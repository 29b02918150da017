"""The status page of a real scaler over HTTP: who may look, who may order, and what is in it."""

import json
import re
import shutil
import socket
import time

import pytest
import requests

from scaler.status_page.models import PageEvent, PageView
from tests.browser.scene import ALERTS_TOKEN, EVIL, TOKEN, Scene
from tests.free_ports import free_ports

pytestmark = pytest.mark.timeout(120)

NEW_TOKEN = "f" * 32
SHOWN = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    pytest.importorskip("libvirt")
    if shutil.which("prometheus") is None:
        pytest.skip("needs prometheus")
    folder = tmp_path_factory.mktemp("scene")
    scene = Scene(folder, ["vs-1", "vs-2", EVIL], ["vs-3"], page_hosts=["kvm1.example.org"])
    yield scene
    scene.close()


def own(scene, **headers):
    return {"Origin": scene.url, "Sec-Fetch-Site": "same-origin", **headers}


def order(scene, headers):
    return requests.post(
        f"{scene.url}/api/v1/overrides",
        json={"kind": "ceiling", "domains": 4},
        headers=headers,
        timeout=10,
    )


@pytest.fixture
def stream(scene):
    """Opens streams; they end with the test."""
    opened = []

    def begin(**headers):
        answer = requests.get(
            f"{scene.url}/api/v1/events", headers=headers, stream=True, timeout=30
        )
        opened.append(answer)
        return answer

    yield begin
    for one in opened:
        one.close()


def events(answer):
    """Id, kind and data of one event after the other."""
    told = {}
    for line in answer.iter_lines(chunk_size=1):
        if line:
            name, _, value = line.decode().partition(": ")
            told[name] = value
        elif "data" in told:
            yield told["id"], told["event"], json.loads(told["data"])
            told = {}


def test_the_page_is_whole_and_a_script_in_a_name_is_text(scene):
    scene.fire(note="<script>alert(2)</script>")
    scene.until(lambda: "Behind" in scene.get("/").text, "the alert is on the page")
    answer = scene.get("/")
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    assert "&lt;img src=x onerror=alert(1)&gt;" in answer.text
    assert "note=&lt;script&gt;alert(2)" in answer.text
    assert len(re.findall("<(?:script|img)", answer.text)) == 1
    for path in re.findall(r'(?:src|href)="(/page/[^"]+)"', answer.text):
        assert scene.get(path).ok


def test_the_landing_page_s_links_still_lead_somewhere(scene):
    for path in re.findall(r'<a href="(/[^"]*)"', scene.get("/").text):
        assert scene.get(path).status_code == 200, path


def test_cpu_queue_and_leases_come_from_their_sources(scene):
    def running():
        view = PageView.model_validate_json(scene.get("/api/v1/view").text, strict=True)
        return view, [one for one in view.domains if one.label in ("ready", "busy")]

    scene.until(lambda: all(one.cpu_ratio for one in running()[1]), "CPU")
    view, found = running()
    assert len(found) == 3
    for one in found:
        assert len([point for point in one.history if point is not None]) > 30
        assert 0 < one.cpu_ratio < 1
    assert [one.leases for one in found] == [0, 1, 2]
    figures = {one.name: one.value for one in view.queue}
    assert figures["Waiting"] == "3"
    assert figures["Wait, 95 %"].startswith("under")
    assert re.fullmatch(r"1\.\d/s", figures["Results"])


def test_the_stream_shows_a_change_at_once_and_can_be_resumed(scene, stream):
    first = events(stream())
    _, kind, data = next(first)
    assert kind == "state"
    PageEvent.model_validate(data, strict=True)
    scene.fleet.ready = 77
    began = time.monotonic()
    last = ""
    while True:
        last, kind, data = next(first)
        PageEvent.model_validate(data, strict=True)
        assert kind == "change"
        if ">77<" in data["sections"].get("queue", ""):
            break
    assert time.monotonic() - began < 20
    assert next(events(stream(**{"Last-Event-ID": last})))[1] == "change"
    assert next(events(stream(**{"Last-Event-ID": "of-another-scaler"})))[1] == "state"


def test_streams_are_bounded_and_a_slow_client_delays_nobody(scene, stream):
    silent = []
    for _ in range(16):
        one = socket.create_connection(("127.0.0.1", scene.port), timeout=10)
        # It asks and never reads.
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        one.sendall(f"GET /api/v1/events HTTP/1.0\r\nHost: {scene.address}\r\n\r\n".encode())
        silent.append(one)
    refused = []

    def is_full():
        answer = stream()
        refused.append(answer)
        return answer.status_code == 503

    scene.until(is_full, "all places are taken")
    assert "close one" in refused[-1].json()["error"]
    began = time.monotonic()
    assert scene.get("/").ok
    assert scene.get("/metrics").ok
    assert time.monotonic() - began < 10
    for one in silent:
        one.close()
    for one in refused:
        one.close()
    scene.until(lambda: stream().status_code == 200, "places are given back")


def test_an_order_of_the_page_needs_the_token(scene):
    answer = order(scene, own(scene))
    assert (answer.status_code, "Bearer TOKEN" in answer.json()["error"]) == (401, True)
    assert order(scene, own(scene, Authorization="Bearer wrong")).status_code == 401
    assert order(scene, own(scene, Authorization=f"Basic {TOKEN}")).status_code == 401
    assert scene.overrides() == []
    assert order(scene, own(scene, **SHOWN)).status_code == 201
    (given,) = scene.overrides()
    removed = requests.delete(
        f"{scene.url}/api/v1/overrides/{given['id']}", headers=own(scene, **SHOWN), timeout=10
    )
    assert removed.ok
    assert TOKEN not in scene.log.read_text() + scene.get("/").text + scene.get("/metrics").text


def test_a_token_that_was_replaced_has_expired(scene):
    scene.token_file.write_text(NEW_TOKEN + "\n")
    try:
        scene.until(
            lambda: order(scene, own(scene, **SHOWN)).status_code == 401, "the old has expired"
        )
        new = own(scene, Authorization=f"Bearer {NEW_TOKEN}")
        assert order(scene, new).status_code == 201
        # Also those that the old one has given while it still held.
        for one in scene.overrides():
            path = f"{scene.url}/api/v1/overrides/{one['id']}"
            assert requests.delete(path, headers=new, timeout=10).ok
    finally:
        scene.token_file.write_text(TOKEN + "\n")


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Origin": "http://evil.example", "Host": "evil.example"},
        {"Origin": "http://evil.example", "Host": "evil.example", "Sec-Fetch-Site": "same-origin"},
    ],
    ids=["another site", "a sandbox", "no origin", "a rebound name", "a rebound name, as one site"],
)
@pytest.mark.parametrize("path", ["overrides", "pause", "resume", "policies/reload"])
def test_an_order_of_another_page_is_refused_even_with_the_token(scene, path, headers):
    answer = requests.post(
        f"{scene.url}/api/v1/{path}",
        json={"kind": "pause"} if path == "overrides" else {},
        headers={**headers, **SHOWN},
        timeout=10,
    )
    assert answer.status_code == 403
    assert scene.overrides() == []


def test_a_rebound_name_sees_nothing_and_an_expected_one_does(scene):
    for path in ("/", "/api/v1/view", "/api/v1/events"):
        answer = scene.get(path, headers={"Host": f"evil.example:{scene.port}"})
        assert (answer.status_code, "page_hosts" in answer.text) == (403, True)
    assert scene.get("/", headers={"Host": "kvm1.example.org"}).ok
    assert scene.get("/metrics", headers={"Host": "scaler:9182"}).ok


@pytest.mark.parametrize("token", [ALERTS_TOKEN, "wrong"])
def test_ten_megabytes_of_alerts_are_refused_before_they_are_read(scene, token):
    body = b'{"version": "4", "alerts": [' + b" " * 10_000_000 + b"]}"
    answer = requests.post(
        f"{scene.url}/api/v1/alerts",
        data=body,
        headers={"Authorization": f"Bearer {token}"},
        timeout=30,
    )
    told = {413: "at most 1048576 bytes", 401: "Bearer TOKEN"}
    assert told[answer.status_code] in answer.json()["error"]
    assert scene.get("/-/healthy").ok


def test_without_prometheus_the_page_says_so_and_since_when(tmp_path):
    pytest.importorskip("libvirt")
    away = f"http://127.0.0.1:{free_ports()}"
    scene = Scene(tmp_path, ["vs-1"], prometheus_url=away)
    try:
        text = scene.get("/").text
        assert re.search(r"Prometheus does not answer since \d\d:\d\d:\d\d.*cannot connect", text)
        assert "CPU is not known: Prometheus: cannot connect." in text
        figures = {one["name"]: one for one in scene.get("/api/v1/view").json()["queue"]}
        assert figures["Wait, 95 %"]["value"] == "unknown"
        assert figures["Waiting"]["value"] == "3"
    finally:
        scene.close()


def test_the_scaler_ends_at_once_although_somebody_looks(tmp_path):
    pytest.importorskip("libvirt")
    scene = Scene(tmp_path, ["vs-1"])
    try:
        with requests.get(f"{scene.url}/api/v1/events", stream=True, timeout=30) as answer:
            next(events(answer))
            began = time.monotonic()
            scene.stop()
            assert time.monotonic() - began < 10
    finally:
        scene.close()
