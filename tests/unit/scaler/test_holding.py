"""What holds the capacity, and until when."""

from dataclasses import replace

from scaler.breaker import Breaker
from scaler.decision import Hold, Observation, Settings, State, decide
from scaler.holding import Held, holds, latest, withheld
from scaler.readings import Empty, Known
from scaler.reasons import Reason
from scaler.recommendation import BacklogPolicy, ReferencePolicy
from scaler.stabilization import Limits, Memory, Rate

LIMITS = Limits(min=1, max=3, out_window_seconds=5.0, in_window_seconds=20.0)
SETTINGS = Settings(limits=LIMITS, policies=(BacklogPolicy(),))


def seen(make, demand, *, on=1, off=2, hold=None):
    names = [f"d{number}" for number in range(on + off)]
    records = tuple(
        make.record(name, "running" if number < on else "off") for number, name in enumerate(names)
    )
    workers = tuple(make.worker(name) for name in names[:on])
    value = Empty() if demand is None else Known(demand, 1.0)
    return Observation(records, workers, {"demand": value, "demand_average": value}, hold)


def turns(make, settings, *moments, state=None):
    state = state or State()
    for now, observation in moments:
        state, decision = decide(settings, state, observation, now)
    return state, decision


def test_a_window_for_scaling_out_ends_when_the_last_low_wish_leaves_it(make):
    state, decision = turns(
        make, SETTINGS, (100.0, seen(make, 1.0)), (102.0, seen(make, 1.0)), (103.0, seen(make, 2.0))
    )
    assert holds(decision, state, SETTINGS) == (Held(Reason.OUT_WINDOW, 107.0),)
    assert withheld(decision) == ("out", Reason.OUT_WINDOW)


def test_a_window_for_scaling_in_is_first_filled_and_then_emptied(make):
    state, decision = turns(make, SETTINGS, (100.0, seen(make, 0.0, on=2)))
    assert holds(decision, state, SETTINGS) == (Held(Reason.IN_WINDOW_FILLING, 120.0),)
    state, decision = turns(
        make,
        SETTINGS,
        (115.0, seen(make, 1.5, on=2)),
        (125.0, seen(make, 0.0, on=2)),
        state=state,
    )
    assert holds(decision, state, SETTINGS)[0] == Held(Reason.IN_WINDOW, 135.0)
    assert withheld(decision) == ("in", Reason.IN_WINDOW)


def test_cooldowns_count_from_the_last_action(make):
    limits = replace(LIMITS, out_window_seconds=0.0, out_cooldown_seconds=30.0)
    settings = replace(SETTINGS, limits=limits)
    state, _ = turns(make, settings, (100.0, seen(make, 2.0)))
    state, decision = turns(make, settings, (101.0, seen(make, 3.0)), state=state)
    assert Held(Reason.OUT_COOLDOWN, 130.0) in holds(decision, state, settings)


def test_a_rate_ends_when_the_oldest_start_does_not_count_any_more(make):
    limits = replace(LIMITS, out_window_seconds=0.0, out_rate=Rate(1, 60.0))
    settings = replace(SETTINGS, limits=limits)
    state = State(memory=Memory(watching_since=0.0, outs=(70.0,)))
    state, decision = turns(make, settings, (100.0, seen(make, 3.0)), state=state)
    assert Held(Reason.OUT_RATE, 130.0) in holds(decision, state, settings)
    assert withheld(decision) == ("out", Reason.OUT_RATE)


def test_a_policy_that_waits_says_until_when(make):
    policies = (ReferencePolicy(sustained_seconds=10.0),)
    settings = Settings(limits=LIMITS, policies=policies)
    observation = replace(seen(make, None), readings={"cpu": Known(0.9, 1.0)})
    state, decision = turns(make, settings, (100.0, observation))
    held = holds(decision, state, settings)
    assert held[0] == Held(Reason.CPU_ABOVE_TARGET_NOT_SUSTAINED, 110.0)
    assert latest(held) == 110.0


def test_what_a_host_that_goes_down_keeps_from_happening_has_an_end(make):
    settings = replace(SETTINGS, limits=replace(LIMITS, out_window_seconds=0.0))
    state, decision = turns(make, settings, (100.0, seen(make, 2.0)), state=State(saved_at=90.0))
    assert decision.plan.actions == ()
    assert holds(decision, state, settings) == (Held(Reason.DOMAINS_SAVED, 150.0),)
    assert withheld(decision) == ("out", Reason.DOMAINS_SAVED)


def test_an_open_breaker_ends_with_its_back_off_and_an_order_has_no_end(make):
    settings = replace(SETTINGS, limits=replace(LIMITS, out_window_seconds=0.0))
    state = State(breaker=Breaker(2, 150.0))
    state, decision = turns(make, settings, (100.0, seen(make, 2.0)), state=state)
    assert Held(Reason.BREAKER_OPEN, 150.0) in holds(decision, state, settings)
    assert withheld(decision) == ("out", Reason.BREAKER_OPEN)
    held = turns(make, settings, (100.0, seen(make, 2.0, hold=Hold("ann"))))
    assert holds(held[1], held[0], settings) == (Held(Reason.PAUSED),)


def test_a_wish_that_was_followed_or_was_none_is_not_withheld(make):
    settings = replace(SETTINGS, limits=replace(LIMITS, out_window_seconds=0.0))
    assert withheld(turns(make, settings, (100.0, seen(make, 2.0)))[1]) is None
    assert withheld(turns(make, settings, (100.0, seen(make, 1.0)))[1]) is None
    blind = Observation(None, None, {})
    assert withheld(turns(make, settings, (100.0, blind))[1]) is None
