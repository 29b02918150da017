import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaler.alert_api import MAX_BODY_BYTES, AlertApi, Receipt
from scaler.alert_desk import AlertDesk
from scaler.alerts import AlertRule, Matcher
from servicekit.tls import TokenFile
from tests.unit.scaler.requests import call

PATH = "/api/v1/alerts"
RULE = AlertRule("more", (Matcher("alertname", "Busy"),), raise_by=1)
TOKEN = {"HTTP_AUTHORIZATION": "Bearer s3cret"}


def alert(name="Busy", status="firing"):
    return {"status": status, "labels": {"alertname": name}, "startsAt": "2026-01-01T00:00:00Z"}


def body(*alerts, **fields):
    return {"version": "4", "alerts": list(alerts), **fields}


class Client:
    def __init__(self, path):
        self.wakes = 0
        self.counted = []
        self.now = 0.0
        self.desk = AlertDesk([RULE], ttl_seconds=60.0, monotonic=lambda: self.now)
        token = None
        if path is not None:
            path.write_text("s3cret\n")
            token = TokenFile(path)
        self.api = AlertApi(self.desk, token, self._wake, self._count)

    def _wake(self):
        self.wakes += 1

    def _count(self, receipt, truncated):
        self.counted.append((receipt, truncated))

    def __call__(self, content, **environ):
        return call(self.api, "POST", PATH, content, **{**TOKEN, **environ})

    @property
    def firing(self):
        return [one.name for one in self.desk.sight(self.now).firing]


@pytest.fixture
def client(tmp_path):
    return Client(tmp_path / "token")


def test_takes_what_a_rule_is_for(client):
    status, answer = client(body(alert(), alert("Other")))
    assert (status, answer) == (200, {"alerts": 2, "used": 1, "truncated": 0})
    assert (client.firing, client.wakes) == (["Busy"], 1)
    client(body(alert(status="resolved")))
    assert (client.firing, client.wakes) == ([], 2)
    assert client.counted == [(Receipt.ACCEPTED, 0)] * 2


def test_alerts_that_no_rule_is_for_wake_nobody(client):
    assert client(body(alert("Other")))[1]["used"] == 0
    assert client.wakes == 0


def test_left_out_alerts_are_counted(client):
    assert client(body(alert(), truncatedAlerts=7))[1]["truncated"] == 7
    assert client.counted == [(Receipt.ACCEPTED, 7)]


@pytest.mark.parametrize(
    "shown", ["", "Bearer", "Bearer wrong", "Bearer s3cret2", "Basic s3cret", "s3cret", "Bearer é"]
)
def test_without_the_token_nothing_is_taken(client, shown):
    status, answer = client(body(alert()), HTTP_AUTHORIZATION=shown)
    assert status == 401
    assert "Authorization: Bearer" in answer["error"]
    assert "s3cret" not in answer["error"]
    assert (client.firing, client.counted) == ([], [(Receipt.REFUSED, 0)])


def test_without_a_token_of_its_own_nothing_is_taken():
    client = Client(None)
    status, answer = client(body(alert()))
    assert status == 403
    assert "alert_source.token_file" in answer["error"]


def test_what_is_not_alertmanager_s_is_refused_with_every_fault(client):
    status, answer = client({"version": "3", "alerts": [{"status": "up"}]})
    assert status == 400
    fields = [fault["field"] for fault in answer["faults"]]
    assert fields == ["version", "alerts.0.status", "alerts.0.labels", "alerts.0.startsAt"]
    assert client.counted == [(Receipt.MALFORMED, 0)]


def test_a_body_that_is_no_json_or_too_large_is_refused(client):
    assert client(b"{")[0] == 400
    assert client(b"[" * 100_000)[0] == 400
    assert client(b"", CONTENT_LENGTH=str(MAX_BODY_BYTES + 1))[0] == 413
    assert client.counted == [(Receipt.REFUSED, 0)] * 3


def test_there_is_only_post(client):
    assert call(client.api, "GET", PATH, **TOKEN)[0] == 405
    assert call(client.api, "POST", PATH + "/x", **TOKEN)[0] == 405


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["status", "labels", "startsAt", "fingerprint", "x"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(
    st.binary(max_size=40)
    | st.fixed_dictionaries(
        {},
        optional={
            "version": st.just("4") | json_values,
            "alerts": st.lists(json_values, max_size=3) | json_values,
            "truncatedAlerts": json_values,
        },
    ).map(lambda value: json.dumps(value).encode())
)
def test_no_body_is_too_odd_for_an_answer(tmp_path_factory, content):
    client = Client(tmp_path_factory.mktemp("odd") / "token")
    assert client(content)[0] in (200, 400)
