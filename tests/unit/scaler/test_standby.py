"""Which standby domain wakes, where spare ones go, when one is made anew."""

import pytest

from scaler.host_room import Budget
from scaler.planner import Permissions, plan
from scaler.pool import ActionKind, DomainState, Lifecycle
from scaler.reasons import Reason
from scaler.rollout import NO_ROLLOUT, Rollout
from scaler.standby import StandbyPolicy
from scaler.tracking import Timing

PREPARE, SUSPEND, SAVE = ActionKind.PREPARE, ActionKind.SUSPEND, ActionKind.SAVE
RESUME, RESTORE, DISCARD = ActionKind.RESUME, ActionKind.RESTORE, ActionKind.DISCARD
START, DESTROY = ActionKind.START, ActionKind.DESTROY
ROOMY = Budget(1 << 40, 1 << 40)
MIB = 1 << 20
ONE_PAUSED = StandbyPolicy(paused=1)


@pytest.fixture
def planned(make):
    def planned(*views, desired, policy=ONE_PAUSED, now=100.0, rollout=NO_ROLLOUT, **permissions):
        permissions = {"ceiling": 4, "budget": ROOMY, **permissions}
        given = Permissions(standby=policy, **permissions)
        return plan(make.pool(*views), desired, given, Timing(), now, rollout)

    return planned


def acts(result):
    return [(one.kind, one.domain, one.reason) for one in result.actions]


def kinds(result):
    return [(one.kind, one.domain) for one in result.actions]


@pytest.fixture
def paused(make):
    def paused(name, since=10.0, **fields):
        fields = {"operation": make.operation("suspend", since), **fields}
        return make.view(name, "standby_paused", lifecycle=Lifecycle.PAUSED, **fields)

    return paused


@pytest.fixture
def saved(make):
    def saved(name, since=10.0, **fields):
        fields = {"operation": make.operation("save", since), **fields}
        return make.view(name, "standby_saved", lifecycle=Lifecycle.OFF, **fields)

    return saved


def test_the_fastest_tier_wakes_first(make, planned, paused, saved):
    views = [make.view("a", "ready"), make.view("b", "off"), saved("c"), paused("d")]
    policy = StandbyPolicy(paused=1, saved=1)
    assert kinds(planned(*views, desired=2, policy=policy)) == [(RESUME, "d")]
    assert kinds(planned(*views, desired=3, policy=policy)) == [(RESUME, "d"), (RESTORE, "c")]
    assert kinds(planned(*views, desired=4, policy=policy)) == [
        (RESUME, "d"),
        (RESTORE, "c"),
        (START, "b"),
    ]


def test_the_oldest_of_a_tier_wakes_first(make, planned, paused):
    views = [make.view("a", "ready"), paused("b", since=50.0), paused("c", since=20.0)]
    assert kinds(planned(*views, desired=2, policy=StandbyPolicy(paused=2))) == [(RESUME, "c")]


def test_a_paused_domain_needs_no_room_and_a_saved_one_does(make, planned, paused, saved):
    full = [make.view("a", "ready"), make.view("b", "booting"), paused("c")]
    assert (RESUME, "c") in kinds(planned(*full, desired=3, ceiling=3))
    full = [make.view("a", "ready"), make.view("b", "booting"), saved("c")]
    result = planned(*full, desired=3, ceiling=2, policy=StandbyPolicy(saved=1))
    assert (RESTORE, "c") not in kinds(result)


def test_a_restore_needs_the_hosts_memory_and_a_resume_does_not(make, planned, paused, saved):
    little = Budget(10 * MIB, None)
    views = [make.view("a", "ready"), saved("b", memory_bytes=64 * MIB)]
    result = planned(*views, desired=2, budget=little, policy=StandbyPolicy(saved=1))
    assert not result.actions
    assert Reason.HOST_MEMORY in result.reasons
    views = [make.view("a", "ready"), paused("b", memory_bytes=64 * MIB)]
    assert kinds(planned(*views, desired=2, budget=little)) == [(RESUME, "b")]


def test_a_cold_start_needs_the_hosts_memory(make, planned):
    views = [make.view(name, "off", memory_bytes=64 * MIB) for name in "ab"]
    result = planned(*views, desired=2, budget=Budget(100 * MIB, None))
    assert kinds(result) == [(START, "a")]
    assert result.reasons == (Reason.HOST_MEMORY,)


