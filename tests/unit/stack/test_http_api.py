"""Questions over HTTP and the scaler's API, against a server whose answers a test writes."""

import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from stack import http_api, scaler_api
from stack.http_api import HttpError

DECISION = {
    "type": "decision",
    "time": 100.0,
    "current": 1,
    "desired": 2,
    "reason": "cpu_above_target",
    "signals": {
        "cpu": {"value": 0.934, "kind": "known"},
        "backlog": {"value": None, "kind": "stale"},
        "old": {"value": 1, "kind": "partial"},
    },
    "actions": [{"action": "start", "domain": "vs-2"}],
    "limits": ["out_step"],
}


class Server:
    """Answers by path; notes what was posted."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, str]] = {}
        self.posted: list[tuple[str, Any]] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, text = outer.answers.get(self.path.partition("?")[0], (404, "no such page"))
                self.send_response(status)
                self.end_headers()
                self.wfile.write(text.encode())

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.posted.append((self.path, json.loads(body)))
                self.do_GET()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


async def test_an_answer_is_json(server):
    server.answers["/x"] = (200, '{"a": 1}')
    assert await http_api.get(f"http://{server.address}/x") == {"a": 1}


@pytest.mark.parametrize(
    ("answer", "words"),
    [((200, "<html>"), "not JSON"), ((503, "not ready: no tick"), "not ready: no tick")],
)
async def test_no_usable_answer_is_a_sentence(server, answer, words):
    server.answers["/x"] = answer
    with pytest.raises(HttpError, match=words):
        await http_api.get(f"http://{server.address}/x")


async def test_nobody_there_is_a_sentence():
    with pytest.raises(HttpError, match="refused"):
        await http_api.get("http://127.0.0.1:1/x")


async def test_a_proxy_for_the_internet_is_not_asked_about_loopback(server, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    server.answers["/x"] = (200, "1")
    assert await http_api.get(f"http://{server.address}/x") == 1


async def test_readiness(server):
    server.answers["/-/ready"] = (503, "no tick yet")
    assert await http_api.not_ready(f"http://{server.address}/-/ready") == "no tick yet"
    server.answers["/-/ready"] = (200, "ready")
    assert await http_api.not_ready(f"http://{server.address}/-/ready") is None


async def test_an_instant_vector(server):
    sample = {"metric": {"domain": "vs-1"}, "value": [0, "0.5"]}
    server.answers["/api/v1/query"] = (200, json.dumps({"data": {"result": [sample]}}))
    assert await http_api.instant(server.address, "up") == [({"domain": "vs-1"}, 0.5)]


async def test_decisions_come_newest_first_without_the_results_between(server):
    entries = [DECISION, {"type": "result"}, {**DECISION, "time": 101.0}]
    server.answers["/api/v1/decisions"] = (200, json.dumps({"decisions": entries}))
    found = await scaler_api.decisions(server.address, limit=5)
    assert [view.at for view in found] == [101.0, 100.0]
    assert found[0].text == (
        "cpu 0.93; backlog stale; old 1.00 (partial); so: start vs-2; held by: out_step"
    )


async def test_holding_and_letting_go(server):
    server.answers |= {"/api/v1/pause": (200, ""), "/api/v1/resume": (200, "")}
    await scaler_api.hold(server.address, is_held=True)
    await scaler_api.hold(server.address, is_held=False)
    assert server.posted == [
        ("/api/v1/pause", {"author": "console", "reason": "typed `pause`"}),
        ("/api/v1/resume", {}),
    ]
