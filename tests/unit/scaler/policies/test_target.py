import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaler.policies.proposal import Headroom, PolicyContext
from scaler.policies.target import Measure, TargetPolicy
from scaler.pool import DomainState, DomainView, Lifecycle, PoolView
from scaler.readings import Empty, Failed, Known, NotANumber, Partial, Stale
from scaler.reasons import Reason


def pool_of(ready, booting=0):
    return PoolView.of(
        [
            *(DomainView(f"r{n}", DomainState.READY, Lifecycle.RUNNING) for n in range(ready)),
            *(DomainView(f"b{n}", DomainState.BOOTING, Lifecycle.RUNNING) for n in range(booting)),
        ]
    )


def ask(policy, value, ready, booting=0, reporting=None, changed_at=None, now=100.0):
    readings = {"target.value": value if not isinstance(value, float) else Known(value, 1.0)}
    if reporting is not None:
        readings["target.reporting"] = reporting
    context = PolicyContext(pool_of(ready, booting), changed_at, now)
    proposal, memory = policy.propose(readings, context, None)
    assert memory is None
    return proposal


@pytest.mark.parametrize(
    ("values", "target", "domains", "wanted"),
    [
        # From the tests of Kubernetes' replica calculator: the values of those that report.
        ([0.3, 0.5, 0.7], 0.3, 3, 5),
        ([0.1, 0.3, 0.5, 0.25, 0.25], 0.5, 5, 3),
        ([1.0, 1.01, 1.02], 1.0, 3, 3),
        ([0.4, 0.095], 1.0, 4, 3),
        ([0.1, 0.1, 0.1], 0.5, 4, 3),
        ([2.0], 0.5, 3, 4),
        # What is missing turns the direction: no action.
        ([0.7], 0.8, 4, 4),
        ([0.9], 0.8, 4, 4),
    ],
)
def test_hpa_examples(values, target, domains, wanted):
    policy = TargetPolicy(target=target, counts_reporting=True)
    mean = sum(values) / len(values)
    proposal = ask(policy, mean, domains, reporting=Known(len(values), 1.0))
    assert (proposal.low, proposal.desired, proposal.high) == (wanted, wanted, wanted)
    assert proposal.is_complete


def test_booting_domains_count_as_idle_on_the_way_out_and_as_full_on_the_way_in():
    policy = TargetPolicy(target=0.5)
    assert ask(policy, 1.0, 2, booting=1).desired == 4
    assert ask(policy, 0.75, 2, booting=1).reason is Reason.WITHIN_TOLERANCE
    assert ask(policy, 0.1, 3, booting=1).desired == 3
    assert ask(TargetPolicy(target=50.0, measure=Measure.MEAN), 10.0, 3, booting=1).desired == 2


def test_says_that_domains_do_not_report():
    proposal = ask(TargetPolicy(counts_reporting=True), 0.7, 4, reporting=Known(1, 1.0))
    assert (proposal.desired, proposal.reason) == (4, Reason.DOMAINS_NOT_REPORTING)


@pytest.mark.parametrize(
    ("total", "current", "wanted", "reason"),
    [
        (8600, 3, 3, Reason.WITHIN_TOLERANCE),
        (9600, 3, 4, Reason.TARGET),
        (29_000, 3, 10, Reason.TARGET),
        (0, 3, 0, Reason.TARGET),
        (2900, 0, 1, Reason.TARGET),
        (0, 0, 0, Reason.TARGET),
        (-5, 2, 0, Reason.TARGET),
    ],
)
def test_a_total_is_shared_among_the_domains(total, current, wanted, reason):
    policy = TargetPolicy(measure=Measure.TOTAL, target=2900.0)
    proposal = ask(policy, float(total), current)
    assert (proposal.desired, proposal.reason) == (wanted, reason)
    assert proposal.takes_headroom is (reason is Reason.TARGET)


def test_a_load_that_has_used_up_the_spare_domains_is_not_within_tolerance():
    policy = TargetPolicy(measure=Measure.TOTAL, target=3.0)

    def ask_with_headroom(total, current):
        context = PolicyContext(pool_of(current, 0), None, 0.0, headroom=Headroom(2))
        return policy.propose({"target.value": Known(total, 1.0)}, context, None)[0]

    used_up = ask_with_headroom(3.0, 1)
    assert (used_up.desired, used_up.reason, used_up.takes_headroom) == (1, Reason.TARGET, True)
    fits = ask_with_headroom(3.0, 3)
    assert (fits.desired, fits.reason) == (3, Reason.WITHIN_TOLERANCE)


def test_the_tolerance_can_be_narrower():
    policy = TargetPolicy(measure=Measure.TOTAL, target=2800.0, tolerance_ratio=0.01)
    assert ask(policy, 8600.0, 3).desired == 4


def test_one_domain_is_needed_to_report_at_all():
    assert ask(TargetPolicy(), Empty(), 0).reason is Reason.NONE_ACTIVE
    assert ask(TargetPolicy(), 0.0, 3).desired == 1


def test_the_mean_of_the_pool_as_it_was_is_not_acted_on():
    policy = TargetPolicy(averaging_seconds=30.0)
    assert ask(policy, 1.0, 2, changed_at=71.0).reason is Reason.POOL_IN_TRANSITION
    assert ask(policy, 1.0, 2, changed_at=70.0).desired == 3


@pytest.mark.parametrize("reading", [Empty(), NotANumber(), Stale(20.0), Failed("x")])
@pytest.mark.parametrize("measure", Measure)
def test_what_is_not_known_is_no_wish(reading, measure):
    proposal = ask(TargetPolicy(measure=measure), reading, 2)
    assert proposal.desired is None
    assert not proposal.is_complete


def test_an_unknown_count_of_those_that_report_may_raise_but_not_lower():
    policy = TargetPolicy(target=0.5, counts_reporting=True)
    proposal = ask(policy, 1.0, 2, reporting=Stale(20.0))
    assert proposal.desired == 4
    assert not proposal.is_complete
    assert not ask(policy, Partial(0.1, 1.0, "half"), 2, reporting=Known(2, 1.0)).is_complete


def test_signals_are_called_after_the_policy():
    assert TargetPolicy("memory", counts_reporting=True).signals == (
        "memory.value",
        "memory.reporting",
    )


@given(
    st.sampled_from(Measure),
    st.floats(0.05, 1.0),
    st.integers(0, 12),
    st.integers(0, 4),
    st.integers(0, 16),
    st.floats(0, 30),
    st.floats(0, 30),
)
def test_more_load_never_wishes_for_fewer(measure, target, ready, booting, reporting, value, more):
    policy = TargetPolicy(measure=measure, target=target, counts_reporting=True)
    count = Known(reporting, 1.0)
    lower = ask(policy, value, ready, booting, count)
    higher = ask(policy, value + more, ready, booting, count)
    assert higher.desired >= lower.desired
    assert lower == ask(policy, value, ready, booting, count)
