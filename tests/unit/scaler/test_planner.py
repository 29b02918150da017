"""Scenarios that compare whole plans."""

from dataclasses import replace

import pytest

from scaler.planner import Action, Permissions, Plan, plan
from scaler.pool import ActionKind, Lifecycle
from scaler.reasons import Reason
from scaler.rollout import Rollout
from scaler.tracking import Timing

TIMING = Timing(drain_deadline_seconds=60.0)
FREE = Permissions(ceiling=4)
START, DRAIN, CANCEL = ActionKind.START, ActionKind.DRAIN, ActionKind.CANCEL_DRAIN
SHUTDOWN, DESTROY, SETTLE = ActionKind.SHUTDOWN, ActionKind.DESTROY, ActionKind.SETTLE


@pytest.fixture
def planned(make):
    def planned(*views, desired, now=100.0, permissions=FREE, rollout=Rollout()):  # noqa: B008
        return plan(make.pool(*views), desired, permissions, TIMING, now, rollout)

    return planned


def acts(result):
    return [(one.kind, one.domain, one.reason) for one in result.actions]


def test_nothing_to_do_is_an_empty_plan(make, planned):
    assert planned(make.view("a", "ready"), make.view("b", "off"), desired=1) == Plan()


def test_starts_what_is_missing_by_name(make, planned):
    off = [make.view(name, "off") for name in "cab"]
    assert planned(*off, desired=2) == Plan(
        (Action(START, "a", Reason.SCALE_OUT), Action(START, "b", Reason.SCALE_OUT))
    )


def test_starts_domains_that_failed_before_last(make, planned):
    result = planned(make.view("a", "off", failures=1), make.view("b", "off"), desired=1)
    assert acts(result) == [(START, "b", Reason.SCALE_OUT)]


@pytest.mark.parametrize("state", ["starting", "booting", "silent"])
def test_domains_on_their_way_up_count(make, planned, state):
    assert not planned(make.view("a", state), make.view("b", "off"), desired=1).actions


@pytest.mark.parametrize("state", ["draining", "shutting_down", "failed", "paused", "cordoned"])
def test_the_ceiling_counts_every_state(make, planned, state):
    busy = make.view("a", state, in_flight=ActionKind.SETTLE)
    views = [busy, *(make.view(name, "ready") for name in "bcd"), make.view("e", "off")]
    result = planned(*views, desired=4)
    assert not [one for one in result.actions if one.kind is START]
    assert result.reasons[0] in (Reason.CEILING, Reason.DOMAINS_LEAVING)


def test_says_when_no_domain_is_left(make, planned):
    result = planned(make.view("a", "ready"), desired=2)
    assert result == Plan(reasons=(Reason.NO_DOMAIN_LEFT,))


def test_an_open_breaker_lets_nothing_start_and_says_until_when(make, planned):
    permissions = Permissions(
        ceiling=4, starts=0, breaker_reason=Reason.BREAKER_OPEN, breaker_until=130.0
    )
    result = planned(make.view("a", "off"), desired=1, permissions=permissions)
    assert result == Plan((), 130.0, (Reason.BREAKER_OPEN,))


def test_wins_back_drains_before_it_starts(make, planned):
    result = planned(
        make.view("a", "draining", leases=0, worker_state="draining", in_flight=DRAIN),
        make.view("b", "draining", leases=2, worker_state="draining", in_flight=DRAIN),
        make.view("c", "cordoned", leases=1, worker_state="cordoned"),
        make.view("d", "off"),
        desired=2,
    )
    assert acts(result) == [
        (CANCEL, "b", Reason.DEMAND_RETURNED),
        (CANCEL, "c", Reason.CORDONED_NEEDED),
    ]


def test_what_shuts_down_cannot_be_won_back(make, planned):
    views = [
        make.view("a", "shutting_down", operation=make.operation("shutdown", 99.0)),
        make.view("b", "off"),
    ]
    result = planned(*views, desired=1)
    assert (START, "b", Reason.SCALE_OUT) in acts(result)


