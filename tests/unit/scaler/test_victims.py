import pytest

from scaler.pool import ActionKind, DomainState, DomainView, Lifecycle
from scaler.victims import victims


@pytest.fixture
def ready(make):
    def ready(name, slots=1, leases=0, oldest=None, **fields):
        worker = make.worker(name, leases=leases, slots=slots, oldest=oldest)
        return DomainView(name, DomainState.READY, Lifecycle.RUNNING, worker=worker, **fields)

    return ready


@pytest.fixture
def leave(make):
    def leave(surplus, *views, outdated=()):
        return [one.name for one in victims(make.pool(*views), surplus, frozenset(outdated))]

    return leave


def test_fewest_leases_then_the_youngest_lease_then_the_name(ready, leave):
    views = [
        ready("a", leases=2),
        ready("b", leases=1, oldest=10.0),
        ready("c", leases=1, oldest=20.0),
        ready("d"),
        ready("e"),
    ]
    assert leave(5, *views) == ["d", "e", "c", "b", "a"]
    assert leave(2, *views, outdated=["a", "e"]) == ["e", "a"]


def test_only_ready_ones_without_an_action(make, ready, leave):
    views = [make.view("a", "booting"), ready("b", in_flight=ActionKind.SETTLE), ready("c")]
    assert leave(3, *views) == ["c"]


def test_among_equals_the_largest_that_is_not_too_large_for_the_surplus(ready, leave):
    # One domain of the mean size (7 / 3 slots) is too much.
    views = [ready("a", 4), ready("b", 1), ready("c", 2)]
    assert leave(1, *views) == ["c"]
    # Two: 4.7 slots; when the large one goes, 0.7 are left: the smallest does the least harm.
    assert leave(2, *views) == ["a", "b"]
    assert leave(3, *views) == ["a", "c", "b"]


def test_when_all_are_too_large_the_smallest_goes(ready, leave):
    views = [ready("a", 8), ready("b", 8), ready("c", 1, leases=1)]
    assert leave(1, *views) == ["a"]
    views = [ready("a", 9), ready("b", 8), ready("c", 1, leases=1)]
    assert leave(1, *views) == ["b"]


def test_leases_come_before_the_size(ready, leave):
    assert leave(1, ready("a", 2, leases=1), ready("b", 8)) == ["b"]
