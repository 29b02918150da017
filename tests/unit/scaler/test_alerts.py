import pytest

from scaler import alerts
from scaler.alerts import AlertRule, Base, Firing, Matcher, Notice, Sight
from scaler.reasons import Reason
from scaler.stabilization import Stabilised

TTL = 60.0
LABELS = {"alertname": "Busy", "pool": "web"}


def notice(starts_at=1.0, *, firing=True, name="f", labels=None):
    return Notice(name, labels or LABELS, starts_at, is_firing=firing)


def fires(book, now=0.0):
    return [one.fingerprint for one in alerts.firing(book, TTL, now)]


def heard(*notices, book=alerts.EMPTY_BOOK, now=0.0):
    for one in notices:
        book = alerts.hear(book, [one], now)
    return book


def test_an_alert_fires_until_it_is_resolved():
    book = heard(notice())
    assert fires(book) == ["f"]
    assert fires(heard(notice(firing=False), book=book)) == []


def test_a_message_that_comes_late_changes_nothing():
    ended = heard(notice(firing=False))
    assert fires(heard(notice(), book=ended)) == []
    again = heard(notice(5.0), book=ended)
    assert fires(again) == ["f"]
    assert fires(heard(notice(1.0, firing=False), book=again)) == ["f"]
    assert fires(heard(notice(5.0, firing=False), book=again)) == []


def test_the_end_counts_even_when_another_server_saw_the_begin_earlier():
    book = heard(notice(12.0))
    ended = Notice("f", LABELS, 10.0, is_firing=False, ends_at=20.0)
    assert fires(heard(ended, book=book)) == []
    assert fires(heard(notice(12.0), book=heard(ended, book=book))) == []
    earlier = Notice("f", LABELS, 10.0, is_firing=False, ends_at=11.0)
    assert fires(heard(earlier, book=book)) == ["f"]


def test_an_alert_that_nobody_names_any_more_ends_after_the_ttl():
    book = heard(notice(), now=100.0)
    assert fires(book, 159.9) == ["f"]
    assert fires(book, 160.0) == []
    book = heard(notice(), book=book, now=150.0)
    assert fires(book, 209.0) == ["f"]


def test_a_listing_opens_what_a_notification_should_have_opened():
    book = alerts.see(alerts.EMPTY_BOOK, [notice()], 10.0, 11.0)
    assert fires(book, 12.0) == ["f"]


def test_what_a_listing_leaves_out_goes_on_until_the_ttl():
    book = heard(notice(), now=100.0)
    book = alerts.see(book, [], 101.0, 101.0)
    assert fires(book, 159.0) == ["f"]
    assert fires(book, 160.0) == []


def test_a_listing_opens_an_episode_that_was_taken_for_ended():
    """Alertmanager ends an alert that Prometheus could not tell it of, and takes it up again."""
    book = heard(notice(firing=False), now=100.0)
    assert fires(alerts.see(book, [notice()], 101.0, 102.0), 102.0) == ["f"]


def test_a_listing_asked_for_before_the_end_does_not_undo_it():
    book = heard(notice(firing=False), now=100.0)
    assert fires(alerts.see(book, [notice()], 99.0, 102.0), 102.0) == []


def test_prometheus_earlier_begin_does_not_make_the_end_a_late_message():
    book = heard(notice(30.0))
    book = alerts.see(book, [notice(10.0)], 1.0, 1.0)
    assert fires(heard(notice(30.0, firing=False), book=book)) == []


def test_what_means_nothing_any_more_is_forgotten():
    book = heard(notice(), notice(firing=False, name="g"), now=100.0)
    assert set(alerts.tidy(book, TTL, 159.0)) == {"f", "g"}
    assert set(alerts.tidy(book, TTL, 160.0)) == {"g"}
    assert set(alerts.tidy(book, TTL, 1000.0)) == set()