def test_a_domain_that_boots_for_standby_serves_when_it_is_needed(make, planned):
    booting = make.view("b", "preparing", operation=make.operation("prepare", 90.0))
    views = [make.view("a", "ready"), booting, make.view("c", "off")]
    assert kinds(planned(*views, desired=2)) == [(START, "b")]
    booted = make.view(
        "b", "preparing", operation=make.operation("prepare", 90.0), worker_state="cordoned"
    )
    views = [make.view("a", "ready"), booted, make.view("c", "off")]
    assert kinds(planned(*views, desired=2)) == [(ActionKind.CANCEL_DRAIN, "b")]


def test_refills_when_the_pool_is_steady(make, planned):
    views = [make.view("a", "ready"), make.view("b", "off"), make.view("c", "off")]
    assert acts(planned(*views, desired=1)) == [(PREPARE, "b", Reason.STANDBY_REFILL)]
    assert not planned(*views, desired=1, policy=StandbyPolicy()).actions


@pytest.mark.parametrize(
    "state", ["starting", "booting", "waking", "draining", "preparing", "suspending", "saving"]
)
def test_no_refill_while_something_goes_on(make, planned, state):
    busy = make.view("b", state, in_flight=ActionKind.SETTLE)
    views = [make.view("a", "ready"), busy, make.view("c", "off")]
    desired = 2 if state in ("starting", "booting", "waking") else 1
    assert not planned(*views, desired=desired).actions


def test_no_refill_before_its_time_nor_while_boots_fail(make, planned):
    views = [make.view("a", "ready"), make.view("b", "off")]
    result = planned(*views, desired=1, refill_at=130.0)
    assert (result.actions, result.wake_at) == ((), 130.0)
    assert not planned(*views, desired=1, starts=0).actions
    # The back-off is over: the refill is the probe.
    assert acts(planned(*views, desired=1, starts=1)) == [("prepare", "b", "standby_refill")]
    assert not planned(*views, desired=1, fleet_known=False).actions


def test_no_refill_above_the_ceiling(make, planned):
    views = [make.view("a", "ready"), make.view("b", "off")]
    assert not planned(*views, desired=1, ceiling=1).actions


def test_what_a_tier_lacks_is_told_whatever_stands_in_the_way_but_not_above_the_ceiling(
    make, planned, paused
):
    views = [make.view("a", "ready"), make.view("b", "off"), make.view("c", "off")]
    policy = StandbyPolicy(paused=2, saved=1)
    assert planned(*views, desired=1, policy=policy).missing_standby == (2, 0)
    assert planned(*views, desired=1, policy=policy, starts=0).missing_standby == (2, 0)
    assert planned(*views, desired=1, policy=policy, ceiling=2).missing_standby == (1, 1)
    assert planned(*views, desired=1, policy=policy, ceiling=1).missing_standby == (0, 1)
    full = [make.view("a", "ready"), paused("b"), make.view("c", "ready")]
    assert planned(*full, desired=2).missing_standby == (0, 0)


def test_a_refill_needs_memory_that_is_known_to_be_there(make, planned):
    views = [make.view("a", "ready"), make.view("b", "off", memory_bytes=64 * MIB)]
    for budget in (Budget(10 * MIB, None), Budget()):
        result = planned(*views, desired=1, budget=budget)
        assert (result.actions, result.reasons) == ((), (Reason.HOST_MEMORY,))


def test_a_saved_refill_needs_disk_that_is_known_to_be_there(make, planned):
    views = [make.view("a", "ready"), make.view("b", "off", memory_bytes=64 * MIB)]
    policy = StandbyPolicy(saved=1)
    for budget in (Budget(1 << 40, 10 * MIB), Budget(1 << 40, None)):
        result = planned(*views, desired=1, budget=budget, policy=policy)
        assert (result.actions, result.reasons) == ((), (Reason.HOST_DISK,))
    assert kinds(planned(*views, desired=1, policy=policy)) == [(PREPARE, "b")]


def test_what_is_prepared_takes_the_fastest_free_place(make, planned, paused):
    def booted(name):
        return make.view(
            name, "preparing", operation=make.operation("prepare"), worker_state="cordoned"
        )

    views = [make.view("a", "ready"), booted("b"), booted("c"), booted("d")]
    policy = StandbyPolicy(paused=1, saved=1)
    assert acts(planned(*views, desired=1, policy=policy)) == [
        (SUSPEND, "b", Reason.STANDBY_READY),
        (SAVE, "c", Reason.STANDBY_READY),
        (ActionKind.DRAIN, "d", Reason.CORDONED_SURPLUS),
    ]


