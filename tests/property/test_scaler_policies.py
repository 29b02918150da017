"""What must hold of decisions whatever policies a pool has, schedule and headroom included."""

import zoneinfo
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from scaler.decision import Observation, Settings, State, decide
from scaler.headroom import Headroom
from scaler.policies.backlog import BacklogPolicy
from scaler.policies.cron import parse
from scaler.policies.reference import ReferencePolicy
from scaler.policies.schedule import SchedulePolicy, Window
from scaler.policies.seasonal import SeasonalPolicy
from scaler.policies.target import Measure, TargetPolicy
from scaler.pool import ActionKind, DomainRecord, Lifecycle, WorkerRecord, WorkerState
from scaler.readings import Empty, Failed, Known, NotANumber, Stale
from scaler.stabilization import Limits

RELAXED = settings(max_examples=60, deadline=None)
MAX = 6
UTC = zoneinfo.ZoneInfo("UTC")
KINDS = (
    ReferencePolicy(sustained_seconds=0.0),
    BacklogPolicy(),
    BacklogPolicy("goal", goal_seconds=10.0, signal_prefix="goal."),
    TargetPolicy("ratio", counts_reporting=True),
    TargetPolicy("total", measure=Measure.TOTAL, target=3.0),
    TargetPolicy("stand_in", is_fallback=True),
    SchedulePolicy("office", (Window(parse("0 8 * * mon-fri"), 3600.0, 3),), UTC),
    SeasonalPolicy(),
)

policies = st.lists(st.sampled_from(KINDS), min_size=1, unique=True).map(tuple)
headrooms = st.builds(Headroom, st.integers(0, 2), st.sampled_from([0.0, 0.3]))
walls = st.floats(1.7e9, 1.9e9)


@st.composite
def pools(draw):
    """Ready, booting and off domains of different sizes, as records and workers."""
    running = draw(st.integers(0, MAX))
    records = tuple(
        DomainRecord(f"d{n}", Lifecycle.RUNNING if n < running else Lifecycle.OFF)
        for n in range(MAX + 1)
    )
    workers = tuple(
        WorkerRecord(f"d{n}", WorkerState.READY, slots=draw(st.integers(1, 4)), connected_since=0.0)
        for n in range(draw(st.integers(0, running)))
    )
    return records, workers


def signals_of(chosen):
    return sorted({signal for policy in chosen for signal in policy.signals})


def settings_of(chosen, headroom):
    limits = Limits(min=1, max=MAX, out_window_seconds=0.0, in_window_seconds=0.0, in_step=9)
    return Settings(limits=replace(limits, headroom=headroom), policies=chosen)


@RELAXED
@given(policies, headrooms, pools(), walls, st.floats(0, 9), st.floats(0, 9))
def test_more_load_never_lowers_the_desired_capacity(chosen, headroom, pool, wall, load, more):
    configured = settings_of(chosen, headroom)

    def desired(value):
        readings = {name: Known(value, 1.0) for name in signals_of(chosen)}
        # How many domains report and how many seasons are known is no load.
        readings |= {"ratio.reporting": Known(2.0, 1.0), "seasonal.seasons": Known(5.0, 1.0)}
        _, decision = decide(configured, State(), Observation(*pool, readings, wall=wall), 100.0)
        assert decision.desired is not None
        return decision.desired

    assert 1 <= desired(load) <= desired(load + more) <= MAX


@RELAXED
@given(policies, headrooms, pools(), walls, st.data())
def test_one_unknown_signal_never_lowers(chosen, headroom, pool, wall, data):
    names = signals_of(chosen)
    if not names:
        return
    values = st.floats(0, 9).map(lambda value: Known(value, 1.0))
    unknown = st.sampled_from([Empty(), NotANumber(), Stale(None), Failed("x")])
    # An empty service time beside an empty queue is what an idle pool looks like.
    lost = data.draw(st.sampled_from([name for name in names if name != "goal.service"] or names))
    readings = {name: data.draw(values) for name in names}
    if lost == "goal.service":
        readings["goal.waiting"] = Known(1.0, 1.0)
    readings[lost] = data.draw(unknown)
    if lost == "cpu" and not pool[1]:
        return
    observation = Observation(*pool, readings, wall=wall)
    state, decision = decide(settings_of(chosen, headroom), State(), observation, 100.0)
    again, repeated = decide(settings_of(chosen, headroom), State(), observation, 100.0)
    assert (state, decision) == (again, repeated)
    current = decision.pool.current
    by_mean = ("cpu", "ratio.value", "ratio.reporting", "stand_in.value")
    asks_nothing = lost in by_mean and current == 0
    if not asks_nothing and not _is_spared(lost, readings):
        assert decision.desired >= min(MAX, current)
        assert not [one for one in decision.plan.actions if one.kind is ActionKind.DRAIN]


def _is_spared(lost, readings):
    """Whether there is history is known, and too little: the level does not matter then."""
    seasons = readings.get("seasonal.seasons")
    return lost == "seasonal.level" and isinstance(seasons, Known) and seasons.value < 3
