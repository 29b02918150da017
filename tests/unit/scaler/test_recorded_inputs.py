"""What is recorded can be read back, and decided again."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaler import recorded_inputs, turns
from scaler.alerts import Base, Firing, Sight
from scaler.decision import Hold, Observation, Settings, State, decide
from scaler.overrides import Orders, OverrideKind
from scaler.pool import (
    DomainRecord,
    Lifecycle,
    Operation,
    OperationKind,
    WorkerRecord,
    WorkerState,
)
from scaler.readings import Empty, Failed, Known, NotANumber, Partial, Stale, describe
from scaler.recommendation import BacklogPolicy, ReferencePolicy
from scaler.turns import Turn
from tests.property.test_scaler import RELAXED, observations

SETTINGS = Settings(policies=(ReferencePolicy(), BacklogPolicy()))
WALL = 1_700_000_000.0


def recorded(observation, now=200.0):
    state, decision = decide(SETTINGS, State(), observation, now)
    turn = Turn(decision, state, observation, SETTINGS, WALL)
    return decision, json.loads(json.dumps(turns.record(turn)))


@RELAXED
@given(observations())
def test_the_recorded_inputs_decide_as_they_did(observation):
    decision, record = recorded(observation)
    readings = {name: recorded_inputs.reading(signal) for name, signal in record["signals"].items()}
    _, again = decide(SETTINGS, State(), recorded_inputs.observation(record, readings), WALL)
    assert again.desired == decision.desired
    assert again.reason == decision.reason
    assert again.pool.counts == decision.pool.counts
    assert [(one.kind, one.domain) for one in again.plan.actions] == [
        (one.kind, one.domain) for one in decision.plan.actions
    ]


@RELAXED
@given(observations())
def test_the_pool_is_read_back_as_it_was_seen(observation):
    decision, record = recorded(observation)
    pool = recorded_inputs.pool(record)
    if observation.domains is None:
        assert pool is None
        return
    assert pool.counts == decision.pool.counts
    for before, after in zip(decision.pool.domains, pool.domains, strict=True):
        assert (before.name, before.state, before.in_flight) == (
            after.name,
            after.state,
            after.in_flight,
        )
        assert before.leases == after.leases
        assert (before.worker is None) == (after.worker is None)


@pytest.mark.parametrize(
    "reading",
    [
        *(Known(0.5, 1.0), Partial(0.5, 1.0, "half"), Empty(), NotANumber()),
        *(Stale(None), Stale(12.0), Failed("cannot connect")),
    ],
)
def test_a_reading_is_read_back(reading):
    assert recorded_inputs.reading(describe(reading)) == reading


def test_moments_move_to_the_clock_of_the_record():
    observation = Observation(
        (DomainRecord("d", Lifecycle.RUNNING, "booted", Operation(OperationKind.DRAIN, 150.0, 3)),),
        (WorkerRecord("d", WorkerState.DRAINING, 2, 1, 4, 120.0, 190.0),),
        {},
        Hold("ann", "upgrade"),
    )
    _, record = recorded(observation)
    again = recorded_inputs.observation(record, {})
    assert again.domains[0].operation == Operation(OperationKind.DRAIN, WALL - 50, 3)
    assert again.workers == (
        WorkerRecord("d", WorkerState.DRAINING, 2, 1, 4, WALL - 80, WALL - 10),
    )
    assert again.hold == observation.hold


def test_orders_alerts_and_images_are_read_back():
    observation = Observation(
        (DomainRecord("d", Lifecycle.RUNNING, "booted", None, 1, "one", "two", "one"),),
        None,
        {},
        orders=Orders(
            held_at=3,
            blocks_in=True,
            drained=frozenset({"d"}),
            kinds=frozenset({OverrideKind.HOLD, OverrideKind.BLOCK_IN, OverrideKind.DRAIN}),
        ),
        alerts=Sight((Firing("f", {"alertname": "Slow"}),), {"slow": Base(2, 190.0)}),
    )
    decision, record = recorded(observation)
    again = recorded_inputs.observation(record, {})
    assert again.domains == observation.domains
    assert again.orders == observation.orders
    assert again.alerts.firing == observation.alerts.firing
    assert again.alerts.bases == {"slow": Base(2, WALL - 10)}
    assert again.wall == WALL
    assert recorded_inputs.pool(record).domains[0].is_outdated
    assert decide(SETTINGS, State(), again, WALL)[1].desired == decision.desired == 3


def test_a_record_of_an_older_version_has_no_orders_and_no_alerts():
    _, record = recorded(Observation((), None, {}))
    assert set(record["inputs"]) == {"domains", "workers"}
    again = recorded_inputs.observation(record, {})
    assert (again.orders, again.alerts) == (Orders(), Sight())


@given(st.floats(-1e9, 1e9), st.floats(-1e3, 1e3).map(lambda value: float(f"{value:.4g}")))
def test_rounding_keeps_every_threshold_on_its_side(value, threshold):
    rounded = recorded_inputs.compact(value)
    assert not (value <= threshold and rounded > threshold)
    assert not (value >= threshold and rounded < threshold)


@pytest.mark.parametrize("record", [{}, {"time": 1.0, "inputs": {"domains": [{"name": "d"}]}}])
def test_a_record_of_something_else_is_refused(record):
    with pytest.raises(ValueError, match="record"):
        recorded_inputs.pool(record)
    with pytest.raises(ValueError, match="record"):
        recorded_inputs.observation(record, {})
