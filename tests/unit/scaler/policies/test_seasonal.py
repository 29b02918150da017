import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaler.policies.proposal import PolicyContext
from scaler.policies.seasonal import SeasonalPolicy, history_queries
from scaler.pool import PoolView
from scaler.readings import Empty, Failed, Known, NotANumber, Stale
from scaler.reasons import Reason


def ask(level, seasons, policy=None):
    policy = policy or SeasonalPolicy()
    readings = dict(zip(policy.signals, (level, seasons), strict=True))
    proposal, memory = policy.propose(readings, PolicyContext(PoolView.of([]), None, 0.0), None)
    assert memory is None
    return proposal


def test_as_many_as_the_level_needs():
    proposal = ask(Known(4.0, 0.0), Known(3, 0.0))
    assert (proposal.desired, proposal.reason) == (5, Reason.SEASONAL)
    assert proposal.is_complete


def test_another_unit_than_slots():
    policy = SeasonalPolicy(target_ratio=1.0, value_per_domain=50.0)
    assert ask(Known(120.0, 0.0), Known(9, 0.0), policy).desired == 3


@pytest.mark.parametrize("level", [Known(9.0, 0.0), Empty()])
def test_with_too_little_history_it_wishes_for_nothing_and_hinders_nobody(level):
    proposal = ask(level, Known(2, 0.0))
    assert (proposal.desired, proposal.reason) == (0, Reason.SEASONAL_HISTORY_TOO_SHORT)
    assert proposal.is_complete


@pytest.mark.parametrize("unknown", [Empty(), NotANumber(), Stale(20.0), Failed("x")])
def test_what_is_not_known_is_no_wish(unknown):
    for proposal in (ask(unknown, Known(5, 0.0)), ask(Known(1.0, 0.0), unknown)):
        assert proposal.desired is None
        assert not proposal.is_complete


@given(st.floats(0, 1e9), st.floats(0, 1e9))
def test_more_load_never_wishes_for_fewer(level, more):
    lower, higher = (ask(Known(one, 0.0), Known(3, 0.0)) for one in (level, level + more))
    assert higher.desired >= lower.desired


def test_the_queries_look_at_the_same_time_of_earlier_seasons():
    level, seasons = history_queries(
        "load", quantile=0.8, seasons=2, season_seconds=86_400, lead_seconds=300, spread_seconds=600
    )
    assert level.startswith("quantile(0.8, label_replace(max_over_time((load")
    assert "[900s:45s] offset 86100s" in level
    assert "[900s:45s] offset 172500s" in seasons
    assert seasons.endswith("or vector(0)")
