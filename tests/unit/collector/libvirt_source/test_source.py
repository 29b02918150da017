"""The whole source, on a host in memory that does what real ones do only now and then."""

import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import libvirt
import pytest

from collector.libvirt_source import LibvirtSource
from collector.libvirt_source.processes import Processes
from collector.ports import SourceError
from collector.records import DEFAULT_GROUPS, Group
from servicekit.clock import SystemClock
from tests.unit.collector.libvirt_source import fake_proc
from tests.unit.collector.libvirt_source.fake_host import (
    BALLOON,
    FakeDomain,
    FakeHost,
    FakePool,
    Refused,
)

TRAFFIC = frozenset({Group.STATE, Group.INTERFACE, Group.BLOCK_TRAFFIC})
FULL = frozenset({Group.STATE, Group.CPU, Group.BALLOON, Group.VCPU, Group.INTERFACE, Group.BLOCK})


@pytest.fixture
def made() -> Iterator[Any]:
    """Makes sources and ends them, with whatever hangs on their host."""
    sources, hosts = [], []

    def make(host: Any, **options: Any) -> Any:
        options = {"hedge_after_seconds": 0.05, **options}
        url = options.pop("url", "fake:///host")
        source = LibvirtSource(url, SystemClock(), opener=host.open, **options)
        sources.append(source)
        hosts.append(host)
        return source

    yield make
    for host in hosts:
        host.answering.set()
        host.has_looked.set()
        for domain in host.domains.values():
            domain.thaw()
        for pool in host.pools.values():
            pool.answering.set()
    for source in sources:
        source.close()


def domains(count: Any, **options: Any) -> Any:
    return [FakeDomain(f"d{number:02}", number + 1, **options) for number in range(count)]


def by_name(reading: Any) -> Any:
    return {one.name: one for one in reading.domains}


def is_whole(record: Any) -> Any:
    return "balloon.rss" in record.statistics and "block.0.rd.reqs" in record.statistics


def test_reads_every_domain_once_and_in_the_order_of_names(made: Any) -> None:
    reading = made(FakeHost(*reversed(domains(30)))).read(FULL, 5)
    assert [one.name for one in reading.domains] == [f"d{number:02}" for number in range(30)]
    assert all(is_whole(one) for one in reading.domains)
    assert reading.parts["stats"].is_ok


def test_a_reading_takes_one_call_for_the_survey_and_one_for_each_share(made: Any) -> None:
    host = FakeHost(*domains(60))
    source = made(host)
    groups = FULL | {Group.INFO, Group.VERSIONS}
    source.read(groups, 5)
    host.calls.clear()
    source.read(groups, 5)
    assert host.count("survey") == 1
    assert host.count("bulk") == 8
    assert len(host.calls) == 9


def test_few_domains_are_not_spread_and_some_groups_need_the_survey_only(made: Any) -> None:
    host = FakeHost(*domains(3))
    source = made(host)
    source.read(FULL, 5)
    host.calls.clear()
    source.read(FULL, 5)
    assert host.calls == ["survey", "bulk"]
    host.calls.clear()
    source.read(FULL & {Group.INTERFACE}, 5)
    assert host.calls == ["survey"]


def test_an_operator_may_choose_the_number_of_connections(made: Any) -> None:
    host = FakeHost(*domains(60))
    source = made(host, shards=3)
    source.read(FULL, 5)
    host.calls.clear()
    source.read(FULL, 5)
    assert host.count("bulk") == 3


def test_a_frozen_domain_costs_its_own_traffic_only_and_is_whole_after_it_thaws(made: Any) -> None:
    frozen, *others = domains(20)
    source = made(FakeHost(frozen, *others))
    source.read(TRAFFIC, 5)
    frozen.freeze()
    for _ in range(3):
        began = time.monotonic()
        found = by_name(source.read(TRAFFIC, 2))
        assert time.monotonic() - began < 2.5
        assert all("block.0.rd.reqs" in found[one.name].statistics for one in others)
        assert "block.0.rd.reqs" not in found[frozen.name].statistics
        assert found[frozen.name].is_timed_out
    frozen.thaw()
    until_untaken(frozen)
    record = by_name(source.read(TRAFFIC, 2))[frozen.name]
    assert "block.0.rd.reqs" in record.statistics
    assert not record.is_timed_out