def test_drains_the_idlest_then_the_youngest_lease_then_by_name(make, planned):
    views = [
        make.view("a", "ready", leases=2),
        make.view("b", "ready", leases=1, oldest=10.0),
        make.view("c", "ready", leases=1, oldest=90.0),
        make.view("d", "ready", leases=1, oldest=90.0),
    ]
    result = planned(*views, desired=2)
    assert result.actions == (
        Action(DRAIN, "c", Reason.SCALE_IN, deadline_seconds=60.0, max_leases=2),
        Action(DRAIN, "d", Reason.SCALE_IN, deadline_seconds=60.0, max_leases=2),
    )


def test_never_drains_a_ready_domain_for_one_that_still_boots(make, planned):
    views = [make.view("a", "ready", leases=0), make.view("b", "booting")]
    assert not planned(*views, desired=1).actions


def test_without_the_dispatcher_nothing_is_drained_or_cut_off(make, planned):
    blind = Permissions(ceiling=4, fleet_known=False)
    views = [
        make.view("a", "ready", leases=0),
        make.view("b", "ready", leases=0),
        make.view(
            "c",
            "draining",
            leases=0,
            worker_state="cordoned",
            operation=make.operation("drain", 0.0),
        ),
    ]
    result = planned(*views, desired=1, permissions=blind)
    assert result == Plan(reasons=(Reason.FLEET_UNKNOWN,))


@pytest.mark.parametrize(
    ("leases", "state", "since", "expected"),
    [
        (0, "cordoned", 90.0, (SHUTDOWN, "a", Reason.DRAINED)),
        (0, "draining", 90.0, (SHUTDOWN, "a", Reason.DRAINED)),
        (0, "ready", 90.0, (DRAIN, "a", Reason.DRAIN_RESUMED)),
        (2, "cordoned", 90.0, (DRAIN, "a", Reason.DRAIN_RESUMED)),
        (2, "draining", 40.0, (SHUTDOWN, "a", Reason.DRAIN_DEADLINE)),
    ],
)
def test_a_drain_without_a_call_in_flight_goes_on(make, planned, leases, state, since, expected):
    domain = make.view(
        "a",
        "draining",
        leases=leases,
        worker_state=state,
        operation=make.operation("drain", since),
    )
    assert acts(planned(domain, make.view("b", "ready"), desired=1)) == [expected]


def test_a_resumed_drain_has_the_rest_of_its_time(make, planned):
    domain = make.view(
        "a",
        "draining",
        leases=1,
        worker_state="cordoned",
        operation=make.operation("drain", 75.0),
    )
    (action,) = planned(domain, make.view("b", "ready"), desired=1).actions
    assert action == Action(
        DRAIN, "a", Reason.DRAIN_RESUMED, deadline_seconds=35.0, is_repeated=True
    )


def test_a_draining_worker_that_left_is_waited_for_a_little(make, planned):
    operation = make.operation("drain", 50.0)
    domain = make.view("a", "draining", operation=operation, silent_since=90.0)
    others = make.view("b", "ready")
    assert planned(domain, others, desired=1, now=100.0) == Plan((), 105.0)
    result = planned(domain, others, desired=1, now=105.0)
    assert acts(result) == [(SHUTDOWN, "a", Reason.WORKER_GONE)]


@pytest.mark.parametrize(
    ("now", "sent_at", "expected"),
    [
        (100.0, None, (SHUTDOWN, Reason.SHUTDOWN_RESENT)),
        (104.0, 100.0, None),
        (110.0, 100.0, (SHUTDOWN, Reason.SHUTDOWN_RESENT)),
        (125.0, 120.0, (DESTROY, Reason.SHUTDOWN_DEADLINE)),
    ],
)
def test_the_power_button_is_pressed_again_and_then_the_power_cut(
    make, planned, now, sent_at, expected
):
    domain = make.view(
        "a",
        "shutting_down",
        operation=make.operation("shutdown", 95.0),
        shutdown_sent_at=sent_at,
    )
    result = planned(domain, make.view("b", "ready"), desired=1, now=now)
    assert [(one.kind, one.reason) for one in result.actions] == (
        [] if expected is None else [expected]
    )


