from dataclasses import replace

import pytest

from scaler.readings import Empty, Failed, Known, NotANumber, Partial, Stale
from scaler.reasons import Reason
from scaler.recommendation import (
    BacklogPolicy,
    PolicyContext,
    Proposal,
    ReferencePolicy,
    Sustained,
    cause,
    propose,
    recommend,
)

REFERENCE = ReferencePolicy(sustained_seconds=10.0, averaging_seconds=30.0)
BACKLOG = BacklogPolicy(target_ratio=0.8, tolerance_ratio=0.05)


@pytest.fixture
def ready(make):
    def pool_of(count, *others):
        return make.pool(*(make.view(f"r{n}", "ready", leases=0) for n in range(count)), *others)

    return pool_of


LONG_AGO = Sustained(0.0)


def reference(pool, reading, memory=LONG_AGO, now=100.0, changed_at=None):
    return propose(REFERENCE, {"cpu": reading}, PolicyContext(pool, changed_at, now), memory)


@pytest.mark.parametrize(
    ("count", "ratio", "wanted"),
    [
        (1, 0.81, 2),
        (1, 0.80, 1),
        (1, 0.0, 1),
        (2, 0.41, 2),
        (2, 0.39, 1),
        (3, 0.54, 3),
        (3, 0.53, 2),
        (10, 0.73, 10),
        (10, 0.71, 9),
        (10, 1.0, 11),
    ],
)
def test_reference_follows_the_rule_of_the_reference_program(ready, count, ratio, wanted):
    proposal, _ = reference(ready(count), Known(ratio, 1.0))
    assert proposal.desired == wanted
    assert proposal.is_complete


def test_reference_starts_one_when_none_is_active_whatever_it_knows(make):
    proposal, _ = reference(make.pool(make.view("a", "off")), Empty())
    assert proposal == Proposal("reference", Reason.NONE_ACTIVE, 1, 1, 1, is_complete=True)


def test_reference_waits_until_the_load_is_sustained(ready):
    proposal, memory = reference(ready(1), Known(0.9, 1.0), memory=None, now=100.0)
    assert (proposal.desired, proposal.reason) == (1, Reason.CPU_ABOVE_TARGET_NOT_SUSTAINED)
    assert memory == Sustained(100.0)
    proposal, memory = reference(ready(1), Known(0.9, 1.0), memory, now=109.9)
    assert proposal.desired == 1
    proposal, memory = reference(ready(1), Known(0.9, 1.0), memory, now=110.0)
    assert (proposal.desired, proposal.reason) == (2, Reason.CPU_ABOVE_TARGET)


def test_reference_forgets_a_load_that_ceased(ready):
    _, memory = reference(ready(1), Known(0.5, 1.0))
    assert memory is None


@pytest.mark.parametrize("state", ["starting", "booting", "silent", "draining"])
def test_reference_holds_while_domains_come_or_go(make, ready, state):
    pool = ready(2, make.view("x", state))
    proposal, _ = reference(pool, Known(1.0, 1.0))
    assert (proposal.desired, proposal.reason) == (pool.current, Reason.POOL_IN_TRANSITION)


def test_reference_does_not_act_on_the_mean_of_the_pool_as_it_was(ready):
    proposal, _ = reference(ready(2), Known(1.0, 1.0), now=100.0, changed_at=71.0)
    assert proposal.reason is Reason.POOL_IN_TRANSITION
    proposal, _ = reference(ready(2), Known(1.0, 1.0), now=101.0, changed_at=71.0)
    assert proposal.desired == 3


@pytest.mark.parametrize("reading", [Empty(), NotANumber(), Stale(20.0), Failed("x")])
def test_what_is_not_known_is_no_wish(ready, reading):
    proposal, memory = reference(ready(2), reading)
    assert proposal == Proposal("reference", Reason.SIGNAL_UNKNOWN)
    assert memory is None
    context = PolicyContext(ready(2), None, 0.0)
    proposal, _ = propose(BACKLOG, {"demand": reading, "demand_average": reading}, context, None)
    assert proposal == Proposal("backlog", Reason.SIGNAL_UNKNOWN)


