import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaler.breaker import Breaker
from scaler.decision import State
from scaler.lessons import Failures, Lessons, begin, from_record, learned, to_record
from scaler.rollout import Trials
from scaler.tracking import Track

LONGEST = 1800.0
RELAXED = settings(max_examples=100, deadline=None)
NOW, OFFSET = 1_000.0, 1_000.0 - 1_700_000_000.0

moments = st.none() | st.floats(0, NOW).map(lambda value: round(value, 3))
breakers = st.builds(Breaker, st.integers(0, 99), moments, st.integers(0, 99), moments)
names = st.text(min_size=1, max_size=8)
all_lessons = st.builds(
    Lessons,
    breakers,
    breakers,
    st.builds(Trials, st.dictionaries(names, st.integers(1, 9)), st.frozensets(names)),
    st.dictionaries(names, st.builds(Failures, st.integers(1, 9), st.booleans())),
)


def kept(lessons, offset=OFFSET, now=NOW):
    """Written on one clock, read on another."""
    record = json.loads(json.dumps(to_record(lessons, OFFSET)))
    return from_record(record, offset, now, LONGEST)


def close(one, other):
    return one == other or (one is not None and other is not None and abs(one - other) < 0.01)


@RELAXED
@given(all_lessons)
def test_what_was_learned_is_read_back(lessons):
    found = kept(lessons)
    assert (found.trials, found.domains) == (lessons.trials, lessons.domains)
    for one, other in ((found.breaker, lessons.breaker), (found.wakes, lessons.wakes)):
        assert (one.failures, one.raises) == (other.failures, other.raises)
        assert close(one.open_until, other.open_until)
        assert close(one.raised_at, other.raised_at)


@RELAXED
@given(all_lessons)
def test_a_new_life_begins_with_the_lessons_of_the_last(lessons):
    assert learned(begin(lessons)) == lessons


@pytest.mark.parametrize("jump", [-86_400.0, 86_400.0])
def test_a_wall_clock_that_was_set_neither_pauses_for_ever_nor_denies_a_failure(jump):
    breaker = Breaker(3, NOW + 60.0, 2, NOW - 5.0)
    found = kept(Lessons(breaker=breaker), OFFSET - jump).breaker
    assert (found.failures, found.raises) == (3, 2)
    assert found.open_until is not None and found.open_until <= NOW + LONGEST
    assert found.raised_at is not None and found.raised_at <= NOW


def test_domains_that_have_not_been_seen_yet_are_not_forgotten():
    state = State(
        remembered={"a": Track(failures=2), "b": Track(failures=1)},
        tracks={"b": Track(), "c": Track(failures=3, is_failure_counted=True)},
    )
    assert learned(state).domains == {"a": Failures(2), "c": Failures(3, True)}


@pytest.mark.parametrize(
    "record",
    [
        {},
        [],
        {"form": 2},
        {"form": 1, "breaker": None},
        {**to_record(Lessons(), 0.0), "domains": {"a": 1}},
        {**to_record(Lessons(), 0.0), "images": {"failures": {"a": "x"}, "good": []}},
    ],
)
def test_what_is_no_record_is_refused(record):
    with pytest.raises((ValueError, KeyError, TypeError, AttributeError)):
        from_record(record, 0.0, 0.0, LONGEST)
