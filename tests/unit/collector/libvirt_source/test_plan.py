from typing import Any

from collector.libvirt_source.plan import Plan, Present, plan


def active(count: Any) -> Any:
    return [Present(f"a{number}", True) for number in range(count)]


def test_so_many_connections_as_the_domains_are_worth() -> None:
    counts = {0: 0, 1: 1, 7: 1, 8: 2, 20: 5, 31: 7, 60: 8, 1000: 8}
    for domains, shares in counts.items():
        assert len(plan(active(domains), (), idle=8).shares) == shares, domains


def test_inactive_domains_cost_nothing_and_are_no_reason_for_a_connection() -> None:
    off = [Present(f"i{number}", False) for number in range(100)]
    (share,) = plan(off, (), idle=8).shares
    assert len(share) == 100


def test_who_hangs_is_asked_apart() -> None:
    dealt = plan(active(3), {"a1"}, idle=2)
    assert dealt == Plan((("a0", "a2"),), ("a1",), ())


def test_with_stuck_questions_fewer_are_risked_and_in_the_end_none() -> None:
    counts = [len(plan(active(60), (), idle=8 - stuck, stuck=stuck).shares) for stuck in range(6)]
    assert counts == [8, 3, 2, 1, 0, 0]
    assert len(plan(active(60), (), idle=4, stuck=4).unasked) == 60
