import json

import pytest

from scaler.alert_messages import (
    MessageError,
    fingerprint_of,
    read_alertmanager,
    read_prometheus,
    read_webhook,
)
from scaler.alerts import Notice

ALERT = {
    "status": "firing",
    "labels": {"alertname": "Busy"},
    "annotations": {},
    "startsAt": "2026-01-01T00:00:01.123987654Z",
    "endsAt": "0001-01-01T00:00:00Z",
    "generatorURL": "http://h",
    "fingerprint": "abc",
}
BEGAN = 1767225601.123


def body(*alerts, **fields):
    return {"version": "4", "groupKey": "g", "truncatedAlerts": 0, "alerts": list(alerts), **fields}


def test_reads_a_webhook():
    ended = {**ALERT, "status": "resolved", "endsAt": "2026-01-01T00:00:09+00:00"}
    found = read_webhook(body(ALERT, ended, truncatedAlerts=3))
    assert found.truncated == 3
    assert found.notices == (
        Notice("abc", {"alertname": "Busy"}, BEGAN, is_firing=True),
        Notice("abc", {"alertname": "Busy"}, BEGAN, is_firing=False, ends_at=1767225609.0),
    )
    assert read_webhook({"version": "4", "alerts": []}).notices == ()


def test_every_fault_is_told():
    with pytest.raises(MessageError) as caught:
        read_webhook(body({"status": "maybe", "labels": {"a": 1}, "startsAt": "now"}, 7, version=4))
    assert [fault.field for fault in caught.value.faults] == [
        "version",
        "alerts.0.status",
        "alerts.0.labels",
        "alerts.0.startsAt",
        "alerts.1",
    ]
    assert "alerts.0.startsAt = 'now': must be a time such as" in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {"labels": None},
        {"labels": []},
        {"labels": {"a": None}},
        {"labels": {"a": "\ud800"}},
        {"startsAt": None},
        {"startsAt": 5},
        {"startsAt": "0000-01-01T00:00:00Z"},
        {"fingerprint": 5},
        {"fingerprint": "x" * 65},
    ],
)
def test_an_alert_of_another_form_is_refused(change):
    with pytest.raises(MessageError):
        read_webhook(body({**ALERT, **change}))


@pytest.mark.parametrize(
    "wrong",
    [{}, {"alerts": []}, body(truncatedAlerts="1"), body(truncatedAlerts=-1), body(alerts={})],
)
def test_a_body_of_another_form_is_refused(wrong):
    if wrong.get("alerts") == {}:
        wrong = {**body(), "alerts": {}}
    with pytest.raises(MessageError):
        read_webhook(wrong)


def test_the_faults_of_a_long_list_stay_readable():
    with pytest.raises(MessageError) as caught:
        read_webhook(body(*range(1000)))
    assert len(caught.value.faults) == 10


def test_the_earliest_time_that_go_writes_can_be_read():
    zero = {**ALERT, "startsAt": "0001-01-01T00:00:00Z"}
    assert read_webhook(body(zero)).notices[0].starts_at < 0


def test_reads_what_alertmanager_lists():
    listed = {
        "labels": {"alertname": "Busy"},
        "startsAt": "2026-01-01T00:00:01.123Z",
        "fingerprint": "abc",
        "status": {"state": "active", "silencedBy": [], "inhibitedBy": []},
    }
    assert read_alertmanager([listed]) == (
        Notice("abc", {"alertname": "Busy"}, BEGAN, is_firing=True),
    )
    for wrong in ({}, None, [1], [{"labels": {}}]):
        with pytest.raises(MessageError):
            read_alertmanager(wrong)


def test_reads_what_prometheus_lists_but_pending_ones():
    answer = json.loads(
        """{"status": "success", "data": {"alerts": [
        {"labels": {"alertname": "Busy", "pool": "web"}, "annotations": {}, "state": "firing",
         "activeAt": "2026-01-01T00:00:01.123456Z", "value": "1e+00"},
        {"labels": {"alertname": "Soon"}, "state": "pending",
         "activeAt": "2026-01-01T00:00:01Z", "value": "1e+00"}]}}"""
    )
    (found,) = read_prometheus(answer)
    assert (found.labels["alertname"], found.starts_at, found.is_firing) == ("Busy", BEGAN, True)
    assert found.fingerprint == fingerprint_of({"pool": "web", "alertname": "Busy"})
    for wrong in ({}, None, {"data": {"alerts": [1]}}, {"data": {"alerts": [{"state": "firing"}]}}):
        with pytest.raises(MessageError):
            read_prometheus(wrong)


def test_the_fingerprint_is_alertmanager_s():
    # That of no labels is the offset of FNV-1a itself; the contract test compares the others.
    assert fingerprint_of({}) == "cbf29ce484222325"
    assert fingerprint_of({"alertname": "FairIsOn"}) == "04f140893b93ac75"