def test_a_frozen_domain_costs_its_own_data_only_and_is_whole_after_it_thaws(made: Any) -> None:
    frozen, *others = domains(20)
    source = made(FakeHost(frozen, *others))
    source.read(FULL, 5)
    frozen.freeze()
    for _ in range(3):
        began = time.monotonic()
        found = by_name(source.read(FULL, 2))
        assert time.monotonic() - began < 2.5
        assert all(is_whole(found[one.name]) for one in others)
        record = found[frozen.name]
        assert not is_whole(record)
        assert record.is_timed_out
        assert record.control.seconds == 60
        assert record.statistics["balloon.maximum"] == 1024
    frozen.thaw()
    until_untaken(frozen)
    record = by_name(source.read(FULL, 2))[frozen.name]
    assert is_whole(record)
    assert not record.is_timed_out
    assert record.control is None


def until_untaken(domain: Any) -> None:
    end = time.monotonic() + 5
    while domain.taken:
        assert time.monotonic() < end


def test_a_domain_that_is_known_to_hang_holds_up_no_later_reading(made: Any) -> None:
    frozen, *others = domains(20)
    source = made(FakeHost(frozen, *others), hedge_after_seconds=1)
    source.read(FULL, 5)
    frozen.freeze()
    source.read(FULL, 5)
    began = time.monotonic()
    source.read(FULL, 5)
    assert time.monotonic() - began < 0.5


def test_when_all_freeze_the_calls_that_hang_are_few_and_the_states_are_known(made: Any) -> None:
    all_of_them = domains(40)
    source = made(FakeHost(*all_of_them))
    source.read(FULL, 5)
    for one in all_of_them:
        one.freeze()
    for _ in range(4):
        reading = source.read(FULL, 20)
        assert [one.statistics["state.state"] for one in reading.domains] == [1] * 40
        assert not reading.parts["stats"].is_ok
        assert sum(one.taken for one in all_of_them) <= 8
        # What virDomainGetInfo tells, but for the CPU time, which is another clock.
        untold = next(one for one in reading.domains if "cpu.time" not in one.statistics)
        assert untold.statistics["vcpu.current"] == 3
        assert untold.statistics["balloon.maximum"] == 2048


def test_when_many_thaw_the_next_reading_is_whole(made: Any) -> None:
    all_of_them = domains(40)
    source = made(FakeHost(*all_of_them))
    source.read(FULL, 5)
    for one in all_of_them:
        one.freeze()
    source.read(FULL, 20)
    for one in all_of_them:
        one.thaw()
    for one in all_of_them:
        until_untaken(one)
    reading = source.read(FULL, 20)
    assert all(is_whole(one) and not one.is_timed_out for one in reading.domains)


def test_a_slow_host_is_waited_for_while_nobody_hangs(made: Any) -> None:
    host = FakeHost(*domains(4))
    source = made(host, hedge_after_seconds=0.02)
    source.read(FULL, 5)
    host.calls.clear()

    def slow(domain: Any, flags: Any) -> Any:
        if flags & 32:
            threading.Event().wait(0.05)
        return host.usual_statistics(domain, flags)

    host.statistics = slow
    reading = source.read(FULL, 5)
    assert all(is_whole(one) for one in reading.domains)
    assert host.count("bulk") == 1


