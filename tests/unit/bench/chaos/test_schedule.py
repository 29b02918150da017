"""A seed repeats the schedule; every kind is in it."""

from collections import Counter

from bench.chaos.schedule import WEIGHTS, schedule


def test_the_same_seed_gives_the_same_faults():
    one = schedule(5, 200, workers=3, seconds=60.0)
    assert one == schedule(5, 200, workers=3, seconds=60.0)
    assert one != schedule(6, 200, workers=3, seconds=60.0)


def test_every_kind_comes_in_proportion():
    drawn = Counter(fault.kind for fault in schedule(1, 1000, workers=3, seconds=350.0))
    assert drawn.total() == 1000
    for kind, weight in WEIGHTS.items():
        assert drawn[kind] >= 1000 * weight // sum(WEIGHTS.values())


def test_a_short_run_has_every_kind_once():
    faults = schedule(1, len(WEIGHTS) + 20, workers=2, seconds=30.0)
    assert {fault.kind for fault in faults} == set(WEIGHTS)
    assert {fault.victim for fault in faults} == {0, 1}
    assert 10 < sum(fault.gap for fault in faults) < 90


def test_only_the_chosen_kinds():
    faults = schedule(1, 10, workers=1, seconds=1.0, kinds=["cut"])
    assert {fault.kind for fault in faults} == {"cut"}
