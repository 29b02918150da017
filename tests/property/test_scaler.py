"""What must hold of the scaler's decisions, whatever is observed."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from scaler import decision as decision_module
from scaler import tracking
from scaler.breaker import Breaker
from scaler.decision import ActionResult, Observation, Outcome, Settings, State, decide
from scaler.feedback import feed
from scaler.host_room import HostRoom
from scaler.overrides import Orders
from scaler.planner import Plan
from scaler.pool import (
    ActionKind,
    DomainRecord,
    DomainState,
    Lifecycle,
    Operation,
    OperationKind,
    WorkerRecord,
    WorkerState,
)
from scaler.readings import Empty, Failed, Known, NotANumber, Partial, Stale
from scaler.recommendation import BacklogPolicy, ReferencePolicy
from scaler.rollout import Trials
from scaler.stabilization import Limits, Stabilised
from scaler.standby import StandbyPolicy
from scaler.tracking import Timing

NAMES = [f"d{number}" for number in range(6)]
MAX = 4
SETTINGS = Settings(
    limits=Limits(min=1, max=MAX, in_window_seconds=5.0, in_cooldown_seconds=2.0),
    policies=(ReferencePolicy(), BacklogPolicy()),
)
WITH_STANDBY = replace(SETTINGS, standby=StandbyPolicy(paused=2, saved=1, max_age_seconds=30.0))

WITH_A_DEADLINE = replace(SETTINGS, timing=Timing(drain_deadline_seconds=60.0))

# A busy machine must not fail a test by its deadline.
RELAXED = settings(max_examples=60, deadline=None)

numbers = st.floats(0, 40) | st.integers(0, 8).map(float)
unknown = st.sampled_from([Empty(), NotANumber(), Stale(None), Failed("x")])
readings = st.fixed_dictionaries(
    {
        "cpu": st.floats(0, 1).map(lambda value: Known(value, 1.0)) | unknown,
        "demand": numbers.map(lambda value: Known(value, 1.0)) | unknown,
        "demand_average": numbers.map(lambda value: Known(value, 1.0))
        | unknown
        | st.just(Partial(0.0, 1.0, "half")),
    }
)
# As the executor notes them: in whole milliseconds. A record of a turn keeps no more.
moments = st.integers(0, 100_000).map(lambda milliseconds: milliseconds / 1000)
operations = st.none() | st.builds(Operation, st.sampled_from(OperationKind), moments, st.just(1))


owners = st.sampled_from(
    [{}, {}, {}, {"is_unclaimed": True}, {"foreign_scaler": "another"}],
)


@st.composite
def observations(draw, most=6, signals=readings):
    names = NAMES[: draw(st.integers(0, most))]
    has_images = draw(st.booleans())
    records = tuple(
        DomainRecord(
            name,
            draw(st.sampled_from(Lifecycle)),
            "",
            draw(operations),
            0,
            *draw(st.tuples(*[st.sampled_from(["", "old", "new"])] * 3)),
            has_saved_image=has_images,
            **draw(owners),
        )
        for name in names
    )
    workers = tuple(
        WorkerRecord(
            name,
            draw(st.sampled_from(WorkerState)),
            leases=draw(st.integers(0, 3)),
            connected_since=draw(st.floats(0, 100)),
        )
        for name in draw(st.lists(st.sampled_from(NAMES), unique=True))
    )
    return Observation(
        None if draw(st.integers(0, 15)) == 0 else records,
        None if draw(st.integers(0, 7)) == 0 else workers,
        draw(signals),
    )


histories = st.lists(
    st.tuples(st.floats(0.1, 40), observations(), st.sampled_from(Outcome)), min_size=1, max_size=8
)

_ON_THE_WAY = (
    (Lifecycle.RUNNING, None, WorkerState.READY),
    (Lifecycle.RUNNING, OperationKind.DRAIN, WorkerState.CORDONED),
    (Lifecycle.RUNNING, OperationKind.DRAIN, WorkerState.DRAINING),
    (Lifecycle.RUNNING, OperationKind.PREPARE, WorkerState.CORDONED),
    (Lifecycle.OFF, OperationKind.SAVE, None),
    (Lifecycle.OFF, None, None),
)
"""What goes together; drawn one by one, the fields of a domain hardly ever do."""


@st.composite
def domains_on_their_way(draw):
    """A turn in which domains drain, prepare and are saved, some of them with jobs."""
    records, workers = [], []
    for name in NAMES[: draw(st.integers(1, MAX))]:
        lifecycle, kind, worker = draw(st.sampled_from(_ON_THE_WAY))
        operation = None if kind is None else Operation(kind, draw(moments), 1)
        is_saved = kind is OperationKind.SAVE and draw(st.booleans())
        records.append(DomainRecord(name, lifecycle, operation=operation, has_saved_image=is_saved))
        if worker is not None:
            workers.append(WorkerRecord(name, worker, leases=draw(st.integers(0, 2))))
    return Observation(tuple(records), tuple(workers), draw(readings))


on_their_way = st.lists(
    st.tuples(st.floats(0.1, 40), domains_on_their_way(), st.sampled_from(Outcome)),
    min_size=1,
    max_size=8,
)
eventful = st.tuples(on_their_way, histories).map(lambda both: [*both[0], *both[1]])


def play(history, given=SETTINGS):
    """Decisions of one scaler's life; actions report back before the next turn."""
    state, now = State(), 100.0
    for seconds, observation, outcome in history:
        now += seconds
        before = state
        state, decision = decide(given, state, observation, now)
        yield before, observation, decision, now
        for action in decision.plan.actions:
            state = feed(given, state, ActionResult(action.kind, action.domain, outcome), now)


