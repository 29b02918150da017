import pytest

from scaler.incidents import Incident
from scaler.reasons import Reason
from scaler.rollout import Rollout, RolloutSettings, Trials, assess, observed

SETTINGS = RolloutSettings()


@pytest.fixture
def domain(make):
    def domain(name, state, runs="old", defined="new", **fields):
        return make.view(name, state, generation=runs, defined_generation=defined, **fields)

    return domain


@pytest.fixture
def assessed(make):
    def assessed(*views, desired, ceiling=4, trials=None, settings=SETTINGS, **arguments):
        pool = make.pool(*views)
        return assess(settings, trials or Trials(), pool, desired, ceiling, **arguments)

    return assessed


def test_nothing_is_outdated(domain, assessed):
    current = domain("a", "ready", runs="new")
    unknown = domain("b", "ready", runs="", defined="new")
    assert assessed(current, unknown, domain("c", "off"), desired=2) == Rollout()


def test_one_more_is_started_where_there_is_room(domain, assessed):
    found = assessed(domain("a", "ready"), domain("b", "off", runs="new"), desired=1)
    assert (found.surge, found.in_place) == (1, 0)
    assert found.outdated == {"a"}


@pytest.mark.parametrize("ceiling", [1, 0])
def test_without_room_an_outdated_one_goes_first(domain, assessed, ceiling):
    found = assessed(
        domain("a", "ready"), domain("b", "off", runs="new"), desired=1, ceiling=ceiling
    )
    assert (found.surge, found.in_place) == (0, 1)


def test_a_surge_that_boots_is_waited_for(domain, assessed):
    found = assessed(domain("a", "ready"), domain("b", "booting", runs="new"), desired=1)
    assert (found.surge, found.in_place) == (1, 0)


def test_the_next_one_waits_for_the_last_to_be_off(domain, assessed):
    views = [
        domain("a", "ready"),
        domain("b", "ready", runs="new"),
        domain("c", "shutting_down"),
        domain("d", "off", runs="new"),
    ]
    found = assessed(*views, desired=2)
    assert (found.surge, found.in_place) == (0, 0)
    assert found.let_go == {"c"}


@pytest.mark.parametrize("state", ["booting", "silent", "starting"])
def test_nothing_begins_while_capacity_is_missing(domain, assessed, state):
    views = [domain("a", "ready"), domain("b", state), domain("c", "off")]
    found = assessed(*views, desired=2)
    assert (found.surge, found.in_place) == (0, 0)


def test_nothing_begins_when_nothing_can_be_started(domain, assessed):
    found = assessed(domain("a", "ready"), domain("b", "off"), desired=1, may_start=False)
    assert (found.surge, found.in_place) == (0, 0)


def test_an_image_is_given_up_after_two_failures(domain, make):
    failing = make.pool(domain("a", "ready"), domain("b", "failed", runs="new"))
    trials = Trials()
    for _ in range(2):
        assert not trials.bad(SETTINGS)
        trials = observed(trials, failing, [("b", Incident.BOOT_FAILED)])
    assert trials.bad(SETTINGS) == {"new"}
    found = assess(SETTINGS, trials, failing, 1, 4)
    assert (found.surge, found.in_place, found.outdated) == (0, 0, frozenset())
    assert found.reason is Reason.ROLLOUT_GIVEN_UP


def test_an_image_that_worked_once_is_not_given_up(domain, make):
    pool = make.pool(domain("a", "ready", runs="new"), domain("b", "failed", runs="new"))
    trials = Trials()
    for _ in range(5):
        trials = observed(trials, pool, [("b", Incident.BOOT_FAILED)])
    assert not trials.bad(SETTINGS)


def test_images_that_are_gone_are_forgotten(domain, make):
    failing = make.pool(domain("b", "failed", runs="bad", defined="bad"))
    trials = observed(Trials(), failing, [("b", Incident.BOOT_FAILED)])
    mended = make.pool(domain("b", "ready", runs="mended", defined="mended"))
    assert observed(trials, mended, []) == Trials(good=frozenset({"mended"}))


@pytest.mark.parametrize(
    ("state", "kept", "is_back"),
    [
        ("off", "old", True),
        ("ready", "old", True),
        ("off", "", False),
        ("off", "new", False),
        ("booting", "old", False),
        ("shutting_down", "old", False),
    ],
)
def test_what_names_a_bad_image_goes_back_when_it_is_at_rest(
    domain, assessed, state, kept, is_back
):
    trials = Trials(failures={"new": 2})
    found = assessed(domain("a", state, kept_generation=kept), desired=1, trials=trials)
    assert found.rolled_back == (("a",) if is_back else ())
    assert found.avoided == {"new"}


def test_what_is_in_use_is_not_put_back_under_an_action(domain, assessed, make):
    trials = Trials(failures={"new": 2})
    going = domain("a", "off", kept_generation="old", operation=make.operation("shutdown"))
    assert assessed(going, desired=1, trials=trials).rolled_back == ()


def test_standby_domains_do_not_serve_and_hold_their_places(domain, assessed):
    views = [domain("a", "ready"), domain("c", "off", runs="new")]
    waits = domain("b", "standby_paused", runs="new")
    found = assessed(*views, waits, desired=1, ceiling=3)
    assert (found.surge, found.in_place, found.outdated) == (1, 0, {"a"})
    found = assessed(*views, waits, desired=1, ceiling=2)
    assert (found.surge, found.in_place) == (0, 1)


@pytest.mark.parametrize("state", ["standby_paused", "preparing", "suspending", "saving"])
def test_what_becomes_standby_or_gives_way_is_waited_for(domain, assessed, state):
    views = [domain("a", "ready"), domain("b", state), domain("c", "off", runs="new")]
    found = assessed(*views, desired=1, ceiling=2)
    assert (found.surge, found.in_place, found.reason) == (0, 0, None)


@pytest.mark.parametrize("worker_state", ["cordoned", "ready", "draining"])
def test_a_boot_for_standby_proves_its_image_at_its_hello(domain, make, worker_state):
    booted = domain("b", "preparing", runs="new", worker_state=worker_state)
    assert observed(Trials(), make.pool(booted), []).good == {"new"}


def test_a_boot_for_standby_that_goes_on_at_once_proves_its_image_too(domain, make):
    waits = domain("b", "standby_paused", runs="new")
    assert not observed(Trials(), make.pool(waits), []).good
    assert observed(Trials(), make.pool(waits), [("b", Incident.BOOT_FINISHED)]).good == {"new"}


def test_a_boot_for_standby_without_a_hello_proves_nothing_and_a_failed_one_counts(domain, make):
    boots = domain("b", "preparing", runs="new", worker_state="disconnected")
    assert not observed(Trials(), make.pool(boots), []).good
    failed = make.pool(domain("b", "failed", runs="new"))
    trials = observed(Trials(), failed, [("b", Incident.BOOT_FAILED)])
    assert trials.failures == {"new": 1}


@pytest.mark.parametrize("incident", [Incident.WAKE_FAILED, Incident.WAKE_FINISHED])
def test_a_wake_says_nothing_of_the_image(domain, make, incident):
    pool = make.pool(domain("b", "failed", runs="new"))
    assert observed(Trials(), pool, [("b", incident)]) == Trials()