def test_a_domain_somebody_else_held_for_a_moment_is_asked_again(made: Any) -> None:
    held, *others = domains(6)
    host = FakeHost(held, *others)
    source = made(host)
    source.read(FULL, 5)
    asked: list[int] = []

    def once_held(domain: Any, flags: Any) -> Any:
        told = host.usual_statistics(domain, flags)
        if domain is held and flags & 32:
            asked.append(flags)
            if len(asked) == 1:
                del told["balloon.rss"], told["block.0.rd.reqs"]
        return told

    host.statistics = once_held
    assert is_whole(by_name(source.read(FULL, 5))[held.name])
    assert len(asked) == 2


def test_domains_that_come_go_and_change_their_names_between_two_calls(made: Any) -> None:
    host = FakeHost(*domains(5))
    source = made(host)
    source.read(FULL, 5)

    def meanwhile() -> None:
        host.domains.pop("uuid-d00", None)
        host.domains["uuid-d01"].name = "renamed"
        host.domains["uuid-d02"].number = 77
        host.domains["uuid-d03"].number = -1
        host.domains["uuid-new"] = FakeDomain("new", 9)

    host.after_survey = meanwhile
    found = by_name(source.read(FULL, 5))
    assert sorted(found) == ["d02", "d03", "d04", "renamed"]
    assert found["d02"].number == 77
    assert found["d03"].statistics == {"state.state": 5, "state.reason": 1}
    assert not found["d03"].is_timed_out
    assert "new" in by_name(source.read(FULL, 5))


def test_no_name_is_there_twice(made: Any) -> None:
    host = FakeHost(*domains(2))
    source = made(host)
    source.read(FULL, 5)

    def swapped() -> None:
        host.domains["uuid-d00"].name = "d01"

    host.after_survey = swapped
    assert [one.name for one in source.read(FULL, 5).domains] == ["d01"]


def test_names_that_are_not_wanted_are_never_asked(made: Any) -> None:
    host = FakeHost(*domains(20))
    source = made(host, include=re.compile("d0."), exclude=re.compile("d0[0-4]"))
    assert sorted(by_name(source.read(DEFAULT_GROUPS, 5))) == ["d05", "d06", "d07", "d08", "d09"]


def test_the_traffic_of_a_lone_disk_is_one_question_to_each_qemu(made: Any) -> None:
    host = FakeHost(*domains(20))
    source = made(host)
    source.read(TRAFFIC, 5)
    host.calls.clear()
    reading = source.read(TRAFFIC, 5)
    assert host.count("block") == 20
    told = reading.domains[0].statistics
    assert [told[f"block.0.{key}"] for key in ("name", "rd.reqs", "rd.bytes", "wr.reqs")] == [
        *("vda", 3, 4096, 5)
    ]
    assert "block.0.wr.bytes" not in told
    assert reading.parts["stats"].is_ok
    assert all(one.description is None for one in reading.domains)
    host.calls.clear()
    source.read(TRAFFIC | {Group.BLOCK}, 5)
    assert host.count("block") == 0


@pytest.mark.parametrize("disks", ["", "<disk><target dev='vda'/></disk>" * 2, "<"])
def test_the_traffic_of_other_than_one_disk_comes_in_bulk(made: Any, disks: Any) -> None:
    host = FakeHost(*domains(4))
    host.disks = disks.replace("vda", "sda", 1)
    reading = made(host).read(TRAFFIC, 5)
    assert host.count("block") == 0
    assert all(one.statistics["block.0.rd.reqs"] == 3 for one in reading.domains)


@pytest.mark.parametrize(
    "fault", [libvirt.VIR_ERR_OPERATION_INVALID, libvirt.VIR_ERR_OPERATION_TIMEOUT]
)
def test_traffic_that_cannot_be_had_at_once_comes_in_bulk(made: Any, fault: Any) -> None:
    host = FakeHost(*domains(4))
    host.block_fault = fault
    reading = made(host).read(TRAFFIC, 5)
    assert all(one.statistics["block.0.rd.reqs"] == 3 for one in reading.domains)
    assert reading.parts["stats"].is_ok


