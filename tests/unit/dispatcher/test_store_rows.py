"""What the SQL stores make of rows."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.jobs import JobState
from dispatcher.store_rows import (
    Numbers,
    removable,
    runs,
    wanted_states,
    with_nul,
    without_nul,
)

_ROWS = st.dictionaries(
    st.integers(1, 60), st.tuples(st.integers(1, 3), st.sampled_from([1.0, 2.0]), st.integers(0, 1))
)


@given(_ROWS)
def test_runs_are_the_rows_and_as_few_as_can_be(found):
    rows = [(key, *found[key]) for key in sorted(found)]
    made = list(runs(iter(rows)))
    assert rows == [
        (run.key + place, run.profile, run.accepted_at, run.attempts)
        for run in made
        for place in range(run.size)
    ]
    for one, following in itertools.pairwise(made):
        is_next = one.key + one.size == following.key
        assert not (is_next and one[1:4] == following[1:4])


@given(st.text(alphabet=st.sampled_from("ab01\0\x1b\n")) | st.text())
def test_any_text_comes_back_and_none_is_kept_with_a_character_0(text):
    assert "\0" not in without_nul(text)
    assert with_nul(without_nul(text)) == text


def test_a_store_that_knows_no_leases_is_asked_for_ready_jobs():
    assert wanted_states(frozenset({JobState.LEASED})) == [JobState.READY, JobState.LEASED]
    assert wanted_states(None) == sorted(JobState)


def test_counters_are_put_back():
    numbers = Numbers(accepted=1)
    before = numbers.copy()
    numbers.accepted, numbers.is_changed = 5, True
    numbers.restore(before)
    assert numbers == Numbers(accepted=1)


@pytest.mark.parametrize(
    ("before", "keep", "gone"),
    [(None, None, ""), (None, 1, "abc"), (None, 9, ""), (25.0, None, "ab"), (25.0, 1, "abcd")],
)
def test_the_oldest_go_that_are_surplus_or_old(before, keep, gone):
    # The clock was set back: what comes behind one that stays, stays.
    rows = [("a", 4, 10.0), ("b", 5, 20.0), ("c", 6, 30.0), ("d", 7, 24.0)]
    assert "".join(map(str, removable(rows, last=7, before=before, keep=keep))) == gone
