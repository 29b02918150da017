"""Statistics by calls for single domains."""

from typing import Any

import libvirt
import pytest

from collector.libvirt_source.per_domain import PerDomain
from collector.records import Group
from tests.unit.collector.libvirt_source.fake_host import Refused

GROUPS = frozenset({Group.STATE, Group.CPU, Group.BALLOON, Group.VCPU, Group.BLOCK})


class Domain:
    """Answers as libvirt 9.0 was heard to, for a container of 64 MiB that uses 428 KiB."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.fault = libvirt.VIR_ERR_NO_SUPPORT

    def info(self) -> Any:
        return [1, 65536, 428, 1, 28_362_350]

    def getCPUStats(self, _is_total: Any, _flags: Any) -> Any:
        return [{"cpu_time": 28_362_350, "user_time": 20_000_000, "system_time": 0}]

    def memoryStats(self) -> Any:
        return {"actual": 65536, "swap_in": 428, "rss": 428}

    def vcpus(self) -> Any:
        self.calls.append("vcpus")
        raise Refused(self.fault)

    def maxVcpus(self) -> Any:
        return 4

    def blockStats(self, _disk: Any) -> Any:
        self.calls.append("blockStats")
        raise Refused(libvirt.VIR_ERR_INTERNAL_ERROR, "missing disk device alias name for sda")

    def XMLDesc(self, _flags: Any) -> Any:
        return "<domain><devices><disk><target dev='sda'/></disk></devices></domain>"


def test_of_a_container_what_it_was_given_and_what_it_uses_are_told_apart() -> None:
    told = PerDomain("LXC").statistics(Domain(), GROUPS)
    assert told["balloon.current"] == told["balloon.maximum"] == 65536
    assert told["balloon.rss"] == 428
    assert "balloon.swap_in" not in told
    # Without its memory statistics only what it uses is known, and that has another name.
    assert "balloon.current" not in PerDomain("LXC").statistics(Domain(), frozenset({Group.STATE}))


def test_of_a_container_no_disk_is_asked() -> None:
    domain = Domain()
    assert not any(key.startswith("block") for key in PerDomain("LXC").statistics(domain, GROUPS))
    assert "blockStats" not in domain.calls


def test_another_driver_is_believed() -> None:
    domain = Domain()
    told = PerDomain("Xen").statistics(domain, GROUPS)
    assert told["balloon.swap_in"] == 428
    assert "blockStats" in domain.calls


def test_one_call_that_is_lacking_costs_nothing_else() -> None:
    assert PerDomain("LXC").statistics(Domain(), GROUPS)["vcpu.maximum"] == 4


@pytest.mark.parametrize(
    ("fault", "count"),
    [(libvirt.VIR_ERR_NO_SUPPORT, 1), (libvirt.VIR_ERR_OPERATION_INVALID, 3)],
)
def test_only_what_the_driver_lacks_is_not_asked_again(fault: int, count: int) -> None:
    asked, domain = PerDomain("LXC"), Domain()
    domain.fault = fault
    for _ in range(3):
        asked.statistics(domain, GROUPS)
    assert domain.calls.count("vcpus") == count
