from scaler.cold_starts import cold_starts
from scaler.host_room import Budget
from scaler.reasons import Reason

MIB = 1 << 20


def started(found):
    return [domain.name for domain in found.domains]


def test_the_order_is_doubt_then_image_then_failures_then_name(make):
    pool = make.pool(
        make.view("a", "off", defined_generation="bad"),
        make.view("b", "off", failures=1),
        make.view("c", "off"),
        make.view("d", "off", is_start_doubtful=True, failures=5),
    )
    found = cold_starts(pool, 4, 4, Budget(), avoided=frozenset({"bad"}))
    assert started(found) == ["d", "c", "b", "a"]
    assert started(cold_starts(pool, 2, 4, Budget())) == ["d", "a"]


def test_what_stands_in_the_way_is_told(make):
    pool = make.pool(make.view("a", "off"))
    assert cold_starts(pool, 0, 9, Budget()).reasons == ()
    assert cold_starts(pool, 2, 1, Budget()).reasons == (Reason.CEILING,)
    assert cold_starts(pool, 2, 9, Budget()).reasons == (Reason.NO_DOMAIN_LEFT,)
    leaving = make.pool(make.view("a", "off"), make.view("b", "draining"))
    assert cold_starts(leaving, 1, 0, Budget()).reasons == (Reason.DOMAINS_LEAVING,)
    theirs = make.pool(make.view("a", "quarantined_off"), make.view("b", "quarantined"))
    assert cold_starts(theirs, 1, 9, Budget()) == ((), (Reason.QUARANTINED,))


def test_smaller_domains_are_tried_when_a_larger_one_does_not_fit(make):
    large = make.view("a", "off", memory_bytes=64 * MIB)
    pool = make.pool(large, make.view("b", "off", memory_bytes=16 * MIB))
    found = cold_starts(pool, 1, 9, Budget(32 * MIB))
    assert (started(found), found.reasons) == (["b"], (Reason.HOST_MEMORY,))


def test_a_way_down_that_is_not_settled_waits_unless_the_dispatcher_is_away(make):
    pool = make.pool(make.view("a", "off", operation=make.operation("shutdown")))
    assert started(cold_starts(pool, 1, 9, Budget())) == []
    assert started(cold_starts(pool, 1, 9, Budget(), fleet_known=False)) == ["a"]
