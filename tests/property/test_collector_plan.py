"""Whatever is known of the domains, a plan asks each of them once and risks little."""

from hypothesis import given
from hypothesis import strategies as st

from collector.libvirt_source.plan import MOST_STUCK, Present, plan

_PRESENT = st.lists(
    st.builds(Present, uuid=st.integers(0, 500).map(str), is_active=st.booleans()),
    unique_by=lambda one: one.uuid,
    max_size=120,
)
_HUNG = st.sets(st.integers(0, 500).map(str))
_IDLE = st.integers(0, 12)
_STUCK = st.integers(0, 12)
_MOST = st.integers(1, 12)


@given(_PRESENT, _HUNG, _IDLE, _STUCK, _MOST)
def test_every_domain_is_in_one_place(
    present: list[Present], hung: set[str], idle: int, stuck: int, most: int
) -> None:
    dealt = plan(present, hung, idle=idle, stuck=stuck, most_shares=most)
    everywhere = [*(uuid for share in dealt.shares for uuid in share), *dealt.taken, *dealt.unasked]
    assert sorted(everywhere) == sorted(one.uuid for one in present)


@given(_PRESENT, _HUNG, _IDLE, _STUCK, _MOST)
def test_who_hangs_holds_up_nobody(
    present: list[Present], hung: set[str], idle: int, stuck: int, most: int
) -> None:
    dealt = plan(present, hung, idle=idle, stuck=stuck, most_shares=most)
    assert not hung & {uuid for share in dealt.shares for uuid in share}
    assert set(dealt.taken) <= hung


@given(_PRESENT, _HUNG, _IDLE, _STUCK, _MOST)
def test_no_more_is_asked_at_once_than_may_get_stuck(
    present: list[Present], hung: set[str], idle: int, stuck: int, most: int
) -> None:
    dealt = plan(present, hung, idle=idle, stuck=stuck, most_shares=most)
    assert len(dealt.shares) <= min(idle, most)
    if stuck:
        assert len(dealt.shares) + stuck <= max(MOST_STUCK, stuck)


@given(_PRESENT, _IDLE.filter(bool), _MOST)
def test_the_shares_are_even(present: list[Present], idle: int, most: int) -> None:
    active = {one.uuid for one in present if one.is_active}
    loads = [
        len(active & set(share)) for share in plan(present, (), idle=idle, most_shares=most).shares
    ]
    if active:
        assert max(loads) - min(loads) <= 1