def test_a_prepared_worker_with_leases_is_not_frozen(make, planned):
    busy = make.view(
        "b", "preparing", operation=make.operation("prepare"), worker_state="cordoned", leases=1
    )
    assert not planned(make.view("a", "ready"), busy, desired=1).actions


def test_a_drained_domain_waits_instead_of_shutting_down(make, planned):
    drained = make.view(
        "b", "draining", operation=make.operation("drain", 90.0), worker_state="cordoned"
    )
    views = [make.view("a", "ready"), drained]
    assert acts(planned(*views, desired=1)) == [(SUSPEND, "b", Reason.STANDBY_KEPT)]
    result = planned(*views, desired=1, policy=StandbyPolicy())
    assert acts(result) == [(ActionKind.SHUTDOWN, "b", Reason.DRAINED)]


@pytest.mark.parametrize(("state", "kind"), [("suspending", SUSPEND), ("saving", SAVE)])
def test_freezing_goes_on_after_a_restart(make, planned, state, kind):
    views = [make.view("a", "ready"), make.view("b", state)]
    result = planned(*views, desired=1)
    assert acts(result) == [(kind, "b", Reason.STANDBY_RESUMED)]
    assert result.actions[0].is_repeated
    assert not planned(*views, desired=1, fleet_known=False).actions


def test_gives_up_what_failed_to_wake_and_takes_the_next(make, planned, paused, saved):
    views = [make.view("a", "ready"), paused("b", failures=1), paused("c", since=50.0)]
    result = planned(*views, desired=2, policy=StandbyPolicy(paused=2))
    assert acts(result) == [
        (RESUME, "c", Reason.SCALE_OUT),
        (DESTROY, "b", Reason.WAKE_FAILED),
    ]
    result = planned(
        make.view("a", "ready"), saved("b", failures=1), desired=1, policy=StandbyPolicy(saved=1)
    )
    assert acts(result) == [(DISCARD, "b", Reason.WAKE_FAILED)]


def test_gives_up_surplus_and_outdated_ones(make, planned, paused, saved):
    views = [make.view("a", "ready"), paused("b", since=10.0), paused("c", since=20.0)]
    assert acts(planned(*views, desired=1)) == [(DESTROY, "b", Reason.STANDBY_SURPLUS)]
    views = [make.view("a", "ready"), paused("b", generation="old"), saved("c", generation="old")]
    policy = StandbyPolicy(paused=1, saved=1, generation="new")
    assert acts(planned(*views, desired=1, policy=policy)) == [
        (DESTROY, "b", Reason.STANDBY_OUTDATED),
        (DISCARD, "c", Reason.STANDBY_OUTDATED),
    ]
    # Not even when capacity is missing: it would serve with what was to be replaced.
    assert RESUME not in [one.kind for one in planned(*views, desired=2, policy=policy).actions]


def test_makes_old_ones_anew_one_at_a_time(make, planned, paused):
    policy = StandbyPolicy(paused=2, max_age_seconds=50.0)
    views = [make.view("a", "ready"), paused("b", since=20.0), paused("c", since=10.0)]
    result = planned(*views, desired=1, policy=policy)
    assert acts(result) == [(DESTROY, "c", Reason.STANDBY_TOO_OLD)]


def test_a_domain_that_somebody_else_paused_is_left_alone(make, planned):
    theirs = make.view("b", "paused", lifecycle=Lifecycle.PAUSED)
    views = [make.view("a", "ready"), theirs, make.view("c", "off")]
    assert kinds(planned(*views, desired=2, policy=StandbyPolicy())) == [(START, "c")]


def test_saved_domains_do_not_count_for_the_ceiling(make):
    pool = make.pool(make.view("a", "standby_saved"), make.view("b", "standby_paused"))
    assert (pool.active, pool.current) == (1, 0)
    assert pool.counts[DomainState.STANDBY_SAVED] == 1


OF_THE_OLD_IMAGE = {"generation": "old", "defined_generation": "new"}


def test_gives_up_what_waits_with_another_image_than_is_defined(make, planned, paused, saved):
    policy = StandbyPolicy(paused=1, saved=1)
    views = [make.view("a", "ready"), paused("b", **OF_THE_OLD_IMAGE)]
    views.append(saved("c", **OF_THE_OLD_IMAGE))
    assert acts(planned(*views, desired=1, policy=policy)) == [
        (DESTROY, "b", Reason.STANDBY_OUTDATED),
        (DISCARD, "c", Reason.STANDBY_OUTDATED),
    ]
    # The image does not boot: what waits with the one before it is all there is.
    given_up = Rollout(avoided=frozenset({"new"}))
    off = make.view("d", "off", generation="new", defined_generation="new")
    result = planned(*views, off, desired=1, policy=policy, rollout=given_up)
    assert acts(result) == []
    result = planned(*views[:1], off, desired=1, policy=policy, rollout=given_up)
    assert acts(result) == []


