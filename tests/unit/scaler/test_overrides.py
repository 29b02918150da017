import pytest

from scaler import overrides
from scaler.overrides import NO_ORDERS, Hold, Orders, Override, OverrideKind
from scaler.reasons import Reason
from scaler.stabilization import Limits, Stabilised, Step

LIMITS = Limits(min=1, max=4)


def order(kind, domains=None, *, at=0.0, until=None, author="ann", name=None, domain=""):
    kind = OverrideKind(kind)
    return Override(name or f"{kind}-{at}", kind, author, "test", at, until, domains, domain)


def applied(desired, *given, current=2, limits=LIMITS):
    before = Stabilised(desired, desired, (Step(Reason.MIN, 0, desired),), is_complete=True)
    after = overrides.apply(before, overrides.orders(given), current, limits)
    assert after.steps[0] == before.steps[0]
    return after.desired, [step.reason.value for step in after.steps[1:]]


def test_no_order_changes_nothing():
    assert overrides.orders([]) == NO_ORDERS
    assert applied(3) == (3, [])


@pytest.mark.parametrize(
    ("given", "desired", "reasons"),
    [
        ([order("hold", 4)], 4, ["override_hold"]),
        ([order("hold", 0)], 0, ["override_hold"]),
        ([order("floor", 3)], 3, ["override_floor"]),
        ([order("floor", 1)], 2, []),
        ([order("ceiling", 1)], 1, ["override_ceiling"]),
        ([order("ceiling", 3)], 2, []),
        ([order("floor", 4), order("ceiling", 3)], 3, ["override_floor", "override_ceiling"]),
        ([order("hold", 1), order("floor", 3)], 3, ["override_hold", "override_floor"]),
        ([order("hold", 4), order("ceiling", 1)], 1, ["override_hold", "override_ceiling"]),
        ([order("hold", 9)], 4, ["override_hold", "max"]),
        ([order("floor", 9)], 4, ["override_floor", "max"]),
        ([order("floor", 4), order("block_out")], 2, ["override_floor", "override_blocks_out"]),
        ([order("ceiling", 1), order("block_in")], 2, ["override_ceiling", "override_blocks_in"]),
        ([order("pause"), order("dry_run"), order("drain", domain="a")], 2, []),
    ],
)
def test_the_later_in_the_order_wins_and_each_change_says_why(given, desired, reasons):
    assert applied(2, *given) == (desired, reasons)


def test_blocked_directions_hold_the_pool_where_it_is():
    assert applied(4, order("block_out")) == (2, ["override_blocks_out"])
    assert applied(1, order("block_in")) == (2, ["override_blocks_in"])
    assert applied(4, order("block_in")) == (4, [])
    assert applied(1, order("block_out")) == (1, [])
    both = [order("block_out"), order("block_in")]
    assert applied(4, *both)[0] == applied(1, *both)[0] == 2


def test_the_configured_maximum_holds_against_a_blocked_scale_in():
    assert applied(3, order("block_in"), current=6)[0] == 4


def test_of_several_the_newest_hold_the_highest_floor_and_the_lowest_ceiling_count():
    given = overrides.orders(
        [
            order("hold", 3, at=2.0),
            order("hold", 1, at=1.0),
            order("floor", 1),
            order("floor", 2, at=1.0),
            order("ceiling", 4),
            order("ceiling", 3, at=1.0),
            order("drain", domain="a"),
            order("drain", domain="b"),
        ]
    )
    assert (given.held_at, given.floor, given.ceiling) == (3, 2, 3)
    assert given.drained == {"a", "b"}
    assert given.kinds == {
        OverrideKind.HOLD,
        OverrideKind.FLOOR,
        OverrideKind.CEILING,
        OverrideKind.DRAIN,
    }


def test_an_order_ends_at_its_expiry():
    given = [order("floor", 2, until=10.0), order("pause", until=20.0), order("dry_run", at=1.0)]
    assert [one.kind.value for one in overrides.in_force(given, 9.9)] == [
        "floor",
        "pause",
        "dry_run",
    ]
    assert [one.kind.value for one in overrides.in_force(given, 10.0)] == ["pause", "dry_run"]
    assert [one.kind.value for one in overrides.in_force(given, 99.0)] == ["dry_run"]


def test_the_newest_pause_says_who_and_why():
    assert overrides.pause([order("floor", 1)]) is None
    given = [order("pause", at=2.0, author="bob"), order("pause", at=1.0)]
    assert overrides.pause(given) == Hold("bob", "test")


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ([order("floor", 3), order("ceiling", 2)], "floor 3 is above ceiling 2"),
        ([order("hold", 3), order("ceiling", 2)], "hold 3 is above ceiling 2"),
        ([order("hold", 1), order("floor", 2)], "hold 1 is below floor 2"),
        ([order("hold", 9)], "max = 4: max wins"),
        ([order("floor", 9)], "max = 4: max wins"),
        ([order("ceiling", 0)], "min = 1: the ceiling wins"),
        ([order("pause"), order("floor", 2)], "scaling is paused"),
    ],
)
def test_contradictions_are_told(given, text):
    (told,) = overrides.contradictions(given, LIMITS)
    assert text in told
    assert overrides.contradictions(given[:0], LIMITS) == []


@pytest.mark.parametrize(
    "one",
    [
        order("pause"),
        order("floor", 3, until=9.5),
        order("hold", 0),
        order("drain", domain="vs-1"),
    ],
)
def test_comes_back_from_its_record(one):
    assert overrides.from_record(overrides.to_record(one)) == one


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "nap"},
        {"kind": None},
        {"created_at": "soon"},
        {"domains": None},
        {"domains": "many"},
        {"domain": "a"},
        {"kind": "pause"},
        {"kind": "drain", "domains": None},
        {"author": ...},
    ],
)
def test_a_record_of_another_form_is_refused(change):
    record = {**overrides.to_record(order("floor", 2)), **change}
    record = {name: value for name, value in record.items() if value is not ...}
    with pytest.raises(ValueError, match=r"."):
        overrides.from_record(record)


def test_orders_are_values():
    assert overrides.orders([order("floor", 1)]) == Orders(
        floor=1, kinds=frozenset({OverrideKind.FLOOR})
    )
