import io
import json

import pytest

from scaler.api import Api
from scaler.decision import Hold
from scaler.decision_store import DecisionStore
from scaler.override_file import OverrideFile
from servicekit.tls import TokenFile


class Client:
    def __init__(self):
        self.status_record = {"pool": "default", "desired": 2}
        self.log = DecisionStore(None)
        self.holds = OverrideFile(None)
        self.wakes = 0
        self.api = Api(lambda: self.status_record, self.log, self.holds, self._wake)

    def _wake(self):
        self.wakes += 1

    def call(self, method, path, body=b"", **environ):
        path, _, query = path.partition("?")
        answer = {}

        def start_response(status, headers):
            answer["status"] = int(status.split()[0])

        environ = {
            "REQUEST_METHOD": method,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REMOTE_ADDR": "127.0.0.1",
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": io.BytesIO(body),
            **environ,
        }
        text = b"".join(self.api(environ, start_response))
        return answer["status"], json.loads(text)


@pytest.fixture
def client():
    return Client()


def test_pausing_and_resuming_show_in_the_status(client):
    assert client.call("GET", "/api/v1/status")[1]["paused"] is False
    body = json.dumps({"author": "ann", "reason": "upgrade"}).encode()
    assert client.call("POST", "/api/v1/pause", body) == (200, {"paused": True})
    assert client.holds.get() == Hold("ann", "upgrade")
    status = client.call("GET", "/api/v1/status")[1]
    assert (status["paused"], status["desired"]) == (True, 2)
    assert status["hold"] == {"author": "ann", "reason": "upgrade"}
    assert client.call("POST", "/api/v1/resume") == (200, {"paused": False})
    assert client.holds.get() is None
    assert client.wakes == 2


def test_there_is_no_status_before_the_first_turn(client):
    client.status_record = None
    assert client.call("GET", "/api/v1/status")[0] == 503


def test_lists_decisions_from_a_moment_on_and_page_by_page(client):
    for number in range(5):
        client.log.append({"type": "result", "time": float(number), "outcome": "done"})
    page = client.call("GET", "/api/v1/decisions?limit=2")[1]
    assert [one["time"] for one in page["decisions"]] == [3.0, 4.0]
    page = client.call("GET", f"/api/v1/decisions?limit=2&before={page['next']}")[1]
    assert [one["time"] for one in page["decisions"]] == [1.0, 2.0]
    page = client.call("GET", f"/api/v1/decisions?limit=2&before={page['next']}")[1]
    assert ([one["time"] for one in page["decisions"]], page["next"]) == ([0.0], None)
    found = client.call("GET", "/api/v1/decisions?since=3.5")[1]["decisions"]
    assert [one["time"] for one in found] == [4.0]
    found = client.call("GET", "/api/v1/decisions?until=0.5")[1]["decisions"]
    assert [one["time"] for one in found] == [0.0]
    assert client.call("GET", "/api/v1/decisions?type=decision")[1]["decisions"] == []
    assert client.call("GET", "/api/v1/decisions?reason=demand,max")[1]["decisions"] == []


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "text"),
    [
        ("GET", "/api/v1/decisions?limit=many", b"", 400, "limit = 'many'"),
        ("GET", "/api/v1/decisions?since=nan", b"", 400, "since = 'nan'"),
        ("GET", "/api/v1/decisions?limit=-1", b"", 400, "limit = '-1'"),
        ("GET", "/api/v1/decisions?until=soon", b"", 400, "until = 'soon'"),
        ("GET", "/api/v1/decisions?reason=bad", b"", 400, "must be one of steady"),
        ("GET", "/api/v1/decisions?type=all", b"", 400, "decision, result, config"),
        ("GET", "/api/v1/explain?at=teatime", b"", 400, "at = 'teatime'"),
        ("GET", "/api/v1/explain?last=teatime", b"", 400, "last = 'teatime'"),
        ("GET", "/api/v1/explain?at=10", b"", 404, "nothing is recorded"),
        ("POST", "/api/v1/pause", b"{", 400, "not JSON"),
        ("POST", "/api/v1/pause", b"[]", 400, "JSON object"),
        ("POST", "/api/v1/pause", b'{"author": 1}', 400, "author"),
        ("POST", "/api/v1/pause", b" " * 10_001, 413, "10000 bytes"),
        ("GET", "/api/v1/pause", b"", 405, "POST /api/v1/pause"),
        ("GET", "/api/v1/nothing", b"", 404, "GET /api/v1/status"),
    ],
)
def test_refusals_say_what_is_wrong(client, method, path, body, status, text):
    code, answer = client.call(method, path, body)
    assert code == status
    assert text in answer["error"]
    assert client.holds.get() is None


def test_a_web_page_cannot_pause(client):
    code, _ = client.call("POST", "/api/v1/pause", HTTP_ORIGIN="https://example.org")
    assert code == 403
    assert client.holds.get() is None


OWN = {"HTTP_HOST": "127.0.0.1:9182", "HTTP_ORIGIN": "http://127.0.0.1:9182"}


def test_the_own_page_may_pause_from_this_host(client):
    assert client.call("POST", "/api/v1/pause", **OWN)[0] == 200
    rebound = {"HTTP_HOST": "evil.example", "HTTP_ORIGIN": "http://evil.example"}
    assert client.call("POST", "/api/v1/resume", **rebound)[0] == 403
    assert client.call("POST", "/api/v1/resume", **OWN, HTTP_SEC_FETCH_SITE="cross-site")[0] == 403
    assert client.holds.get() is not None


def test_from_another_host_the_page_gives_orders_only_with_a_token(client, tmp_path):
    there = {"REMOTE_ADDR": "192.0.2.7"}
    client.api = Api(lambda: {}, client.log, client.holds, client._wake, is_remote_control=True)
    code, answer = client.call("POST", "/api/v1/pause", **there, **OWN)
    assert (code, "set control_token_file" in answer["error"]) == (403, True)
    assert client.call("POST", "/api/v1/pause", **there)[0] == 200
    file = tmp_path / "token"
    file.write_text("0123456789abcdef0123456789abcdef\n")
    file.chmod(0o600)
    token = TokenFile(file)
    client.api = Api(
        *(lambda: {}, client.log, client.holds, client._wake),
        is_remote_control=True,
        token=token,
    )
    assert client.call("POST", "/api/v1/resume", **there, **OWN)[0] == 401
    shown = {"HTTP_AUTHORIZATION": f"Bearer {token.read()}"}
    assert client.call("POST", "/api/v1/resume", **there, **OWN, **shown)[0] == 200


def test_another_host_may_look_but_not_pause_unless_that_is_wanted(client):
    there = {"REMOTE_ADDR": "192.0.2.7"}
    assert client.call("GET", "/api/v1/status", **there)[0] == 200
    code, answer = client.call("POST", "/api/v1/pause", **there)
    assert code == 403
    assert "remote_control" in answer["error"]
    client.api = Api(lambda: {}, client.log, client.holds, client._wake, is_remote_control=True)
    assert client.call("POST", "/api/v1/pause", **there)[0] == 200


def test_an_order_that_cannot_be_kept_is_refused(client, tmp_path):
    client.holds = OverrideFile(tmp_path / "missing" / "overrides.json")
    client.api = Api(lambda: {}, client.log, client.holds, client._wake)
    code, answer = client.call("POST", "/api/v1/pause")
    assert (code, client.wakes) == (500, 0)
    assert "No such file" in answer["error"]