def test_a_drained_domain_of_an_old_image_takes_no_place(make, planned):
    drained = make.view(
        "b",
        "draining",
        operation=make.operation("drain", 90.0),
        worker_state="cordoned",
        **OF_THE_OLD_IMAGE,
    )
    result = planned(make.view("a", "ready"), drained, desired=1)
    assert acts(result) == [(ActionKind.SHUTDOWN, "b", Reason.DRAINED)]


def test_nothing_that_waits_is_woken_to_replace(make, planned, paused):
    views = [make.view("a", "ready"), paused("b"), make.view("c", "off")]
    result = planned(*views, desired=1, rollout=Rollout(surge=1))
    assert acts(result) == [(START, "c", Reason.ROLLOUT_SURGE)]


def test_a_start_in_doubt_keeps_its_place_and_is_asked_again(make, planned, saved):
    doubtful = make.view(
        "c", "off", operation=make.operation("prepare", 90.0), is_start_doubtful=True
    )
    views = [make.view("a", "ready"), saved("b"), doubtful]
    policy = StandbyPolicy(saved=1)
    assert kinds(planned(*views, desired=2, ceiling=2, policy=policy)) == [(START, "c")]
    assert kinds(planned(*views, desired=2, ceiling=3, policy=policy)) == [(RESTORE, "b")]
    result = planned(*views[::2], make.view("b", "off"), desired=1)
    assert kinds(result) == [(PREPARE, "c")]


def test_while_wakes_fail_cold_starts_come_first_and_wakes_for_the_rest(make, planned, paused):
    policy = StandbyPolicy(paused=2)
    views = [make.view("a", "ready"), paused("b"), paused("c"), make.view("d", "off")]
    result = planned(*views, desired=2, policy=policy, wakes=0)
    assert (kinds(result), result.reasons) == ([(START, "d")], (Reason.WAKES_FAILED,))
    # Paused domains hold the place that a cold one would need.
    result = planned(*views, desired=2, policy=policy, wakes=0, ceiling=3)
    assert kinds(result) == [(RESUME, "b")]
    result = planned(*views, desired=3, policy=policy, wakes=0, starts=0)
    assert kinds(result) == [(RESUME, "b"), (RESUME, "c")]


def test_after_the_back_off_one_wake_is_tried(make, planned, paused):
    policy = StandbyPolicy(paused=2)
    views = [make.view("a", "ready"), paused("b"), paused("c"), make.view("d", "off")]
    result = planned(*views, desired=3, policy=policy, wakes=1)
    assert kinds(result) == [(RESUME, "b"), (START, "d")]
    assert kinds(planned(*views, desired=2, policy=policy, wakes=1)) == [(RESUME, "b")]


def test_a_saved_domain_woken_last_needs_room_and_memory_that_cold_starts_left(
    make, planned, saved
):
    off = make.view("d", "off", memory_bytes=64 * MIB)
    views = [make.view("a", "ready"), saved("b", memory_bytes=64 * MIB), off]
    policy = StandbyPolicy(saved=1)
    result = planned(*views, desired=3, policy=policy, wakes=0)
    assert kinds(result) == [(START, "d"), (RESTORE, "b")]
    for less in ({"ceiling": 2}, {"budget": Budget(100 * MIB, None)}):
        result = planned(*views, desired=3, policy=policy, wakes=0, **less)
        assert kinds(result) == [(START, "d")]


def test_what_cannot_be_woken_is_not_prepared_and_one_is_enough_to_try(make, planned, paused):
    views = [make.view("a", "ready"), make.view("c", "off")]
    policy = StandbyPolicy(paused=2)
    result = planned(*views, desired=1, policy=policy, wakes=0, wakes_until=130.0)
    assert (result.actions, result.reasons) == ((), (Reason.WAKES_FAILED,))
    assert result.wake_at == 130.0
    assert kinds(planned(*views, desired=1, policy=policy, wakes=1)) == [(PREPARE, "c")]
    views = [*views, paused("b")]
    assert not planned(*views, desired=1, policy=policy, wakes=1).actions
    assert kinds(planned(*views, desired=1, policy=policy)) == [(PREPARE, "c")]