breakers = st.builds(Breaker, st.integers(0, 4), st.none() | st.floats(90, 200))
sizes = st.none() | st.integers(0, 1 << 40)


@given(
    st.lists(st.booleans(), max_size=6),
    st.tuples(breakers, breakers, st.none() | st.just(99.0)),
    st.builds(HostRoom, sizes, sizes, sizes),
    st.booleans(),
)
@RELAXED
def test_nothing_is_planned_for_a_pool_at_ease(ready, remembered, room, is_complete):
    """That no plan is made then only saves time."""
    records = tuple(
        DomainRecord(name, Lifecycle.RUNNING if is_ready else Lifecycle.OFF, memory_bytes=1 << 30)
        for name, is_ready in zip(NAMES, ready, strict=False)
    )
    at_work = [one.name for one in records if one.lifecycle is Lifecycle.RUNNING]
    workers = tuple(WorkerRecord(name, WorkerState.READY, leases=1) for name in at_work)
    observation = Observation(records, workers, {}, room=room)
    state, _ = decide(SETTINGS, State(), observation, 100.0)
    breaker, wakes, known_since = remembered
    state = replace(
        state, breaker=breaker, wakes=wakes, fleet=replace(state.fleet, known_since=known_since)
    )
    pool = state.tracked.pool
    wish = Stabilised(len(at_work), len(at_work), (), is_complete)
    assert decision_module._is_at_ease(SETTINGS, state, observation, pool, wish.desired)
    assert decision_module._plan(SETTINGS, state, observation, pool, wish, (), 101.0) == Plan()
    drained = replace(observation, orders=Orders(drained=frozenset({"d0"})))
    for rules, known, seen, desired in (
        (WITH_STANDBY, state, observation, wish.desired),
        (SETTINGS, state, observation, wish.desired + 1),
        (SETTINGS, replace(state, trials=Trials({"new": 1})), observation, wish.desired),
        (SETTINGS, state, drained, wish.desired),
    ):
        assert not decision_module._is_at_ease(rules, known, seen, pool, desired)


def test_a_state_is_copied_as_a_dataclass_would_be():
    state, _ = decide(SETTINGS, State(), Observation((), (), {}), 100.0)
    copied = decision_module._changed(state, token=7, saved_at=3.0)
    assert copied == replace(state, token=7, saved_at=3.0) != state


def new_places(decision):
    """Domains that begin to hold memory; one that boots for standby does so already."""
    inactive = {one.name for one in decision.pool.domains if not one.is_active}
    return sum(
        one.kind in tracking.BOOTS and one.domain in inactive for one in decision.plan.actions
    )


