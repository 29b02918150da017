from hypothesis import given
from hypothesis import strategies as st

from scaler.headroom import Headroom, with_headroom
from scaler.policies.proposal import Proposal
from scaler.reasons import Reason

LOAD = Proposal("backlog", Reason.DEMAND, 5, 4, 6, is_complete=True, takes_headroom=True)
BUSY = Proposal("reference", Reason.STEADY, 5, 5, 5, is_complete=True)


def test_the_larger_of_domains_and_share_goes_on_top_of_the_load():
    (raised,) = with_headroom([LOAD], Headroom(domains=1, ratio=0.5))
    assert (raised.low, raised.desired, raised.high) == (6, 8, 9)
    (raised,) = with_headroom([LOAD], Headroom(domains=4, ratio=0.1))
    assert (raised.low, raised.desired, raised.high) == (8, 9, 10)


def test_a_wish_relative_to_what_runs_takes_none():
    unknown = Proposal("backlog", Reason.SIGNAL_UNKNOWN, takes_headroom=True)
    assert with_headroom([BUSY, unknown], Headroom(domains=3)) == (BUSY, unknown)


@given(st.integers(0, 50), st.floats(0, 3), st.integers(0, 100), st.integers(0, 100))
def test_more_load_never_has_fewer_domains(domains, ratio, wish, more):
    headroom = Headroom(domains, ratio)
    assert wish + more + headroom.on(wish + more) >= wish + headroom.on(wish) >= wish + domains
