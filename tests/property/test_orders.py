"""What must hold of decisions under any orders and any alerts."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from scaler import overrides
from scaler.alerts import AlertRule, Base, Firing, Matcher, Sight
from scaler.decision import ActionResult, Outcome, Settings, State, decide
from scaler.feedback import feed
from scaler.overrides import Override, OverrideKind
from scaler.pool import ActionKind, DomainRecord, Lifecycle, WorkerRecord, WorkerState
from scaler.reasons import Reason
from scaler.recommendation import BacklogPolicy
from scaler.stabilization import Limits, Stabilised
from tests.property.test_scaler import MAX, NAMES, new_places, observations

RELAXED = settings(max_examples=80, deadline=None)
LIMITS = Limits(min=1, max=MAX, in_window_seconds=5.0, in_cooldown_seconds=2.0)
RULES = (
    AlertRule("raise", (Matcher("alertname", "a"),), raise_by=2),
    AlertRule("floor", (Matcher("alertname", "b"),), floor=3),
    AlertRule("block", (Matcher("alertname", "c"),), blocks_in=True),
)
SETTINGS = Settings(limits=LIMITS, policies=(BacklogPolicy(),), alert_rules=RULES)


@st.composite
def given_orders(draw):
    found = []
    for number, kind in enumerate(draw(st.lists(st.sampled_from(OverrideKind), max_size=5))):
        domains = draw(st.integers(0, 9)) if kind in overrides.COUNTED else None
        domain = draw(st.sampled_from(NAMES)) if kind is OverrideKind.DRAIN else ""
        at = draw(st.floats(0, 100))
        found.append(Override(str(number), kind, "ann", "", at, None, domains, domain))
    return tuple(found)


sights = st.builds(
    Sight,
    st.lists(st.sampled_from("abcd"), unique=True, max_size=4).map(
        lambda names: tuple(Firing(name, {"alertname": name}) for name in names)
    ),
    st.dictionaries(
        st.sampled_from(["raise", "floor", "gone"]), st.builds(Base, st.integers(0, 6)), max_size=2
    ),
)
turns = st.lists(
    st.tuples(st.floats(0.1, 40), observations(), given_orders(), sights, st.sampled_from(Outcome)),
    min_size=1,
    max_size=6,
)


@st.composite
def in_maintenance(draw):
    """A turn in which some domains serve, and one of them, or one that is not there, is to go."""
    seen = draw(observations(signals=st.just({})))
    serving = NAMES[: draw(st.integers(1, MAX))]
    gone = draw(st.sampled_from(serving))
    drain = Override("x", OverrideKind.DRAIN, "ann", "", 0.0, None, None, gone)
    others = [record for record in seen.domains or () if record.name not in serving]
    seen = replace(
        seen,
        domains=(*(DomainRecord(name, Lifecycle.RUNNING) for name in serving), *others),
        workers=tuple(
            WorkerRecord(name, WorkerState.READY, leases=draw(st.integers(0, 3)))
            for name in serving
        ),
    )
    orders = (*draw(given_orders()), drain)
    return draw(st.floats(0.1, 40)), seen, orders, draw(sights), draw(st.sampled_from(Outcome))


maintenances = st.lists(in_maintenance(), min_size=1, max_size=4).flatmap(
    lambda some: turns.map(lambda more: [*some, *more])
)


def play(history):
    state, now = State(), 100.0
    for seconds, observation, orders, sight, outcome in history:
        now += seconds
        observation = replace(
            observation,
            orders=overrides.orders(orders),
            hold=overrides.pause(orders),
            alerts=sight,
        )
        state, decision = decide(SETTINGS, state, observation, now)
        yield observation, decision
        for action in decision.plan.actions:
            state = feed(SETTINGS, state, ActionResult(action.kind, action.domain, outcome), now)


@RELAXED
@given(turns)
def test_nothing_goes_beyond_the_configured_maximum(history):
    for _, decision in play(history):
        begun = new_places(decision)
        assert not begun or decision.pool.active + begun <= MAX
        assert decision.desired is None or 0 <= decision.desired <= MAX


@RELAXED
@given(turns)
def test_a_pause_allows_no_action(history):
    for observation, decision in play(history):
        if observation.hold is not None:
            assert decision.plan.actions == ()


@RELAXED
@given(turns)
def test_what_is_blocked_does_not_happen(history):
    for observation, decision in play(history):
        reasons = {one.reason for one in decision.plan.actions}
        blocks_in = any(effect.blocks_in for effect in decision.effects)
        if observation.orders.blocks_in and decision.pool.current <= MAX:
            assert not reasons & {Reason.SCALE_IN, Reason.CORDONED_SURPLUS}
        if blocks_in and decision.pool.current <= MAX and not observation.orders.kinds:
            assert not reasons & {Reason.SCALE_IN, Reason.CORDONED_SURPLUS}
        # A domain that is drained for maintenance is replaced: that is no scale-out.
        if observation.orders.blocks_out and not observation.orders.drained:
            assert Reason.SCALE_OUT not in reasons


@RELAXED
@given(maintenances)
def test_a_domain_in_maintenance_is_never_started_and_only_it_is_drained_for_it(history):
    for observation, decision in play(history):
        drained = observation.orders.drained
        for action in decision.plan.actions:
            if action.domain in drained:
                assert action.kind not in (ActionKind.START, ActionKind.CANCEL_DRAIN)
            else:
                assert action.reason is not Reason.MAINTENANCE


@RELAXED
@given(maintenances)
def test_at_most_one_action_per_domain_and_none_on_the_power_of_a_worker_that_has_just_leases(
    history,
):
    for _, decision in play(history):
        names = [one.domain for one in decision.plan.actions]
        assert len(names) == len(set(names))
        domains = {domain.name: domain for domain in decision.pool.domains}
        for action in decision.plan.actions:
            if action.reason is Reason.MAINTENANCE:
                assert action.kind is ActionKind.DRAIN
                assert domains[action.domain].lifecycle is Lifecycle.RUNNING


@RELAXED
@given(given_orders(), st.integers(0, 9), st.integers(0, 6))
def test_the_stages_keep_their_promises(orders, desired, current):
    found = overrides.orders(orders)
    before = Stabilised(desired, desired, (), is_complete=True)
    after = overrides.apply(before, found, current, LIMITS)
    assert after.desired <= MAX
    for step, following in zip(after.steps, after.steps[1:], strict=False):
        assert step.after == following.before
    assert (after.steps[-1].after if after.steps else desired) == after.desired
    if found.ceiling is not None and not found.blocks_in:
        assert after.desired <= found.ceiling
    if found.floor is not None and found.ceiling is None and not found.blocks_out:
        assert after.desired >= min(found.floor, MAX)
    # Orders given twice are orders given once.
    assert overrides.apply(after, found, current, LIMITS).desired == after.desired
    assert overrides.orders(reversed(orders)) == found
