import zoneinfo

import pytest

from scaler.config import ScalerConfig, pool_settings, signal_queries
from scaler.headroom import Headroom
from scaler.policies.backlog import BacklogPolicy
from scaler.policies.cron import parse
from scaler.policies.reference import ReferencePolicy
from scaler.policies.schedule import SchedulePolicy, Window
from scaler.policies.seasonal import SeasonalPolicy
from scaler.policies.target import Measure, TargetPolicy
from servicekit.config import ConfigError, check

TARGET = {"kind": "target", "signal": {"query": 'x{pool="$pool"}'}}
WINDOW = {"start": "0 8 * * *", "duration_seconds": 3600, "min": 2}


def config(*policies, **values):
    values = {"pool": "web", "saturation": None, "policies": list(policies), **values}
    return check(ScalerConfig, values, source="test")


def test_every_kind_becomes_its_value():
    values = config(
        {"kind": "reference"},
        {"kind": "backlog", "goal_seconds": 20},
        {**TARGET, "measure": "mean", "target": 70, "reporting": {"query": "count(x)"}},
        {"kind": "schedule", "time_zone": "Europe/Berlin", "windows": [WINDOW]},
        {"kind": "seasonal", "value_per_domain": 50},
    )
    assert pool_settings(values).policies == (
        ReferencePolicy(),
        BacklogPolicy(goal_seconds=20.0),
        TargetPolicy(measure=Measure.MEAN, target=70.0, counts_reporting=True),
        SchedulePolicy(
            windows=(Window(parse("0 8 * * *"), 3600.0, 2),),
            zone=zoneinfo.ZoneInfo("Europe/Berlin"),
        ),
        SeasonalPolicy(value_per_domain=50.0),
    )


def test_policies_of_one_kind_are_told_apart_by_name_and_so_are_their_signals():
    values = config(
        {**TARGET, "name": "memory"},
        {**TARGET, "name": "disk"},
        {"kind": "reference"},
        {"kind": "reference", "name": "fast", "sustained_seconds": 1},
        {"kind": "backlog", "name": "goal", "goal_seconds": 5},
    )
    policies = pool_settings(values).policies
    queries = signal_queries(values)
    assert [query.signal for query in queries] == [
        "memory.value",
        "disk.value",
        "cpu",
        "fast.cpu",
        "goal.waiting",
        "goal.busy",
        "goal.busy_average",
        "goal.service",
    ]
    assert [signal for policy in policies for signal in policy.signals] == [
        query.signal for query in queries
    ]
    assert queries[0].query == 'x{pool="web"}'


def test_a_policy_that_stands_in_for_others():
    values = config(
        {"kind": "reference", "fallback": True}, {**TARGET, "fallback": True}, {"kind": "backlog"}
    )
    is_fallback = [policy.is_fallback for policy in pool_settings(values).policies]
    assert is_fallback == [True, True, False]


def test_history_is_asked_for_now_and_then():
    queries = signal_queries(config({"kind": "seasonal", "season": "week", "seasons": 4}))
    assert [query.signal for query in queries] == ["seasonal.level", "seasonal.seasons"]
    assert {query.every_seconds for query in queries} == {180.0}
    assert "offset 604500s" in queries[0].query
    assert 'pool="web"' in queries[0].query


def test_headroom():
    values = config({"kind": "backlog"}, headroom={"domains": 1, "ratio": 0.5})
    assert pool_settings(values).limits.headroom == Headroom(1, 0.5)


@pytest.mark.parametrize(
    ("policies", "text"),
    [
        ([TARGET, TARGET], "names a policy twice: target; give each a `name` of its own"),
        ([{**TARGET, "name": "a.b"}], "policies.0.target.name = 'a.b'"),
        ([{**TARGET, "target": 3}], "target = 3 of a ratio is more than all there is"),
        ([{**TARGET, "target": 0}], "policies.0.target.target = 0"),
        (
            [{**TARGET, "measure": "total", "reporting": {"query": "x"}}],
            "reporting has no meaning with measure: total",
        ),
        ([{"kind": "target"}], "policies.0.target.signal is not set"),
        (
            [{"kind": "schedule", "windows": [{**WINDOW, "start": "61 8 * * *"}]}],
            "windows.0.start = '61 8 * * *': minute '61': must be 0-59",
        ),
        ([{"kind": "schedule", "windows": []}], "must be a list of 1 to 100 windows"),
        (
            [{"kind": "schedule", "windows": [WINDOW], "time_zone": "Mars"}],
            "time_zone = 'Mars': no such time zone",
        ),
        ([{"kind": "schedule", "windows": [WINDOW], "time_zone": "../etc"}], "no such time zone"),
        ([{"kind": "seasonal", "seasons": 2}], "least_seasons = 3 must not exceed seasons = 2"),
        ([{"kind": "backlog", "goal_seconds": 0}], "policies.0.backlog.goal_seconds = 0"),
        (
            [{"kind": "reference", "fallback": True}, {"kind": "schedule", "windows": [WINDOW]}],
            "reference: fallback = true, but no other policy measures the load; leave fallback out",
        ),
        ([{"kind": "seasonal", "fallback": True}], "policies.0.seasonal.fallback"),
    ],
)
def test_faults_name_the_policy_and_the_fix(policies, text):
    with pytest.raises(ConfigError) as caught:
        config(*policies)
    assert text in str(caught.value)


def test_headroom_needs_a_policy_that_knows_the_load():
    with pytest.raises(ConfigError, match="headroom needs a policy that knows the load"):
        config({"kind": "reference"}, headroom={"domains": 1})
    total = {**TARGET, "measure": "total"}
    assert config(total, headroom={"ratio": 0.1}).headroom.ratio == 0.1