def test_info_fills_in_for_groups_that_were_not_asked(made: Any) -> None:
    host = FakeHost(*domains(4))
    source = made(host)
    (first, *_) = source.read(frozenset({Group.STATE, Group.BLOCK}), 5).domains
    assert first.statistics["cpu.time"] == 5_000_000_000
    assert first.statistics["vcpu.current"] == 3
    assert first.statistics["balloon.maximum"] == 2048
    (first, *_) = source.read(FULL - {Group.VCPU}, 5).domains
    assert first.statistics["cpu.time"] == 7_000_000_000
    assert first.statistics["balloon.maximum"] == 1024
    assert first.statistics["vcpu.current"] == 3


def mute_host(count: int, proc: Path) -> FakeHost:
    """Guests that tell nothing of their memory, and a /proc with their QEMUs."""
    host = FakeHost(*domains(count))
    for number, uuid in enumerate(host.domains, 1):
        fake_proc.add(proc, number, uuid, pages=512 // fake_proc.PAGE_KIB)

    def told(domain: Any, flags: Any) -> Any:
        found = host.usual_statistics(domain, flags)
        return {**found, "balloon.last-update": 0} if "balloon.rss" in found else found

    host.statistics = told
    return host


def until_mute(source: Any, host: Any) -> None:
    """Reads until the guests are known to tell nothing."""
    end = time.monotonic() + 5
    while True:
        assert time.monotonic() < end
        host.calls.clear()
        source.read(FULL, 5)
        if host.count("info"):
            return


def test_a_guest_that_tells_nothing_of_its_memory_is_asked_for_it_now_and_then(
    made: Any, tmp_path: Path
) -> None:
    host = mute_host(20, tmp_path)
    source = made(host, url="qemu:///system", processes=Processes(tmp_path))
    first = source.read(FULL, 5)
    until_mute(source, host)
    host.calls.clear()
    asked: list[int] = []
    told = host.statistics

    def noted(domain: Any, flags: Any) -> Any:
        asked.append(flags & BALLOON)
        return told(domain, flags)

    host.statistics = noted
    second = source.read(FULL, 5)
    assert sum(asked) == 0
    assert (host.count("bulk"), host.count("info")) == (5, 20)
    assert second.parts["stats"].is_ok
    for before, after in zip(first.domains, second.domains, strict=True):
        assert is_whole(after)
        assert before.statistics.keys() == after.statistics.keys()
        assert after.statistics["balloon.maximum"] == 2048  # what virDomainGetInfo says here
        assert after.statistics["balloon.rss"] == before.statistics["balloon.rss"]


def test_a_mute_guest_whose_qemu_hangs_is_found_and_has_what_info_tells(
    made: Any, tmp_path: Path
) -> None:
    host = mute_host(20, tmp_path)
    frozen, *others = host.domains.values()
    source = made(host, url="qemu:///system", processes=Processes(tmp_path))
    until_mute(source, host)
    frozen.freeze()
    for _ in range(3):
        found = by_name(source.read(FULL, 2))
        assert all(is_whole(found[one.name]) for one in others)
        record = found[frozen.name]
        assert record.is_timed_out
        assert "block.0.rd.reqs" not in record.statistics
        assert record.statistics["balloon.maximum"] == 2048
    frozen.thaw()
    until_untaken(frozen)
    assert is_whole(by_name(source.read(FULL, 2))[frozen.name])


@pytest.mark.parametrize("url", ["qemu+ssh://host/system", "qemu://host/system", "xen:///"])
def test_the_guests_of_another_host_are_asked_each_time(
    made: Any, tmp_path: Path, url: str
) -> None:
    host = mute_host(4, tmp_path)
    source = made(host, url=url, processes=Processes(tmp_path))
    source.read(FULL, 5)
    source.read(FULL, 5)
    assert host.count("info") == 0


def test_a_restarted_daemon_is_read_again_at_once(made: Any) -> None:
    host = FakeHost(*domains(20))
    source = made(host)
    source.read(FULL, 5)
    host.is_up = False
    with pytest.raises(SourceError, match=r"fake:///host.*is the daemon"):
        source.read(FULL, 5)
    host.is_up = True
    assert len(source.read(FULL, 5).domains) == 20
    assert source.reconnects > 0


def test_a_daemon_that_is_restarted_behind_another_is_read_again_at_once(made: Any) -> None:
    host = FakeHost(*domains(3))
    source = made(host)
    source.read(FULL, 5)
    host.restart_behind()
    for _ in range(2):
        reading = source.read(FULL, 5)
        assert reading.parts["stats"].is_ok
        assert all(is_whole(one) for one in reading.domains)
    assert source.reconnects == 2
    assert "deregister" not in host.calls
    source.close()
    wait_until(lambda: "deregister" in host.calls)


def wait_until(condition: Any) -> None:
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_restarted_daemon_is_asked_for_its_versions_again(made: Any) -> None:
    host = FakeHost(*domains(2))
    source = made(host)
    groups = FULL | {Group.VERSIONS}
    for _ in range(3):
        assert source.read(groups, 5).versions.hypervisor == "7.2.22"
    assert host.count("version") == 1
    host.end()
    with pytest.raises(SourceError):
        source.read(groups, 5)
    host.is_up = True
    reading = source.read(groups, 5)
    assert reading.parts[Group.VERSIONS].is_ok
    assert host.count("version") == 2


def test_a_frozen_daemon_is_an_error_in_time_and_holds_two_calls(made: Any) -> None:
    host = FakeHost(*domains(20))
    source = made(host)
    source.read(FULL, 5)
    host.calls.clear()
    host.answering.clear()
    for _ in range(3):
        began = time.monotonic()
        with pytest.raises(SourceError, match=r"no answer within 0\.30 s"):
            source.read(FULL, 0.3)
        assert time.monotonic() - began < 0.8
    assert host.calls == ["survey", "survey"]
    host.answering.set()
    assert len(source.read(FULL, 5).domains) == 20


def test_readings_from_several_threads_take_turns(made: Any) -> None:
    source = made(FakeHost(*domains(10)))
    counts = []
    threads = [
        threading.Thread(target=lambda: counts.append(len(source.read(FULL, 5).domains)))
        for _ in range(8)
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join(10)
    assert counts == [10] * 8


def test_jobs_are_asked_seldom_until_there_is_one(made: Any) -> None:
    host = FakeHost(*domains(3))
    source = made(host)
    groups = FULL | {Group.JOB}
    assert source.read(groups, 5).parts["job"].is_ok
    assert host.count("job") == 3
    assert host.opened == 3, "survey, bulk and versions; by SSH each is a process on both sides"
    host.domains["uuid-d00"].job = {"type": 2, "time_elapsed": 1500}
    source.read(groups, 5)
    assert host.count("job") == 3
    fresh = made(host)
    found = by_name(fresh.read(groups, 5))
    assert found["d00"].job == {"type": 2, "time_elapsed": 1500}
    assert found["d01"].job is None
    asked = host.count("job")
    fresh.read(groups, 5)
    assert host.count("job") == asked + 1


def test_io_limits_are_numbers_by_disk(made: Any) -> None:
    source = made(FakeHost(*domains(1)))
    (record,) = source.read(FULL | {Group.BLKIOTUNE}, 5).domains
    assert record.io_limits == {"vda": {"total_bytes_sec": 5}}
    (record,) = source.read(frozenset({Group.BLKIOTUNE}), 5).domains
    assert record.io_limits == {"vda": {"total_bytes_sec": 5}}


def test_where_virtual_cpus_run_is_asked_only_when_it_is_wanted(made: Any) -> None:
    host = FakeHost(FakeDomain("active"), FakeDomain("inactive", -1))
    host.virtual_cpus = [(0, 1, 5_000, 3), (1, 0, 0, -1)]
    source = made(host)
    assert "vcpu.0.cpu" not in by_name(source.read(FULL, 5))["active"].statistics
    assert host.count("vcpus") == 0
    for groups in (FULL | {Group.VCPU_CPU}, frozenset({Group.VCPU_CPU})):
        reading = source.read(groups, 5)
        found = by_name(reading)
        assert found["active"].statistics["vcpu.0.cpu"] == 3
        assert "vcpu.1.cpu" not in found["active"].statistics
        assert "vcpu.0.cpu" not in found["inactive"].statistics
        assert reading.parts[Group.VCPU_CPU].is_ok
    assert host.count("vcpus") == 2
    host.virtual_cpus = None
    reading = source.read(frozenset({Group.VCPU_CPU}), 5)
    assert "vcpu.0.cpu" not in by_name(reading)["active"].statistics


def test_the_node_and_the_versions(made: Any) -> None:
    host = FakeHost()
    source = made(host)
    reading = source.read(frozenset({Group.NODE, Group.VERSIONS}), 5)
    assert reading.node.cpus == 2
    assert reading.node.cpu_seconds == {"user": 1.0}
    assert reading.node.memory_bytes == {"total": 2048 * 1024.0, "free": 1024 * 1024.0}
    assert [cell.number for cell in reading.node.cells] == [0, 1]
    assert reading.node.cells[0].free_bytes == 1024 * 1024.0
    assert reading.versions.hypervisor == "7.2.22"
    assert reading.versions.daemon == "9.0.0"
    host.calls.clear()
    assert source.read(frozenset({Group.NODE, Group.VERSIONS}), 5).node == reading.node
    # Nothing is asked again that stays as it is: versions, and how many cells there are.
    assert host.calls == ["survey", "memory", "memory", "memory"]


def test_a_part_that_fails_loses_only_itself(made: Any) -> None:
    host = FakeHost(*domains(2))
    source = made(host)

    def broken() -> None:
        raise Refused(libvirt.VIR_ERR_INTERNAL_ERROR)

    host.domains["uuid-d00"].name = "<&"  # no XML can be made of it
    host.pools = {"p": FakePool("p")}
    host.pools["p"].info = broken
    reading = source.read(DEFAULT_GROUPS, 5)
    assert not reading.parts["info"].is_ok
    assert reading.parts["stats"].is_ok
    assert reading.parts["node"].is_ok
    assert by_name(reading)["d01"].description is not None


def test_what_is_not_asked_is_not_there(made: Any) -> None:
    reading = made(FakeHost(*domains(1))).read(FULL, 5)
    assert reading.parts.keys() == {"stats"}
    assert (reading.node, reading.versions, reading.storage_pools) == (None, None, None)


def test_a_pool_that_hangs_is_marked_and_the_others_are_read(made: Any) -> None:
    host = FakeHost()
    host.pools = {name: FakePool(name) for name in ("a", "b", "c")}
    host.pools["b"].answering.clear()
    source = made(host, hedge_after_seconds=0.5)
    for _ in range(3):
        reading = source.read(frozenset({Group.POOL}), 20)
        assert [(one.name, one.is_timed_out) for one in reading.storage_pools] == [
            ("a", False),
            ("b", True),
            ("c", False),
        ]
    assert reading.storage_pools[0].available_bytes == 60
    host.pools["b"].answering.set()
    assert until_read(source, "b")


def until_read(source: Any, name: Any) -> Any:
    end = time.monotonic() + 5
    while time.monotonic() < end:
        pools = source.read(frozenset({Group.POOL}), 20).storage_pools
        if not any(one.is_timed_out for one in pools if one.name == name):
            return True
    return False


def test_an_inactive_pool_has_no_sizes(made: Any) -> None:
    host = FakeHost()
    host.pools = {"p": FakePool("p", state=0)}
    (pool,) = made(host).read(frozenset({Group.POOL}), 1).storage_pools
    assert (pool.state, pool.capacity_bytes) == (0, None)


def test_a_restart_of_the_storage_daemon_costs_no_reading(made: Any) -> None:
    host = FakeHost()
    host.pools = {"p": FakePool("p")}
    source = made(host)
    for _ in range(3):
        reading = source.read(frozenset({Group.POOL}), 5)
        assert reading.parts["pool"].is_ok
        assert [one.name for one in reading.storage_pools] == ["p"]
        host.storage.stop()
        host.storage.start()
    assert source.reconnects == 2


def test_while_the_storage_daemon_is_down_the_part_fails_and_then_is_whole(made: Any) -> None:
    host = FakeHost()
    host.pools = {"p": FakePool("p")}
    source = made(host)
    assert source.read(frozenset({Group.POOL}), 5).parts["pool"].is_ok
    host.storage.stop()
    for _ in range(3):
        reading = source.read(frozenset({Group.POOL}), 5)
        assert not reading.parts["pool"].is_ok
        assert reading.storage_pools == ()
    host.storage.start()
    assert source.read(frozenset({Group.POOL}), 5).parts["pool"].is_ok


@pytest.mark.parametrize("has_pools", [False, True])
def test_a_host_without_storage_has_no_pools_and_no_fault(made: Any, has_pools: bool) -> None:
    host = FakeHost()
    host.has_pools = has_pools
    host.storage.stop()
    source = made(host)
    for _ in range(3):
        reading = source.read(frozenset({Group.POOL}), 5)
        assert reading.storage_pools is None
        assert "pool" not in reading.parts
    # The daemon logs each of them.
    assert host.count("pools") == 1


def test_a_driver_without_bulk_statistics_is_asked_domain_by_domain(made: Any) -> None:
    host = FakeHost(*domains(3), kind="LXC")
    host.supports_stats = False
    (first, *_) = made(host).read(FULL, 5).domains
    assert first.statistics["cpu.time"] == 5_000_000_000
    assert first.statistics["state.state"] == 1


def test_an_error_in_our_own_code_is_not_taken_for_one_of_libvirt(made: Any) -> None:
    host = FakeHost(*domains(3))
    source = made(host)
    source.read(FULL, 5)

    def wrong(_domain: Any, _flags: Any) -> None:
        raise ZeroDivisionError

    def then() -> None:
        host.statistics = wrong

    host.after_survey = then
    with pytest.raises(ZeroDivisionError):
        source.read(FULL, 5)


def test_closing_ends_every_connection_and_its_thread() -> None:
    host = FakeHost(*domains(40))
    source = LibvirtSource(
        "fake:///host", SystemClock(), hedge_after_seconds=0.05, opener=host.open
    )
    threads = [one for one in threading.enumerate() if one.name.startswith("libvirt-bulk")]
    source.read(DEFAULT_GROUPS, 5)
    source.close()
    end = time.monotonic() + 5
    for one in threads:
        one.join(5)
        assert not one.is_alive()
    while host.count("close") < host.opened:
        assert time.monotonic() < end


def test_while_the_daemon_looks_at_its_emulators_the_rest_is_told_in_time(made: Any) -> None:
    host = FakeHost(*domains(2))
    host.has_looked.clear()
    source = made(host)
    for _ in range(3):
        began = time.monotonic()
        reading = source.read(DEFAULT_GROUPS, 1)
        assert time.monotonic() - began < 1
        assert {name for name, part in reading.parts.items() if not part.is_ok} == {
            "stats",
            Group.VERSIONS,
        }
        assert reading.versions is None
        for one in reading.domains:
            assert one.statistics["state.state"] == 1
            assert one.statistics["vcpu.current"] == 3
            assert not is_whole(one)
    # A question for CPU would look as well, and hold the domain meanwhile.
    assert host.count("bulk") == 0
    assert host.count("version") == 1
    host.has_looked.set()
    whole = source.read(DEFAULT_GROUPS, 5)
    assert whole.versions is not None
    assert all(is_whole(one) for one in whole.domains)
    assert all(part.is_ok for part in whole.parts.values())