@RELAXED
@given(histories)
def test_never_more_than_the_ceiling_in_any_state(history):
    for _, _, decision, _ in play(history):
        begun = new_places(decision)
        assert not begun or decision.pool.active + begun <= MAX
        assert decision.desired is None or 1 <= decision.desired <= MAX


@RELAXED
@given(histories)
def test_at_most_one_action_per_domain_and_only_on_domains_that_are_there(history):
    for _, observation, decision, _ in play(history):
        names = [one.domain for one in decision.plan.actions]
        assert len(names) == len(set(names))
        assert set(names) <= {record.name for record in observation.domains or ()}


@RELAXED
@given(histories)
def test_another_scalers_domains_are_never_touched_and_count_for_the_ceiling(history):
    for _, observation, decision, _ in play(history, WITH_STANDBY):
        foreign = {one.name for one in observation.domains or () if one.foreign_scaler}
        assert not foreign & {one.domain for one in decision.plan.actions}
        active = sum(
            one.lifecycle is not Lifecycle.OFF
            for one in observation.domains or ()
            if one.foreign_scaler
        )
        begun = new_places(decision)
        assert not begun or active + begun <= MAX


@RELAXED
@given(eventful)
def test_no_power_is_taken_from_a_worker_that_holds_leases_before_its_deadline(history):
    for _, _, decision, now in play(history, WITH_A_DEADLINE):
        domains = {domain.name: domain for domain in decision.pool.domains}
        for action in decision.plan.actions:
            domain = domains[action.domain]
            if action.kind not in (ActionKind.SHUTDOWN, ActionKind.DESTROY):
                continue
            if domain.state is DomainState.DRAINING and domain.leases:
                assert domain.operation is not None and domain.worker is not None
                gone = domain.worker.state is WorkerState.DISCONNECTED
                assert gone or now - domain.operation.since >= 60.0
            else:
                assert domain.state is not DomainState.READY


@RELAXED
@given(observations(most=MAX, signals=st.fixed_dictionaries({"cpu": unknown})), st.integers(1, 9))
def test_no_data_never_scales_in(observation, turns):
    state = State()
    for turn in range(turns):
        state, decision = decide(SETTINGS, state, observation, 100.0 + 20 * turn)
        assert decision.desired is None or decision.desired >= min(MAX, decision.pool.current)
        begun = [
            one.reason.value
            for one in decision.plan.actions
            if one.kind is ActionKind.DRAIN and one.reason.value != "drain_resumed"
        ]
        # An image may be replaced where as many are left as are wanted.
        replaced = begun.count("rollout_replaces")
        assert len(begun) == replaced
        assert not replaced or decision.pool.ready - replaced >= (decision.desired or 0)


@RELAXED
@given(histories, observations(), numbers, st.floats(0, 20))
def test_more_load_never_lowers_the_desired_capacity(history, observation, demand, more):
    state, now = State(), 100.0
    for seconds, earlier, _ in history:
        now += seconds
        state, _ = decide(SETTINGS, state, earlier, now)

    def desired(value, ratio):
        signals = {
            "cpu": Known(ratio, 1.0),
            "demand": Known(value, 1.0),
            "demand_average": Known(value, 1.0),
        }
        _, decision = decide(SETTINGS, state, replace(observation, readings=signals), now + 1)
        return -1 if decision.desired is None else decision.desired

    ratio = min(1.0, demand / 10)
    assert desired(demand + more, min(1.0, ratio + more / 10)) >= desired(demand, ratio)


@RELAXED
@given(observations())
def test_decides_the_same_from_the_same(observation):
    assert decide(SETTINGS, State(), observation, 100.0) == decide(
        SETTINGS, State(), observation, 100.0
    )


@RELAXED
@given(st.permutations(range(len(NAMES))), observations())
def test_the_order_of_what_is_observed_does_not_matter(order, observation):
    def shuffled(items):
        if items is None:
            return None
        return tuple(items[index] for index in order if index < len(items))

    other = replace(
        observation,
        domains=shuffled(observation.domains),
        workers=shuffled(observation.workers),
    )
    _, decision = decide(SETTINGS, State(), observation, 100.0)
    _, again = decide(SETTINGS, State(), other, 100.0)
    assert decision.plan == again.plan


