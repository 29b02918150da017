import pytest

from scaler.override_api import OverrideApi
from scaler.override_file import OverrideFile
from scaler.overrides import OverrideKind
from scaler.stabilization import Limits
from tests.unit.scaler.requests import call

PATH = "/api/v1/overrides"


class Client:
    def __init__(self, store=None, **options):
        self.wakes = 0
        self.store = store or OverrideFile(None, wall=lambda: 1000.0)
        self.names = ["vs-1", "vs-2"]
        self.max = 4
        self.api = OverrideApi(
            self.store,
            self._wake,
            limits=lambda: Limits(min=1, max=self.max),
            domains=lambda: self.names,
            **options,
        )

    def _wake(self):
        self.wakes += 1

    def __call__(self, method, path=PATH, body=b"", **environ):
        return call(self.api, method, path, body, **environ)


@pytest.fixture
def client():
    return Client()


def test_an_order_is_given_listed_and_lifted(client):
    body = {"kind": "floor", "domains": 2, "author": "ann", "reason": "fair", "seconds": 7200}
    status, answer = client("POST", body=body)
    made = answer["override"]
    assert status == 201
    assert {**made, "id": "x"} == {
        "id": "x",
        "kind": "floor",
        "author": "ann",
        "reason": "fair",
        "created_at": 1000.0,
        "expires_at": 8200.0,
        "domains": 2,
    }
    assert client("GET")[1] == {"overrides": [made], "contradictions": []}
    assert client("DELETE", f"{PATH}/{made['id']}")[1]["removed"] == made
    assert client("GET")[1]["overrides"] == []
    assert client.wakes == 2


def test_orders_are_measured_by_the_limits_in_force(client):
    body = {"kind": "floor", "domains": 6}
    assert client("POST", body=body)[0] == 400
    client.max = 6
    assert client("POST", body=body)[0] == 201
    client.max = 3
    assert client("GET")[1]["contradictions"] == [
        "floor 6 is above the configured max = 3: max wins"
    ]


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "pause"},
        {"kind": "hold", "domains": 0},
        {"kind": "ceiling", "domains": 4, "seconds": 0.5},
        {"kind": "block_out", "author": None},
        {"kind": "block_in", "reason": ""},
        {"kind": "dry_run"},
        {"kind": "drain", "domain": "vs-2"},
    ],
)
def test_every_kind_can_be_given(client, body):
    status, answer = client("POST", body=body)
    assert (status, answer["override"]["kind"]) == (201, body["kind"])
    assert answer["override"]["author"] == "unknown"


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        ({}, ["kind"]),
        ({"kind": "nap"}, ["kind"]),
        ({"kind": ["pause"]}, ["kind"]),
        ({"kind": "floor"}, ["domains"]),
        ({"kind": "floor", "domains": 5}, ["domains"]),
        ({"kind": "floor", "domains": -1}, ["domains"]),
        ({"kind": "floor", "domains": True}, ["domains"]),
        ({"kind": "floor", "domains": "2"}, ["domains"]),
        ({"kind": "pause", "domains": 2}, ["domains"]),
        ({"kind": "pause", "domain": "vs-1"}, ["domain"]),
        ({"kind": "drain"}, ["domain"]),
        ({"kind": "drain", "domain": ""}, ["domain"]),
        ({"kind": "drain", "domain": "other"}, ["domain"]),
        ({"kind": "drain", "domain": "a\nb"}, ["domain"]),
        ({"kind": "pause", "author": 1, "reason": "x" * 201}, ["author", "reason"]),
        ({"kind": "pause", "reason": "\x1b[2J"}, ["reason"]),
        ({"kind": "pause", "seconds": 0}, ["seconds"]),
        ({"kind": "pause", "seconds": float("nan")}, ["seconds"]),
        ({"kind": "pause", "seconds": float("inf")}, ["seconds"]),
        ({"kind": "pause", "seconds": 10**400}, ["seconds"]),
        ({"kind": "pause", "seconds": True}, ["seconds"]),
        (
            {"kind": "floor", "domains": 9, "for": 1, "seconds": -1, "author": []},
            ["for", "domains", "author", "seconds"],
        ),
    ],
)
def test_every_fault_is_told_with_field_value_and_fix(client, body, faults):
    status, answer = client("POST", body=body)
    assert status == 400
    assert [fault["field"] for fault in answer["faults"]] == faults
    assert all(fault["value"] and fault["fix"] for fault in answer["faults"])
    assert all(f"{name} = " in answer["error"] for name in faults)
    assert (client.store.active(), client.wakes) == ((), 0)