def test_someone_elses_shutdown_is_theirs(make, planned):
    domain = make.view("a", "shutting_down", lifecycle=Lifecycle.STOPPING)
    assert planned(domain, make.view("b", "ready"), desired=1) == Plan()


def test_failed_domains_are_destroyed_and_replaced(make, planned):
    domain = make.view("a", "failed", operation=make.operation("start", 0.0))
    result = planned(domain, make.view("b", "off"), desired=1)
    assert acts(result) == [
        (START, "b", Reason.SCALE_OUT),
        (DESTROY, "a", Reason.BOOT_DEADLINE),
    ]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [({}, Reason.WORKER_SILENT), ({"lifecycle": Lifecycle.CRASHED}, Reason.GUEST_CRASHED)],
)
def test_destroying_says_why(make, planned, fields, reason):
    result = planned(make.view("a", "failed", **fields), desired=0)
    assert acts(result) == [(DESTROY, "a", reason)]


@pytest.mark.parametrize(
    ("state", "kind", "lifts"),
    [("ready", "start", False), ("off", "start", False), ("off", "shutdown", True)],
)
def test_an_operation_that_is_over_is_settled(make, planned, state, kind, lifts):
    domain = make.view("a", state, operation=make.operation(kind))
    (action,) = planned(domain, desired=1 if state == "ready" else 0).actions
    assert (action.kind, action.lifts_cordon) == (SETTLE, lifts)


def test_a_domain_with_a_cordon_left_is_settled_before_it_starts(make, planned):
    domain = make.view("a", "off", operation=make.operation("destroy"))
    assert acts(planned(domain, desired=1)) == [(SETTLE, "a", Reason.OFF_REACHED)]
    blind = Permissions(ceiling=4, fleet_known=False)
    assert acts(planned(domain, desired=1, permissions=blind)) == [(START, "a", Reason.SCALE_OUT)]


def test_a_cordon_that_nobody_drains_is_drained_unless_a_signal_is_unknown(make, planned):
    views = [
        make.view("a", "cordoned", leases=1, worker_state="cordoned"),
        make.view("b", "ready"),
    ]
    assert acts(planned(*views, desired=1)) == [(DRAIN, "a", Reason.CORDONED_SURPLUS)]
    unsure = Permissions(ceiling=4, may_drain_cordoned=False)
    assert not planned(*views, desired=1, permissions=unsure).actions


@pytest.mark.parametrize("kind", [START, DRAIN, SHUTDOWN, DESTROY, SETTLE])
def test_one_action_per_domain_at_a_time(make, planned, kind):
    domain = make.view("a", "failed", in_flight=kind)
    assert not planned(domain, desired=0).actions


def test_a_rollout_starts_one_more_than_is_desired(make, planned):
    views = [make.view("a", "ready"), make.view("b", "off"), make.view("c", "off")]
    result = planned(*views, desired=1, rollout=Rollout(surge=1, outdated=frozenset("a")))
    assert acts(result) == [(START, "b", Reason.ROLLOUT_SURGE)]


def test_a_rollout_keeps_below_the_ceiling(make, planned):
    views = [make.view("a", "ready"), make.view("b", "off")]
    result = planned(
        *views,
        desired=1,
        permissions=Permissions(ceiling=1),
        rollout=Rollout(surge=1, outdated=frozenset("a")),
    )
    assert not result.actions


def test_outdated_domains_are_the_first_to_go(make, planned):
    views = [
        make.view("a", "ready", leases=0),
        make.view("b", "ready", leases=3),
        make.view("c", "ready", leases=1),
    ]
    result = planned(*views, desired=1, rollout=Rollout(surge=1, outdated=frozenset("b")))
    assert acts(result) == [
        (DRAIN, "b", Reason.ROLLOUT_REPLACES),
        (DRAIN, "a", Reason.SCALE_IN),
    ]
    # Chosen among others, it may have become busy meanwhile.
    assert result.actions[0].max_leases == 4