def backlog(pool, present, average):
    context = PolicyContext(pool, None, 0.0)
    readings = {"demand": present, "demand_average": average}
    proposal, _ = propose(BACKLOG, readings, context, None)
    return proposal


@pytest.mark.parametrize(
    ("present", "average", "low", "desired", "high"),
    [
        (0, 0.0, 0, 0, 0),
        (1, 0.2, 1, 1, 1),
        (1, 0.8, 1, 1, 2),
        (1, 1.0, 2, 2, 2),
        (30, 3.0, 30, 30, 4),
        (2, 0.4, 2, 2, 1),
        (0, 4.0, 5, 5, 6),
        (-1, -1.0, 0, 0, 0),
    ],
)
def test_backlog_gives_each_slot_of_demand_a_slot_and_the_average_head_room(
    ready, present, average, low, desired, high
):
    proposal = backlog(ready(1), Known(present, 1.0), Known(average, 1.0))
    assert (proposal.low, proposal.desired, proposal.high) == (low, desired, high)


def test_backlog_knows_the_slots_of_the_workers(make):
    pool = make.pool(make.view("a", "ready", worker=make.worker("a", slots=4)))
    assert backlog(pool, Known(9, 1.0), Known(0, 1.0)).desired == 3


@pytest.mark.parametrize("average", [Empty(), Partial(0.1, 1.0, "half of it")])
def test_backlog_wants_more_by_half_of_what_it_needs_but_is_not_complete(ready, average):
    proposal = backlog(ready(1), Known(5, 1.0), average)
    assert proposal.desired == 5
    assert not proposal.is_complete


def recommended(pool, cpu, demand, average, policies=(REFERENCE, BACKLOG)):
    policies = (replace(policies[0], is_fallback=True), *policies[1:])
    readings = {"cpu": cpu, "demand": demand, "demand_average": average}
    memories = {"reference": LONG_AGO}
    found, _ = recommend(policies, readings, PolicyContext(pool, None, 100.0), memories)
    return found


def test_a_fallback_wishes_for_nothing_while_the_others_know(ready):
    for cpu in (Known(1.0, 1.0), Known(0.0, 1.0)):
        fallback, backlog = recommended(ready(3), cpu, Known(1.0, 1.0), Known(1.0, 1.0))
        assert fallback == Proposal("reference", Reason.STANDS_BY, 0, 0, 0, is_complete=True)
        assert backlog.high == 2
        assert cause([fallback, backlog]) is Reason.DEMAND


@pytest.mark.parametrize(
    ("demand", "average"),
    [(Empty(), Empty()), (Stale(60.0), Known(1.0, 1.0)), (Known(1.0, 1.0), Failed("refused"))],
)
def test_a_fallback_speaks_while_another_does_not_know_everything(ready, demand, average):
    fallback, backlog = recommended(ready(3), Known(1.0, 1.0), demand, average)
    assert (fallback.reason, fallback.desired) == (Reason.CPU_ABOVE_TARGET, 4)
    assert not backlog.is_complete


def test_what_a_fallback_does_not_know_still_holds_a_scale_in(ready):
    fallback, _ = recommended(ready(3), Empty(), Known(1.0, 1.0), Known(1.0, 1.0))
    assert (fallback.desired, fallback.is_complete) == (None, False)
    partial = Partial(0.5, 1.0, "1 of 2")
    fallback, _ = recommended(ready(3), partial, Known(1.0, 1.0), Known(1.0, 1.0))
    assert (fallback.desired, fallback.is_complete) == (0, False)


def test_a_fallback_of_nobody_is_a_policy_like_any_other(ready):
    (alone,) = recommended(ready(3), Known(1.0, 1.0), Empty(), Empty(), policies=(REFERENCE,))
    assert alone.desired == 4


def test_of_wishes_for_nothing_the_one_that_knows_the_load_is_the_cause():
    idle = Proposal("reference", Reason.STANDS_BY, 0, 0, 0, is_complete=True)
    none = Proposal("backlog", Reason.DEMAND, 0, 0, 0, is_complete=True)
    assert cause([idle, none]) is cause([none, idle]) is Reason.DEMAND
