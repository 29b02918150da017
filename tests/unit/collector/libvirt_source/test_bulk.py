from typing import Any

import libvirt
import pytest

from collector.libvirt_source import bulk
from collector.records import BULK_GROUPS, Group
from tests.unit.collector import records

FULL = frozenset({Group.CPU, Group.BALLOON, Group.VCPU, Group.BLOCK})


def test_the_flags_are_libvirts() -> None:
    words = {Group.CPU: "CPU_TOTAL", Group.BLOCK_TRAFFIC: "BLOCK"}
    for group in BULK_GROUPS:
        name = f"VIR_DOMAIN_STATS_{words.get(group, group.name)}"
        assert bulk.flags({group}) == libvirt.VIR_DOMAIN_STATS_STATE | getattr(libvirt, name)
    assert bulk.NOWAIT == libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT


def test_groups_that_are_no_bulk_groups_have_no_flag() -> None:
    assert bulk.flags(frozenset(Group) - BULK_GROUPS) == libvirt.VIR_DOMAIN_STATS_STATE
    assert not bulk.needs_monitor(frozenset(Group) - BULK_GROUPS | bulk.WITHOUT_MONITOR)
    assert all(bulk.needs_monitor(frozenset({one})) for one in BULK_GROUPS - bulk.WITHOUT_MONITOR)


@pytest.mark.parametrize("record", [records.RUNNING, records.PAUSED])
def test_a_record_with_everything_is_complete(record: Any) -> None:
    assert bulk.is_complete(record, FULL)


def test_a_record_is_incomplete_only_for_groups_that_were_asked() -> None:
    assert not bulk.is_complete(records.FROZEN, FULL)
    assert not bulk.is_complete(records.FROZEN, frozenset({Group.BALLOON}))
    assert not bulk.is_complete(records.FROZEN, frozenset({Group.BLOCK}))
    assert bulk.is_complete(records.FROZEN, frozenset({Group.VCPU}))


def test_a_domain_without_disks_or_with_an_empty_drive_is_complete() -> None:
    block = frozenset({Group.BLOCK})
    assert bulk.is_complete({"block.count": 0}, block)
    assert bulk.is_complete({"block.count": 2, "block.1.rd.reqs": 0, "block.0.name": "sr0"}, block)


def test_only_the_state_means_no_bulk_statistics() -> None:
    assert not bulk.has_bulk_statistics(records.STATE_ONLY)
    assert bulk.has_bulk_statistics(records.RUNNING)