def test_any_name_of_a_domain_will_do_while_the_pool_is_not_known(client):
    client.names = None
    assert client("POST", body={"kind": "drain", "domain": "other"})[0] == 201


def test_contradictions_are_told_with_the_order_that_makes_them(client):
    client("POST", body={"kind": "ceiling", "domains": 2})
    _, answer = client("POST", body={"kind": "floor", "domains": 3})
    assert answer["contradictions"] == ["floor 3 is above ceiling 2: the ceiling wins"]


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("DELETE", PATH, 405, "DELETE /api/v1/overrides/ID"),
        ("PUT", PATH, 405, "POST /api/v1/overrides"),
        ("GET", f"{PATH}/abc", 405, "GET /api/v1/overrides"),
        ("DELETE", f"{PATH}/abc", 404, "'abc'"),
        ("DELETE", f"{PATH}/../x", 404, "no override"),
    ],
)
def test_refusals_say_what_is_wrong(client, method, path, status, text):
    code, answer = client(method, path)
    assert code == status
    assert text in answer["error"]


@pytest.mark.parametrize(
    ("body", "environ", "status", "text"),
    [
        (b"{", {}, 400, "not JSON"),
        (b"[" * 9000, {}, 400, "not JSON"),
        (b"[]", {}, 400, "JSON object"),
        (b" " * 10_001, {}, 413, "10000 bytes"),
        (b"{}", {"CONTENT_LENGTH": "9"}, 400, "cut short"),
        (b"", {"HTTP_TRANSFER_ENCODING": "chunked"}, 411, "its length"),
        (b'{"kind": "pause"}', {"HTTP_ORIGIN": "https://example.org"}, 403, "other web pages"),
        (b'{"kind": "pause"}', {"REMOTE_ADDR": "192.0.2.7"}, 403, "remote_control"),
    ],
)
def test_bodies_and_callers_that_are_not_wanted_are_refused(client, body, environ, status, text):
    code, answer = client("POST", PATH, body, **environ)
    assert code == status
    assert text in answer["error"]
    assert client.store.active() == ()


def test_another_host_may_look_and_with_remote_control_order(client):
    there = {"REMOTE_ADDR": "192.0.2.7"}
    made = client.store.add(OverrideKind.PAUSE, author="a", reason="")
    assert client("GET", **there)[0] == 200
    assert client("DELETE", f"{PATH}/{made.id}", **there)[0] == 403
    open_client = Client(client.store, is_remote_control=True)
    assert open_client("DELETE", f"{PATH}/{made.id}", **there)[0] == 200


def test_an_order_that_cannot_be_kept_is_refused(tmp_path):
    client = Client(OverrideFile(tmp_path / "missing" / "overrides.json"))
    status, answer = client("POST", body={"kind": "pause"})
    assert (status, client.wakes) == (500, 0)
    assert "No such file" in answer["error"]


def test_an_order_that_cannot_be_lifted_stands(tmp_path):
    store = OverrideFile(tmp_path / "overrides.json")
    made = store.add(OverrideKind.PAUSE, author="a", reason="")
    (tmp_path / "overrides.json.new").mkdir()
    status, answer = Client(store)("DELETE", f"{PATH}/{made.id}")
    assert status == 500
    assert "Is a directory" in answer["error"]
    assert store.active() == (made,)


def test_there_is_an_end_to_how_many(client):
    for _ in range(100):
        client("POST", body={"kind": "pause"})
    assert client("POST", body={"kind": "pause"})[0] == 409
