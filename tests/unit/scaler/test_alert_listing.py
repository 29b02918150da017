import http.server
import json
import threading

import pytest

from scaler import alert_listing
from scaler.alert_listing import Resynchronisation
from servicekit.clock import SystemClock
from servicekit.lifecycle import Stop

LISTED = [{"labels": {"alertname": "Busy"}, "startsAt": "2026-01-01T00:00:00Z", "fingerprint": "f"}]


class Desk:
    def __init__(self):
        self.seen = []

    def see(self, listed, asked_at):
        self.seen.append([one.fingerprint for one in listed])
        return len(listed)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status, self.body = 200, json.dumps(LISTED).encode()
        self.paths = []
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.paths.append(self.path)
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    made = Server()
    yield made
    made.shutdown()
    made.server_close()


class Scene:
    def __init__(self, *servers):
        self.desk = Desk()
        self.changes = 0
        self.changed = lambda: None
        self.counted = []
        self.asking = Resynchronisation(
            servers,
            self.desk,
            SystemClock(),
            seconds=3600.0,
            timeout_seconds=5.0,
            changed=self._change,
            count=lambda *counted: self.counted.append(counted),
        )

    def _change(self):
        self.changes += 1
        self.changed()


@pytest.fixture
def scene_of():
    scenes = []

    def make(*servers):
        scenes.append(Scene(*servers))
        return scenes[-1]

    yield make
    for scene in scenes:
        scene.asking.close()


async def test_tells_the_desk_what_alertmanager_lists(server, scene_of):
    scene = scene_of(alert_listing.alertmanager(server.url + "/"))
    await scene.asking.once()
    assert (scene.desk.seen, scene.changes) == ([["f"]], 1)
    assert scene.counted == [("alertmanager", True)]
    (path,) = server.paths
    assert path.startswith("/api/v2/alerts?")
    assert "silenced=false" in path


async def test_tells_the_desk_what_prometheus_lists(server, scene_of):
    alert = {"labels": {"alertname": "Busy"}, "state": "firing", "activeAt": "2026-01-01T00:00:00Z"}
    server.body = json.dumps({"status": "success", "data": {"alerts": [alert]}}).encode()
    scene = scene_of(alert_listing.prometheus(server.url))
    await scene.asking.once()
    assert len(scene.desk.seen[0]) == 1
    assert server.paths == ["/api/v1/alerts"]


async def test_an_empty_listing_is_an_answer_that_changes_nothing(server, scene_of):
    server.body = b"[]"
    scene = scene_of(alert_listing.alertmanager(server.url))
    await scene.asking.once()
    assert (scene.desk.seen, scene.changes) == ([[]], 0)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b"[]"),
        (302, b""),
        (200, b""),
        (200, b"{"),
        (200, b"[1]"),
        (200, b"[" * 100_000),
        (200, b" " * (8 * 1_048_576 + 1)),
    ],
)
async def test_what_is_no_answer_tells_the_desk_nothing(server, scene_of, status, body):
    server.status, server.body = status, body
    scene = scene_of(alert_listing.alertmanager(server.url))
    await scene.asking.once()
    assert (scene.desk.seen, scene.changes) == ([], 0)
    assert scene.counted == [("alertmanager", False)]


async def test_one_that_does_not_answer_does_not_hide_the_other(server, scene_of):
    away = alert_listing.prometheus("http://127.0.0.1:1")
    scene = scene_of(away, alert_listing.alertmanager(server.url))
    await scene.asking.once()
    assert scene.desk.seen == [["f"]]
    assert scene.counted == [("prometheus", False), ("alertmanager", True)]


async def test_asks_at_once_and_ends_when_it_is_told_to(server, scene_of):
    stop = Stop()
    scene = scene_of(alert_listing.alertmanager(server.url))
    scene.changed = lambda: stop.request("test")
    await scene.asking.run(stop)
    assert scene.desk.seen == [["f"]]