def test_there_is_an_end_to_what_is_remembered():
    many = [notice(name=str(number)) for number in range(alerts.MAX_STANDINGS + 5)]
    book = alerts.hear(alerts.EMPTY_BOOK, many, 0.0)
    assert len(book) == alerts.MAX_STANDINGS
    assert alerts.is_full(book)
    assert len(alerts.see(book, many, 1.0, 1.0)) == alerts.MAX_STANDINGS
    # Those that are remembered still end.
    assert "0" not in fires(heard(notice(firing=False, name="0"), book=book))


@pytest.mark.parametrize(
    ("matcher", "matches"),
    [
        (Matcher("pool", "web"), True),
        (Matcher("pool", "we"), False),
        (Matcher("pool", "w.*", is_regex=True), True),
        (Matcher("pool", "w", is_regex=True), False),
        (Matcher("zone", ""), True),
        (Matcher("zone", "a"), False),
    ],
)
def test_matches_whole_values_and_takes_a_missing_label_for_empty(matcher, matches):
    assert matcher.matches(LABELS) is matches


RAISE = AlertRule("more", (Matcher("alertname", "Busy"),), raise_by=1)
FLOOR = AlertRule("floor", (Matcher("alertname", "Busy"),), floor=3)
BLOCK = AlertRule("block", (Matcher("alertname", "Busy"),), blocks_in=True)
BUSY = Firing("f", LABELS)


def judged(rules, current, *, bases=None, firing=(BUSY,), now=0.0):
    return alerts.judge(rules, Sight(tuple(firing), bases or {}), current, TTL, now)


def test_the_base_is_the_capacity_at_the_beginning():
    effects, bases = judged([RAISE], 2)
    assert [(one.least, one.reason, one.alerts) for one in effects] == [
        (3, Reason.ALERT_RAISE, ("Busy",))
    ]
    for current in (3, 4, 1):
        effects, bases = judged([RAISE], current, bases=bases)
        assert effects[0].least == 3


def test_two_alerts_of_one_rule_do_no_more_than_one():
    other = Firing("g", {**LABELS, "instance": "b", "alertname": "Busy"})
    assert judged([RAISE], 2, firing=[BUSY, other])[0] == judged([RAISE], 2)[0]


def test_an_alert_that_comes_and_goes_does_not_climb():
    _, bases = judged([RAISE], 2)
    for now in range(10):
        _, bases = judged([RAISE], 3, bases=bases, firing=(), now=float(now))
        effects, bases = judged([RAISE], 3, bases=bases, now=float(now))
        assert effects[0].least == 3


def test_the_base_is_forgotten_when_the_capacity_is_back_or_the_time_is_over():
    _, bases = judged([RAISE], 2)
    assert judged([RAISE], 2, bases=bases, firing=())[1] == {}
    _, released = judged([RAISE], 3, bases=bases, firing=(), now=10.0)
    assert released == {"more": Base(2, 10.0)}
    assert judged([RAISE], 3, bases=released, firing=(), now=69.0)[1] == released
    assert judged([RAISE], 3, bases=released, firing=(), now=70.0)[1] == {}


def test_a_rule_that_is_gone_leaves_nothing():
    assert judged([], 3, bases={"more": Base(2)}) == ((), {})


def applied(desired, effects):
    before = Stabilised(desired, desired, (), is_complete=True)
    after = alerts.apply(before, effects)
    return after.desired, [(one.reason.value, one.before, one.after) for one in after.steps]


def test_effects_only_raise_floors_first():
    effects, _ = judged([BLOCK, RAISE, FLOOR], 3)
    assert applied(1, effects) == (4, [("alert_floor", 1, 3), ("alert_raise", 3, 4)])
    assert applied(9, effects) == (9, [])
    only_block, _ = judged([BLOCK], 3)
    assert applied(1, only_block) == (3, [("alert_blocks_in", 1, 3)])
    assert only_block[0].blocks_in
    assert applied(2, ()) == (2, [])


def test_an_alert_without_a_name_is_told_by_its_fingerprint():
    assert Firing("f", {}).name == "f"