@settings(max_examples=20, deadline=None)
@given(st.floats(0, 6), st.integers(1, MAX))
def test_constant_load_reaches_a_fixed_point(load, count):
    """Domains start and stop at once; the CPU is the load spread over them."""
    running = set(NAMES[:count])
    state = State()
    changes = []
    for turn in range(400):
        now = 100.0 + turn
        records = tuple(
            DomainRecord(name, Lifecycle.RUNNING if name in running else Lifecycle.OFF)
            for name in NAMES
        )
        workers = tuple(
            WorkerRecord(name, WorkerState.READY, connected_since=0.0) for name in running
        )
        ratio = min(1.0, load / len(running)) if running else 0.0
        signals = {
            "cpu": Known(ratio, 1.0),
            "demand": Known(load, 1.0),
            "demand_average": Known(load, 1.0),
        }
        state, decision = decide(SETTINGS, state, Observation(records, workers, signals), now)
        for action in decision.plan.actions:
            changes.append(turn)
            state = feed(
                SETTINGS, state, ActionResult(action.kind, action.domain, Outcome.DONE), now
            )
            if action.kind is ActionKind.START:
                running.add(action.domain)
            elif action.kind is ActionKind.DRAIN:
                running.discard(action.domain)
    assert not [turn for turn in changes if turn > 300], "flaps"


@RELAXED
@given(observations())
def test_a_restart_goes_on_with_what_is_under_way(observation):
    """What does not depend on windows comes out the same with and without a past."""
    lived = State()
    for turn in range(3):
        lived, _ = decide(SETTINGS, lived, replace(observation, domains=None), 90.0 + turn)
    _, remembered = decide(SETTINGS, lived, observation, 100.0)
    _, fresh = decide(SETTINGS, State(), observation, 100.0)
    assert remembered.plan.actions == fresh.plan.actions


_TAKES_MEMORY = (ActionKind.START, ActionKind.PREPARE, ActionKind.RESTORE)


@RELAXED
@given(histories)
def test_standby_included_never_more_than_the_ceiling(history):
    for _, _, decision, _ in play(history, WITH_STANDBY):
        domains = {domain.name: domain for domain in decision.pool.domains}
        begun = [
            one
            for one in decision.plan.actions
            if one.kind in _TAKES_MEMORY and not domains[one.domain].is_active
        ]
        assert not begun or decision.pool.active + len(begun) <= MAX


@RELAXED
@given(eventful)
def test_nothing_is_frozen_that_holds_a_lease_or_may_get_one(history):
    for _, _, decision, _ in play(history, WITH_STANDBY):
        domains = {domain.name: domain for domain in decision.pool.domains}
        for action in decision.plan.actions:
            if action.kind not in (ActionKind.SUSPEND, ActionKind.SAVE) or action.is_repeated:
                continue
            domain = domains[action.domain]
            assert domain.leases == 0
            assert domain.worker is not None and domain.worker.state is not WorkerState.READY


@RELAXED
@given(eventful)
def test_an_image_is_restored_once_and_only_where_the_scaler_saved_it(history):
    for _, observation, decision, _ in play(history, WITH_STANDBY):
        records = {record.name: record for record in observation.domains or ()}
        for action in decision.plan.actions:
            if action.kind is ActionKind.RESTORE:
                record = records[action.domain]
                assert record.has_saved_image and record.lifecycle is Lifecycle.OFF
                assert record.operation is not None
                assert record.operation.kind is OperationKind.SAVE


@RELAXED
@given(histories)
def test_a_domain_that_others_paused_or_saved_is_left_alone(history):
    ours = (
        OperationKind.SUSPEND,
        OperationKind.RESUME,
        OperationKind.SAVE,
        OperationKind.RESTORE,
    )
    for _, observation, decision, _ in play(history, WITH_STANDBY):
        records = {record.name: record for record in observation.domains or ()}
        woken = [
            one
            for one in decision.plan.actions
            if one.kind in (ActionKind.RESUME, ActionKind.RESTORE, ActionKind.DISCARD)
        ]
        for action in woken:
            operation = records[action.domain].operation
            assert operation is not None and operation.kind in ours
