from typing import Any

from collector.domain_xml import Description
from collector.libvirt_source.descriptions import Descriptions

OLD, NEW = Description(title="old"), Description(title="new")


def fresh() -> Any:
    cache = Descriptions()
    cache.is_kept_fresh = True
    return cache


def never() -> None:
    raise AssertionError("read again")


def test_reads_once_while_nothing_changes() -> None:
    cache = fresh()
    assert cache.get("u", 1, lambda: OLD) is OLD
    assert cache.get("u", 1, never) is OLD


def test_reads_again_after_a_start_a_change_or_a_lost_connection() -> None:
    cache = fresh()
    cache.get("u", -1, lambda: OLD)
    assert cache.get("u", 2, lambda: NEW) is NEW
    cache.forget("u")
    assert cache.get("u", 2, lambda: OLD) is OLD
    cache.forget_all()
    assert cache.get("u", 2, lambda: NEW) is NEW


def test_all_are_known_or_none() -> None:
    cache = fresh()
    cache.get("u", 1, lambda: OLD)
    cache.get("v", 2, lambda: NEW)
    assert cache.all_of({"u": 1, "v": 2}) == {"u": OLD, "v": NEW}
    assert cache.all_of({"u": 1}) == {"u": OLD}
    assert cache.all_of({"u": 1, "v": 3}) is None
    assert cache.all_of({"u": 1, "w": 2}) is None
    cache.is_kept_fresh = False
    assert cache.all_of({"u": 1}) is None
    cache.is_kept_fresh = True
    cache.forget("u")
    assert cache.all_of({"u": 1}) is None


def test_a_change_during_the_reading_is_not_missed() -> None:
    cache = fresh()

    def read() -> Any:
        cache.forget("u")
        return OLD

    assert cache.get("u", 1, read) is OLD
    assert cache.get("u", 1, lambda: NEW) is NEW


def test_a_lost_connection_during_the_reading_is_not_missed() -> None:
    cache = fresh()

    def read() -> Any:
        cache.forget_all()
        return OLD

    cache.get("u", 1, read)
    assert cache.get("u", 1, lambda: NEW) is NEW


def test_trusts_nothing_while_nobody_tells_of_changes() -> None:
    cache = Descriptions()
    cache.get("u", 1, lambda: OLD)
    assert cache.get("u", 1, lambda: NEW) is NEW


def test_what_could_not_be_read_is_tried_again() -> None:
    cache = fresh()
    assert cache.get("u", 1, lambda: None) is None
    assert cache.get("u", 1, lambda: OLD) is OLD


def test_forgets_domains_that_exist_no_more() -> None:
    cache = fresh()
    cache.get("u", 1, lambda: OLD)
    cache.get("v", 2, lambda: OLD)
    cache.keep_only({"v"})
    assert cache.get("v", 2, never) is OLD
    assert cache.get("u", 1, lambda: NEW) is NEW
