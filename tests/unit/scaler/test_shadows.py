"""Rules on trial: they see the real pool, remember for themselves and disturb nobody."""

from dataclasses import replace

from hypothesis import given

from scaler.decision import Settings, State, decide
from scaler.reasons import Reason
from scaler.recommendation import BacklogPolicy, ReferencePolicy
from scaler.shadows import Shadow, Shadows
from scaler.stabilization import Limits
from tests.property.test_scaler import RELAXED, SETTINGS, histories, play
from tests.unit.scaler.test_holding import seen

LEAN = Settings(limits=Limits(min=1, max=2, out_window_seconds=0.0), policies=(BacklogPolicy(),))


class BrokenPolicy:
    name = "broken"
    signals = ()


def judged(shadows, settings, observation, now, state=None):
    state = state or State()
    after, decision = decide(settings, state, observation, now)
    return after, decision, shadows.judge(state, after, decision, observation)


def test_a_shadow_tells_what_it_would_want_and_why(make):
    shadows = Shadows((Shadow("lean", LEAN),))
    settings = replace(LEAN, limits=Limits(min=1, max=9, out_window_seconds=0.0))
    _, decision, (verdict,) = judged(shadows, settings, seen(make, 4.0, off=8), 100.0)
    assert decision.desired == 5
    assert (verdict.shadow, verdict.desired, verdict.reason) == ("lean", 2, Reason.MAX)
    _, _, (verdict,) = judged(shadows, settings, seen(make, 1.5, off=8), 101.0)
    assert (verdict.desired, verdict.reason) == (2, Reason.DEMAND)


@RELAXED
@given(histories)
def test_a_shadow_with_the_rules_in_force_wants_what_they_want(history):
    shadows = Shadows((Shadow("same", SETTINGS),))
    lives = list(play(history))
    state = State()
    for before, observation, decision, now in lives:
        state, again = decide(SETTINGS, before, observation, now)
        assert again == decision
        (verdict,) = shadows.judge(before, state, decision, observation)
        if decision.desired is not None and decision.plan.reasons[:1] != (Reason.FENCED,):
            assert verdict.desired == decision.desired


def test_each_shadow_has_a_window_of_its_own(make):
    slow = replace(LEAN, limits=replace(LEAN.limits, out_window_seconds=50.0))
    shadows = Shadows((Shadow("fast", LEAN), Shadow("slow", slow)))
    judged(shadows, LEAN, seen(make, 0.5), 100.0)
    _, _, verdicts = judged(shadows, LEAN, seen(make, 1.5), 101.0)
    assert [one.desired for one in verdicts] == [2, 1]
    assert verdicts[1].reason is Reason.OUT_WINDOW


def test_a_shadow_that_fails_says_so_and_the_others_go_on(make):
    broken = replace(LEAN, policies=(BrokenPolicy(),))
    heard = []
    shadows = Shadows((Shadow("broken", broken), Shadow("lean", LEAN)), heard.append)
    for now in (100.0, 101.0):
        _, decision, verdicts = judged(shadows, LEAN, seen(make, 1.5), now)
        assert decision.desired == 2
        assert (verdicts[0].desired, verdicts[1].desired) == (None, 2)
        assert verdicts[0].error
    assert heard[-1] == verdicts


def test_without_a_view_of_the_pool_no_shadow_can_tell(make):
    observation = replace(seen(make, 1.5), domains=None)
    _, _, (verdict,) = judged(Shadows((Shadow("lean", LEAN),)), LEAN, observation, 100.0)
    assert (verdict.desired, verdict.reason) == (None, Reason.HYPERVISOR_UNKNOWN)


def test_rules_can_be_changed_and_a_name_that_stays_remembers(make):
    slow = replace(LEAN, limits=replace(LEAN.limits, in_window_seconds=10.0))
    shadows = Shadows((Shadow("one", slow),))
    judged(shadows, LEAN, seen(make, 0.5, on=2), 100.0)
    shadows.replace((Shadow("one", slow), Shadow("new", slow)))
    _, _, verdicts = judged(shadows, LEAN, seen(make, 0.5, on=2), 111.0)
    assert [one.desired for one in verdicts] == [1, 2]
    assert verdicts[1].reason is Reason.IN_WINDOW_FILLING


def test_a_reference_policy_on_trial_needs_its_own_sustained_time(make):
    rules = replace(LEAN, policies=(ReferencePolicy(sustained_seconds=5.0),))
    shadows = Shadows((Shadow("cpu", rules),))
    from scaler.readings import Known

    for now, wanted in ((100.0, 1), (104.0, 1), (105.0, 2)):
        observation = seen(make, 0.5)
        observation = replace(
            observation, readings={**observation.readings, "cpu": Known(0.9, 1.0)}
        )
        _, _, (verdict,) = judged(shadows, LEAN, observation, now)
        assert verdict.desired == wanted
