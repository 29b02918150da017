"""With a goal for the wait. Without one: see test_recommendation."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaler.policies.backlog import BacklogPolicy
from scaler.policies.proposal import PolicyContext
from scaler.pool import DomainState, DomainView, Lifecycle, PoolView, WorkerRecord, WorkerState
from scaler.readings import Empty, Failed, Known, Stale
from scaler.reasons import Reason

POLICY = BacklogPolicy(goal_seconds=10.0, signal_prefix="jobs.", name="jobs")


def pool_of(*sizes):
    return PoolView.of(
        [
            DomainView(
                f"d{number}",
                DomainState.READY,
                Lifecycle.RUNNING,
                worker=WorkerRecord(f"d{number}", WorkerState.READY, slots=size),
            )
            for number, size in enumerate(sizes)
        ]
    )


def known(value):
    return Known(float(value), 1.0) if isinstance(value, int | float) else value


def ask(waiting, busy, average, service, policy=POLICY, pool=None):
    values = (waiting, busy, average, service)
    readings = dict(zip(policy.signals, map(known, values), strict=True))
    context = PolicyContext(pool or pool_of(), None, 0.0)
    proposal, memory = policy.propose(readings, context, None)
    assert memory is None
    return proposal


@pytest.mark.parametrize(
    ("waiting", "busy", "average", "service", "low", "desired", "high"),
    [
        # 100 jobs of a second: ten slots empty the queue in ten seconds, beside those at work.
        (100, 2, 2.0, 1.0, 12, 12, 3),
        # Longer than the goal: a slot for each.
        (3, 1, 1.0, 60.0, 4, 4, 3),
        (0, 0, 0.0, 1.0, 0, 0, 0),
        # Nothing waits: only utilisation (4 / 0.8) and the goal count.
        (0, 4, 4.0, 1.0, 5, 5, 6),
        # Jobs six times the goal: 4 busy slots need 6, of which 8.5 s of mean wait come.
        (0, 4, 4.0, 60.0, 6, 6, 6),
        (-1, -1, -1.0, -1.0, 0, 0, 0),
    ],
)
def test_worked_examples(waiting, busy, average, service, low, desired, high):
    proposal = ask(waiting, busy, average, service)
    assert (proposal.low, proposal.desired, proposal.high) == (low, desired, high)
    assert proposal.reason is Reason.WAIT_GOAL
    assert proposal.is_complete


def test_a_longer_goal_needs_fewer():
    patient = BacklogPolicy(goal_seconds=100.0)
    assert ask(100, 2, 2.0, 1.0, patient).desired == 3


def test_an_idle_pool_has_no_service_time_and_may_shrink():
    proposal = ask(0, 0, 0.0, Empty())
    assert proposal.is_complete
    assert proposal.desired == 0


@pytest.mark.parametrize("service", [Empty(), Stale(20.0), Failed("x")])
def test_jobs_of_unknown_length_get_a_slot_each_and_nothing_shrinks(service):
    proposal = ask(7, 1, 1.0, service)
    assert proposal.desired == 8
    assert not proposal.is_complete


def test_what_is_not_known_is_no_wish():
    proposal = ask(Empty(), Empty(), Empty(), Known(1.0, 1.0))
    assert proposal.desired is None


def test_the_smallest_domains_are_counted_first():
    plain = BacklogPolicy(goal_seconds=10.0, target_ratio=1.0, tolerance_ratio=0.0)
    mixed = pool_of(4, 1, 1)
    assert ask(0, 2, 2.0, 0.0, plain, mixed).high == 3
    assert ask(0, 6, 5.5, 0.0, plain, mixed).desired == 3
    assert ask(0, 7, 5.5, 0.0, plain, mixed).desired == 4


amounts = st.floats(0, 100)


@settings(deadline=None)
@given(amounts, amounts, amounts, amounts, st.tuples(amounts, amounts, amounts, amounts))
def test_more_load_never_wishes_for_fewer(waiting, busy, average, service, more):
    before = (waiting, busy, average, service)
    lower = ask(*before)
    higher = ask(*(one + extra for one, extra in zip(before, more, strict=True)))
    assert higher.desired >= lower.desired
    assert higher.low >= lower.low
    assert higher.high >= lower.high
    assert lower == ask(*before)
