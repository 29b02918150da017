"""Drivers without bulk statistics, on a host in memory that holds containers as they start."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from collector.libvirt_source import LibvirtSource
from collector.ports import SourceError
from collector.records import Group
from servicekit.clock import SystemClock
from tests.unit.collector.libvirt_source.fake_host import FakeDomain, FakeHost

GROUPS = frozenset({Group.STATE, Group.CPU, Group.INFO})
NAMES = ["d0", "d1", "d2", "d3"]


@pytest.fixture
def host() -> Any:
    made = FakeHost(*(FakeDomain(name, number + 1) for number, name in enumerate(NAMES)))
    made.kind, made.supports_stats = "LXC", False
    return made


@pytest.fixture
def source(host: Any) -> Iterator[LibvirtSource]:
    made = LibvirtSource("fake:///host", SystemClock(), opener=host.open, hedge_after_seconds=0.05)
    yield made
    host.answering.set()
    for domain in host.domains.values():
        domain.thaw()
    made.close()


def told(reading: Any) -> dict[str, bool]:
    """Of each domain, whether its CPU time is known; a silent one is marked."""
    for one in reading.domains:
        assert one.is_timed_out is ("cpu.time" not in one.statistics)
    return {one.name: "cpu.time" in one.statistics for one in reading.domains}


def test_a_held_domain_costs_its_own_data_only_and_is_whole_when_it_is_let_go(
    host: Any, source: LibvirtSource
) -> None:
    assert told(source.read(GROUPS, 5)) == dict.fromkeys(NAMES, True)
    host.domains["uuid-d1"].freeze()
    for _ in range(6):
        began = time.monotonic()
        reading = source.read(GROUPS, 1)
        assert time.monotonic() - began < 1.2
        assert told(reading) == {"d0": True, "d1": False, "d2": True, "d3": True}
        # Nobody can list them meanwhile, so there may be another.
        assert not reading.parts["stats"].is_ok
        assert reading.parts[Group.INFO].is_ok
    assert len(host.handles) < 9
    host.domains["uuid-d1"].thaw()
    wait_until_whole(source)


def wait_until_whole(source: LibvirtSource) -> None:
    # Who was held may be missing once more: its question has been answered, and not yet returned.
    deadline = time.monotonic() + 5
    while True:
        reading = source.read(GROUPS, 1)
        has_all = all("cpu.time" in one.statistics for one in reading.domains)
        if has_all and reading.parts["stats"].is_ok:
            break
        assert time.monotonic() < deadline, reading
    assert told(reading) == dict.fromkeys(NAMES, True)


def test_a_domain_that_is_held_after_the_list_came_costs_its_own_data_only(
    host: Any, source: LibvirtSource
) -> None:
    source.read(GROUPS, 5)
    original = host.domains["uuid-d1"]
    waits = iter([False])
    host.waits = lambda domain: domain is original and next(waits, True)
    original.freeze()
    assert told(source.read(GROUPS, 2)) == {"d0": True, "d1": False, "d2": True, "d3": True}


def test_when_all_are_held_their_names_are_known_and_the_questions_that_wait_are_few(
    host: Any, source: LibvirtSource
) -> None:
    source.read(GROUPS, 5)
    for domain in host.domains.values():
        domain.freeze()
    for _ in range(6):
        began = time.monotonic()
        reading = source.read(GROUPS, 1)
        assert time.monotonic() - began < 1.2
        assert told(reading) == dict.fromkeys(NAMES, False)
    assert host.count("lookup") <= 4
    for domain in host.domains.values():
        domain.thaw()
    wait_until_whole(source)


def test_who_is_gone_meanwhile_is_left_out(host: Any, source: LibvirtSource) -> None:
    source.read(GROUPS, 5)
    host.domains["uuid-d1"].freeze()
    del host.domains["uuid-d3"]
    assert told(source.read(GROUPS, 1)) == {"d0": True, "d1": False, "d2": True}


def test_a_frozen_daemon_is_an_error_in_time_and_holds_three_questions(
    host: Any, source: LibvirtSource
) -> None:
    source.read(GROUPS, 5)
    before = len(host.calls)
    host.answering.clear()
    for _ in range(4):
        began = time.monotonic()
        with pytest.raises(SourceError, match="no answer within"):
            source.read(GROUPS, 0.3)
        assert time.monotonic() - began < 0.6
    assert host.calls[before:] == ["list", "survey", "libversion"]
    host.answering.set()
    wait_until_whole(source)


def test_what_a_driver_lacks_is_asked_once(host: Any, source: LibvirtSource) -> None:
    groups = GROUPS | {Group.VCPU, Group.BALLOON}
    for _ in range(5):
        source.read(groups, 5)
    # getCPUStats, vcpus, maxVcpus and memoryStats.
    assert host.count("unsupported") == 4


def test_a_daemon_that_ends_meanwhile_is_an_error_with_its_own_words(
    host: Any, source: LibvirtSource
) -> None:
    source.read(GROUPS, 5)
    host.domains["uuid-d1"].freeze()
    source.read(GROUPS, 1)
    host.end()
    with pytest.raises(SourceError, match="no such file"):
        source.read(GROUPS, 1)
