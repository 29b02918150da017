"""Alerts whose messages are lost, doubled, delayed and reordered."""

from hypothesis import given, settings
from hypothesis import strategies as st

from scaler import alerts
from scaler.alerts import AlertRule, Matcher, Notice, Sight

RELAXED = settings(max_examples=150, deadline=None)
TTL = 60.0
RESYNC = 15.0
NAMES = ["a", "b", "c"]


@st.composite
def lives(draw):
    """What really happened: per alert, episodes as (began, ended or None), one after another."""
    found = {}
    for name in NAMES:
        count = draw(st.integers(0, 3))
        moments = sorted(
            draw(st.lists(st.integers(1, 500), min_size=2 * count, max_size=2 * count, unique=True))
        )
        episodes = list(zip(moments[::2], moments[1::2], strict=True))
        if episodes and draw(st.booleans()):
            episodes[-1] = (episodes[-1][0], None)
        found[name] = episodes
    return found


def messages(life):
    return [
        Notice(name, {"alertname": name}, float(began), is_firing, None if is_firing else ended)
        for name, episodes in life.items()
        for began, ended in episodes
        for is_firing in ([True] if ended is None else [True, False])
    ]


def truth(life):
    return {name for name, episodes in life.items() if episodes and episodes[-1][1] is None}


def fires(book, now):
    return {one.fingerprint for one in alerts.firing(book, TTL, now)}


def heard(notices, now=0.0):
    book = alerts.EMPTY_BOOK
    for one in notices:
        book = alerts.hear(book, [one], now)
    return book


@RELAXED
@given(lives(), st.data())
def test_any_order_and_any_repetition_end_at_the_truth(life, data):
    sent = messages(life)
    doubled = sent + data.draw(st.lists(st.sampled_from(sent), max_size=8)) if sent else []
    arrived = data.draw(st.permutations(doubled))
    assert fires(heard(arrived), 0.0) == truth(life)


@RELAXED
@given(lives(), st.data())
def test_what_was_lost_is_made_good_by_listings(life, data):
    """Any messages arrive in any order; the last listings are answered."""
    sent = messages(life)
    arrived = data.draw(st.lists(st.sampled_from(sent), max_size=12)) if sent else []
    book = heard(arrived, now=0.0)
    listed = [
        Notice(name, {"alertname": name}, float(life[name][-1][0]), is_firing=True)
        for name in sorted(truth(life))
    ]
    now = 0.0
    while now < TTL + RESYNC:
        now += RESYNC
        book = alerts.see(book, listed, now - 0.1, now)
        # Never too low after the first answer, whatever was lost.
        assert fires(book, now) >= truth(life)
    assert fires(book, now) == truth(life)


@RELAXED
@given(lives(), st.data(), st.floats(0, TTL - 1))
def test_silence_and_empty_listings_lower_nothing_before_the_ttl(life, data, seconds):
    sent = messages(life)
    arrived = data.draw(st.lists(st.sampled_from(sent), max_size=12)) if sent else []
    book = heard(arrived)
    before = fires(book, 0.0)
    book = alerts.see(book, [], seconds / 2, seconds / 2)
    book = alerts.tidy(book, TTL, seconds)
    assert fires(book, seconds) == before
    assert fires(book, TTL) == set()


@RELAXED
@given(lives(), st.data())
def test_taking_messages_together_or_one_by_one_is_the_same(life, data):
    sent = messages(life)
    arrived = data.draw(st.lists(st.sampled_from(sent), max_size=12)) if sent else []
    assert alerts.hear(alerts.EMPTY_BOOK, arrived, 0.0) == heard(arrived)


@RELAXED
@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 6), st.floats(0.1, 20)), max_size=60),
    st.integers(1, 3),
)
def test_a_raise_never_climbs_by_itself(turns, raise_by):
    """The pool follows what the alert demands at once; only its own wishes move it otherwise."""
    rule = AlertRule("r", (Matcher("alertname", "x"),), raise_by=raise_by)
    alert = alerts.Firing("f", {"alertname": "x"})
    bases, now, current, highest_own = {}, 0.0, 0, 0
    for is_firing, own, seconds in turns:
        now += seconds
        highest_own = max(highest_own, own)
        sight = Sight((alert,) if is_firing else (), bases)
        effects, bases = alerts.judge([rule], sight, current, 10_000.0, now)
        current = max([own, *(one.least for one in effects)])
        assert current <= highest_own + raise_by
