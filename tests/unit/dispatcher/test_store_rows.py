"""What the SQL stores make of rows."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from dispatcher.jobs import JobState
from dispatcher.store_rows import Numbers, runs, wanted_states, with_nul, without_nul

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
