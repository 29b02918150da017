from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaler.headroom import Headroom
from scaler.pool import DomainState, DomainView, Lifecycle, PoolView
from scaler.reasons import Reason
from scaler.recommendation import Proposal
from scaler.stabilization import Limits, Memory, Rate, Step, scaled, stabilise

LIMITS = Limits(
    min=1,
    max=8,
    out_window_seconds=0.0,
    in_window_seconds=30.0,
    out_cooldown_seconds=5.0,
    in_cooldown_seconds=10.0,
    out_step=4,
    in_step=1,
)
FULL = Memory(watching_since=-1000.0)


def wish(desired, low=None, high=None, complete=True, policy="p"):
    return Proposal(
        policy,
        Reason.DEMAND,
        desired,
        desired if low is None else low,
        desired if high is None else high,
        complete,
    )


UNKNOWN = Proposal("u", Reason.SIGNAL_UNKNOWN)


@pytest.fixture
def run(make):
    def run(current, *proposals, memory=FULL, now=0.0, limits=LIMITS, leaving=0):
        pool = make.pool(
            *(make.view(f"r{n}", "ready") for n in range(current)),
            *(make.view(f"s{n}", "shutting_down") for n in range(leaving)),
        )
        _, result = stabilise(memory, proposals, pool, limits, now)
        return result.desired, result.steps

    return run


def test_out_goes_to_the_highest_known_wish(run):
    assert run(1, wish(2), wish(4), UNKNOWN) == (4, ())


def test_in_needs_every_policy_to_know(run):
    assert run(3, wish(1), UNKNOWN) == (3, (Step(Reason.SIGNAL_UNKNOWN, 1, 3),))
    assert run(3, wish(1), wish(1, complete=False))[0] == 3


def test_without_a_step_all_that_are_too_many_leave_at_once(run):
    limits = replace(LIMITS, in_window_seconds=0.0, in_step=None)
    assert run(7, wish(2), limits=limits, leaving=1) == (2, ())


def test_in_needs_every_policy_to_agree(run):
    assert run(3, wish(1), wish(3)) == (3, ())


def test_nobody_knows_is_no_reason_to_change_anything(run):
    assert run(3, UNKNOWN, UNKNOWN) == (3, (Step(Reason.NO_SIGNAL, 3, 3),))


def test_small_differences_are_tolerated(run):
    assert run(3, wish(4, low=3, high=4)) == (3, (Step(Reason.WITHIN_TOLERANCE, 4, 3),))


def test_in_waits_until_the_window_is_full_after_a_start(run):
    memory = Memory(watching_since=0.0)
    desired, steps = run(3, wish(1), memory=memory, now=29.0)
    assert (desired, steps) == (3, (Step(Reason.IN_WINDOW_FILLING, 1, 3),))
    assert run(3, wish(1), memory=memory, now=30.0)[0] == 2


def test_in_takes_the_highest_wish_of_the_window(run):
    memory = Memory(history=((5.0, 3), (20.0, 1)), watching_since=-100.0)
    assert run(3, wish(1), memory=memory, now=35.0)[1][0] == Step(Reason.IN_WINDOW, 1, 3)
    assert run(3, wish(1), memory=memory, now=35.1)[0] == 2


def test_out_takes_the_lowest_wish_of_its_window(run):
    limits = Limits(max=8, out_window_seconds=2.0)
    memory = Memory(history=((9.0, 1), (10.0, 5)), watching_since=0.0)
    assert run(1, wish(5), memory=memory, now=11.0, limits=limits)[0] == 1
    assert run(1, wish(5), memory=memory, now=11.1, limits=limits)[0] == 5


def test_each_direction_has_its_cooldown_and_in_also_waits_after_out(run):
    out = scaled(FULL, out=True, now=100.0)
    assert run(1, wish(3), memory=out, now=104.0)[1] == (Step(Reason.OUT_COOLDOWN, 3, 1),)
    assert run(1, wish(3), memory=out, now=105.0)[0] == 3
    assert run(3, wish(1), memory=out, now=109.0)[1] == (Step(Reason.IN_COOLDOWN, 1, 3),)
    inward = scaled(FULL, out=False, now=100.0)
    assert run(1, wish(3), memory=inward, now=101.0)[0] == 3
    assert run(3, wish(1), memory=inward, now=109.0)[0] == 3


def test_steps_limit_one_decision(run):
    assert run(1, wish(7)) == (5, (Step(Reason.OUT_STEP, 7, 5),))
    assert run(5, wish(1)) == (4, (Step(Reason.IN_STEP, 1, 4),))


def test_domains_on_their_way_out_use_up_the_step(run):
    assert run(4, wish(1), leaving=1) == (4, (Step(Reason.IN_STEP, 1, 4),))


