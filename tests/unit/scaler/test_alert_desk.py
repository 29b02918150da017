import json

import pytest

from scaler.alert_desk import AlertDesk
from scaler.alerts import AlertRule, Base, Matcher, Notice

RULE = AlertRule("more", (Matcher("alertname", "Busy"),), raise_by=1)
BUSY = {"alertname": "Busy"}


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "alerts.json"


def desk(clock, path=None):
    return AlertDesk([RULE], ttl_seconds=60.0, monotonic=clock, path=path)


def notice(firing=True, labels=BUSY, starts_at=1.0):
    return Notice("f", labels, starts_at, is_firing=firing)


def firing(one, clock):
    return [alert.name for alert in one.sight(clock.now).firing]


def test_alerts_and_bases_survive_a_restart(clock, path):
    before = desk(clock, path)
    before.hear([notice()])
    before.remember({"more": Base(2)})
    clock.now = 5.0  # another process: its clock began anew
    after = desk(clock, path)
    assert firing(after, clock) == ["Busy"]
    assert after.sight(clock.now).bases == {"more": Base(2)}
    clock.now = 65.0
    assert firing(after, clock) == []


def test_what_fires_is_shown_the_oldest_first(clock):
    shown = desk(clock)
    shown.hear([notice(starts_at=5.0), Notice("g", BUSY, 2.0, is_firing=True)])
    shown.hear([Notice("h", BUSY, 1.0, is_firing=False)])
    assert [one.starts_at for one in shown.standings()] == [2.0, 5.0]
    clock.now += 60.0
    assert shown.standings() == ()


def test_an_end_survives_a_restart(clock, path):
    before = desk(clock, path)
    before.hear([notice(firing=False)])
    before.remember({})
    after = desk(clock, path)
    after.hear([notice()])
    assert firing(after, clock) == []


def test_is_written_only_when_something_has_changed(clock, path):
    one = desk(clock, path)
    one.remember({})
    assert not path.exists()
    one.hear([notice()])
    one.remember({"more": Base(2)})
    path.unlink()
    clock.now += 1
    one.hear([notice()])
    one.remember({"more": Base(2)})
    assert not path.exists()
    one.remember({"more": Base(3)})
    assert json.loads(path.read_text())["bases"] == {"more": 3}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"form": 9}',
        '{"form": 1, "standings": [{}], "bases": {}}',
        "[" * 100_000,
        b"\xff",
    ],
)
def test_a_file_that_cannot_be_read_is_as_none(clock, path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert firing(desk(clock, path), clock) == []


def test_a_file_that_cannot_be_written_stops_nothing(clock, path):
    one = desk(clock, path)
    path.with_name("alerts.json.new").mkdir()
    one.hear([notice()])
    one.remember({"more": Base(2)})
    assert firing(one, clock) == ["Busy"]
    path.with_name("alerts.json.new").rmdir()
    one.remember({"more": Base(2)})
    assert path.exists()


def test_what_no_rule_is_for_is_not_kept(clock):
    one = desk(clock)
    assert one.hear([notice(labels={"alertname": "Other"})]) == 0
    assert one.see([notice(labels={"alertname": "Other"})], clock.now) == 0
    assert firing(one, clock) == []


def test_a_listing_counts_from_when_it_was_asked_for(clock):
    one = desk(clock)
    one.hear([notice(firing=False)])
    one.see([notice()], asked_at=99.0)
    assert firing(one, clock) == []
    one.see([notice()], asked_at=101.0)
    assert firing(one, clock) == ["Busy"]


def test_what_nobody_names_any_more_is_forgotten(clock):
    one = desk(clock)
    one.hear([notice()])
    clock.now += 60
    one.remember({})
    assert firing(one, clock) == []