def test_what_is_let_go_is_not_won_back(make, planned):
    leaving = make.view("a", "draining", leases=1, worker_state="draining", in_flight=DRAIN)
    result = planned(leaving, make.view("b", "off"), desired=1, rollout=Rollout(let_go={"a"}))
    assert acts(result) == [(START, "b", Reason.SCALE_OUT)]


def test_images_given_up_are_started_last(make, planned):
    views = [
        make.view("a", "off", defined_generation="bad"),
        make.view("b", "off", defined_generation="good", failures=1),
    ]
    rollout = Rollout(avoided=frozenset({"bad"}), reason=Reason.ROLLOUT_GIVEN_UP)
    result = planned(*views, desired=1, rollout=rollout)
    assert acts(result) == [(START, "b", Reason.SCALE_OUT)]
    assert result.reasons == (Reason.ROLLOUT_GIVEN_UP,)


def test_definitions_are_put_back(make, planned):
    result = planned(make.view("a", "off"), desired=0, rollout=Rollout(rolled_back=("a",)))
    assert acts(result) == [(ActionKind.ROLL_BACK, "a", Reason.GENERATION_GIVEN_UP)]


@pytest.mark.parametrize(
    ("runs", "defined", "kept", "is_kept"),
    [("n", "n", "", True), ("n", "n", "o", True), ("n", "n", "n", False), ("o", "n", "", False)],
)
def test_a_definition_that_works_is_kept(make, planned, runs, defined, kept, is_kept):
    proved = make.view(
        "a", "ready", generation=runs, defined_generation=defined, kept_generation=kept
    )
    kinds = [one.kind for one in planned(proved, desired=1).actions]
    assert kinds == ([ActionKind.KEEP_DEFINITION] if is_kept else [])


def test_a_start_that_may_still_be_carried_out_is_asked_again_before_another(make, planned):
    """Else both would run in the end, and the pool would have more domains than its maximum."""
    doubtful = make.view("b", "off", operation=make.operation("start", 90.0), failures=1)
    doubtful = replace(doubtful, is_start_doubtful=True)
    result = planned(make.view("a", "off"), doubtful, desired=1)
    assert acts(result) == [(START, "b", Reason.SCALE_OUT)]
    assert planned(make.view("a", "off"), doubtful, desired=0) == Plan()


@pytest.mark.parametrize("desired", [0, 1, 3])
def test_another_scalers_domains_get_no_action_and_count_for_the_ceiling(make, planned, desired):
    theirs = [
        make.view(f"q{kind}", "quarantined", operation=make.operation(kind), leases=0)
        for kind in ("start", "drain", "shutdown", "suspend", "destroy")
    ]
    views = [*theirs, make.view("r", "quarantined_off", operation=make.operation("start"))]
    assert not planned(*views, make.view("a", "off"), desired=desired).actions
    result = planned(*views[-2:], make.view("a", "off"), desired=3)
    assert acts(result) == [(START, "a", Reason.SCALE_OUT)]
    assert result.reasons == (Reason.QUARANTINED,)


def test_domains_that_nobody_has_claimed_are_claimed_running_ones_first(make, planned):
    views = [make.view(f"o{number:02}", "off", is_unclaimed=True) for number in range(20)]
    views += [make.view("r", "ready", is_unclaimed=True), make.view("s", "ready")]
    result = planned(*views, desired=2)
    assert {one[::2] for one in acts(result)} == {(ActionKind.CLAIM, Reason.UNCLAIMED)}
    assert [one.domain for one in result.actions] == ["r", *(f"o{n:02}" for n in range(15))]


def test_what_is_done_anyway_claims_by_itself(make, planned):
    views = [make.view("a", "off", is_unclaimed=True), make.view("b", "off", is_unclaimed=True)]
    result = planned(*views, desired=1)
    assert acts(result) == [
        (START, "a", Reason.SCALE_OUT),
        (ActionKind.CLAIM, "b", Reason.UNCLAIMED),
    ]