def test_a_rate_limits_what_many_decisions_come_to(make):
    limits = replace(LIMITS, out_cooldown_seconds=0.0, out_rate=Rate(3, 60.0))
    memory, started = FULL, []
    for second in range(130):
        now = float(second)
        pool = make.pool(*(make.view(f"r{n}", "ready") for n in range(1 + len(started))))
        memory, result = stabilise(memory, [wish(99)], pool, limits, now)
        more = result.desired - pool.current
        if more == 0 and len(started) < 7:
            assert result.steps[-1].reason is Reason.OUT_RATE
        for _ in range(more):
            memory = scaled(memory, out=True, now=now)
            started.append(now)
    assert started == [0.0, 0.0, 0.0, 60.0, 60.0, 60.0, 120.0]


def test_a_rate_of_scaling_in_counts_what_was_drained_and_the_minimum_holds(run):
    limits = replace(LIMITS, in_cooldown_seconds=0.0, in_step=5, in_rate=Rate(2, 60.0))
    assert run(5, wish(1), limits=limits) == (3, (Step(Reason.IN_RATE, 1, 3),))
    memory = scaled(scaled(FULL, out=False, now=10.0), out=True, now=20.0)
    # Whatever else waits, one that was drained a minute ago does not count any more.
    assert run(5, wish(1), limits=limits, memory=memory, now=69.0)[0] == 4
    assert run(5, wish(1), limits=limits, memory=memory, now=70.0)[0] == 3
    spent = scaled(FULL, out=True, now=0.0, domains=9)
    narrow = replace(limits, min=4, out_cooldown_seconds=0.0, out_rate=Rate(1, 60.0))
    assert run(2, wish(9), limits=narrow, memory=spent, now=1.0)[0] == 4


def test_nothing_is_kept_that_no_rate_looks_at(make):
    memory = scaled(FULL, out=True, now=0.0)
    memory, _ = stabilise(memory, [wish(1)], make.pool(make.view("a", "ready")), LIMITS, 1.0)
    assert memory.outs == ()


def test_bounds_hold_against_everything(run):
    assert run(0, UNKNOWN) == (1, (Step(Reason.NO_SIGNAL, 0, 0), Step(Reason.MIN, 0, 1)))
    assert run(7, wish(11))[0] == 8
    assert run(9, UNKNOWN)[0] == 8


def test_history_is_no_longer_than_the_windows(make):
    memory = FULL
    pool = make.pool(make.view("a", "ready"))
    for now in range(1000):
        memory, _ = stabilise(memory, [wish(1 + now % 2)], pool, LIMITS, float(now))
    assert len(memory.history) == 31


def test_a_run_of_equal_wishes_is_remembered_once(make):
    memory = FULL
    pool = make.pool(make.view("a", "ready"))
    for now, wanted in enumerate([2, 2, 2, 1, 1, 2]):
        memory, _ = stabilise(memory, [wish(wanted)], pool, LIMITS, float(now))
    assert memory.history == ((2.0, 2), (4.0, 1), (5.0, 2))


@given(st.lists(st.integers(1, 8), min_size=1, max_size=60), st.integers(1, 8))
def test_a_window_sees_every_turn_that_lies_in_it(wishes, current):
    """Runs are remembered instead of turns; what they come to is the same."""
    limits = Limits(max=8, out_step=8, in_step=8, out_window_seconds=3.0, in_window_seconds=9.0)
    memory = Memory(watching_since=-100.0)
    domains = [DomainView(f"d{n}", DomainState.READY, Lifecycle.RUNNING) for n in range(current)]
    pool = PoolView.of(domains)
    for now, wanted in enumerate(wishes):
        memory, found = stabilise(memory, [wish(wanted)], pool, limits, float(now))
        lowest = min(wishes[max(0, now - 3) : now + 1])
        highest = max(wishes[max(0, now - 9) : now + 1])
        expected = min(current, highest) if wanted < current else max(current, lowest)
        assert found.desired == expected


def test_headroom_is_on_top_of_the_load_and_within_the_maximum(run):
    limits = Limits(max=5, out_window_seconds=0.0, headroom=Headroom(domains=2))
    load = Proposal("b", Reason.DEMAND, 2, 2, 2, is_complete=True, takes_headroom=True)
    assert run(1, load, limits=limits) == (4, (Step(Reason.HEADROOM, 2, 4),))
    assert run(4, load, limits=limits) == (4, (Step(Reason.HEADROOM, 2, 4),))
    assert run(4, wish(4), limits=limits) == (4, ())
    more = replace(load, desired=4, low=4, high=4)
    assert run(4, more, limits=limits)[0] == 5
    assert run(5, load, limits=limits)[0] == 4
