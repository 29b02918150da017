import pytest

from scaler import maintenance, planner
from scaler.planner import Permissions
from scaler.reasons import Reason
from scaler.standby import StandbyPolicy
from scaler.tracking import Timing

TIMING = Timing()
ALLOWED = Permissions(ceiling=4)


def planned(make, views, desired, *drained, permissions=ALLOWED):
    plan = maintenance.plan(
        make.pool(*views), desired, permissions, TIMING, 100.0, frozenset(drained)
    )
    return plan, sorted((one.kind.value, one.domain, one.reason.value) for one in plan.actions)


def test_without_an_order_it_is_the_planner_s_plan(make):
    views = [make.view("a", "ready", leases=1), make.view("b", "off"), make.view("c", "cordoned")]
    plan, _ = planned(make, views, 2, "elsewhere")
    assert plan == planner.plan(make.pool(*views), 2, ALLOWED, TIMING, 100.0)


def test_the_domain_is_drained_however_busy_and_another_takes_its_place(make):
    views = [make.view("a", "ready", leases=9), make.view("b", "ready", leases=0)]
    views.append(make.view("c", "off"))
    plan, actions = planned(make, views, 2, "a")
    assert actions == [("drain", "a", "maintenance"), ("start", "c", "scale_out")]
    (drain,) = [one for one in plan.actions if one.domain == "a"]
    assert drain.max_leases is None
    assert drain.deadline_seconds == TIMING.drain_deadline_seconds


def test_it_is_neither_started_nor_won_back(make):
    views = [
        make.view("a", "off"),
        make.view("b", "cordoned", leases=0, worker_state="cordoned"),
        make.view(
            "c",
            "draining",
            leases=1,
            worker_state="draining",
            operation=make.operation("drain", 99.0),
        ),
    ]
    _, actions = planned(make, views, 3, "a", "b", "c")
    assert actions == [("drain", "b", "maintenance"), ("drain", "c", "drain_resumed")]


def test_what_is_on_its_way_out_goes_on_to_the_end(make):
    shutting = make.view(
        "a", "shutting_down", operation=make.operation("shutdown", 60.0), shutdown_sent_at=60.0
    )
    _, actions = planned(make, [shutting], 0, "a")
    assert actions == [("destroy", "a", "shutdown_deadline")]
    off = make.view("a", "off", operation=make.operation("shutdown", 60.0))
    plan, actions = planned(make, [off], 1, "a")
    assert actions == [("settle", "a", "off_reached")]
    assert plan.actions[0].lifts_cordon


def test_the_ceiling_counts_it(make):
    views = [make.view("a", "ready", leases=1), make.view("b", "off")]
    plan, actions = planned(make, views, 1, "a", permissions=Permissions(ceiling=1))
    assert actions == [("drain", "a", "maintenance")]
    assert Reason.CEILING in plan.reasons


def test_nothing_is_drained_while_the_dispatcher_is_away(make):
    views = [make.view("a", "ready", leases=1)]
    plan, actions = planned(make, views, 1, "a", permissions=ALLOWED._replace(fleet_known=False))
    assert actions == []
    assert Reason.FLEET_UNKNOWN in plan.reasons


@pytest.mark.parametrize("state", ["starting", "booting", "silent", "paused"])
def test_a_domain_that_does_not_work_yet_is_waited_for(make, state):
    _, actions = planned(make, [make.view("a", state)], 0, "a")
    assert actions == []


@pytest.mark.parametrize(
    ("state", "kind", "action"),
    [("standby_paused", "suspend", "destroy"), ("standby_saved", "save", "discard")],
)
def test_it_is_no_standby_either(make, state, kind, action):
    waits = make.view("a", state, operation=make.operation(kind, 90.0))
    permissions = ALLOWED._replace(standby=StandbyPolicy(paused=1, saved=1))
    views = [waits, make.view("b", "off")]
    _, actions = planned(make, views, 0, "a", permissions=permissions)
    assert actions == [(action, "a", "standby_surplus")]
