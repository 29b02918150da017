"""The collector's source on a real libvirtd with real QEMU domains."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import libvirt
import pytest
import requests

from collector.domain_xml import Description, Membership
from collector.libvirt_source import LibvirtSource, bulk
from collector.libvirt_source.processes import Process, Processes
from collector.ports import SourceError
from collector.records import DEFAULT_GROUPS, DomainRecord, Group, HostReading
from servicekit.clock import SystemClock
from tests.contract.hypervisor_libvirtd import PrivateLibvirtd, until

_MISSING = [one for one in ("libvirtd", "qemu-system-x86_64") if shutil.which(one) is None]
pytestmark = [
    pytest.mark.skipif(bool(_MISSING), reason=f"not installed: {', '.join(_MISSING)}"),
    pytest.mark.timeout(120),
]
_NAMESPACE = "urn:virtscale:domain:1"
_DOMAIN = """
<domain type='qemu'>
  <name>{name}</name><title>{name} of the suite</title>
  <metadata><v:domain xmlns:v='urn:virtscale:domain:1' pool='{pool}' tier='cold'/></metadata>
  <memory unit='MiB'>64</memory><vcpu>{vcpus}</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features>
  <devices>
    <disk type='file' device='disk'><driver name='qemu' type='raw'/>
      <source file='{disk}'/><target dev='vda' bus='virtio'/></disk>
    <interface type='user'><model type='virtio'/></interface>
  </devices>
</domain>
"""
_ROOT = Path(__file__).resolve().parents[2]


class World:
    """A private libvirtd and what an operator would do on it."""

    def __init__(self, daemon: PrivateLibvirtd) -> None:
        self.daemon = daemon
        self.uri: str = daemon.uri

    def define(self, name: str, pool: str = "default", vcpus: int = 1) -> None:
        disk = self.daemon.root / "home" / f"{name}.img"
        disk.write_bytes(b"\0" * (1 << 16))
        disk.chmod(0o666)
        with self.connection() as connection:
            connection.defineXML(_DOMAIN.format(name=name, pool=pool, vcpus=vcpus, disk=disk))

    def act(self, name: str, method: str, *arguments: Any) -> None:
        with self.connection() as connection:
            getattr(connection.lookupByName(name), method)(*arguments)

    def set_pool(self, name: str, pool: str) -> None:
        self.act(
            name,
            "setMetadata",
            libvirt.VIR_DOMAIN_METADATA_ELEMENT,
            f"<domain pool='{pool}' tier='cold'/>",
            "virtscale",
            _NAMESPACE,
            libvirt.VIR_DOMAIN_AFFECT_CURRENT,
        )

    def pid(self, name: str) -> int:
        return int((self.daemon.root / f"run/libvirt/qemu/run/{name}.pid").read_text())

    @contextlib.contextmanager
    def frozen(self, *names: str) -> Iterator[None]:
        pids = [self.pid(name) for name in names]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    @contextlib.contextmanager
    def connection(self) -> Iterator[Any]:
        connection = libvirt.open(self.uri)
        try:
            yield connection
        finally:
            connection.close()

    def clear(self) -> None:
        with self.connection() as connection:
            for domain in connection.listAllDomains():
                if domain.isActive():
                    domain.destroy()
                domain.undefine()


@pytest.fixture(scope="module")
def daemon() -> Iterator[PrivateLibvirtd]:
    running = PrivateLibvirtd()
    yield running
    running.close()


@pytest.fixture
def world(daemon: PrivateLibvirtd) -> Iterator[World]:
    made = World(daemon)
    yield made
    made.clear()


FULL = frozenset({Group.STATE, Group.CPU, Group.BALLOON, Group.VCPU, Group.INTERFACE, Group.BLOCK})


@pytest.fixture
def source(world: World) -> Iterator[LibvirtSource]:
    made = LibvirtSource(world.uri, SystemClock(), hedge_after_seconds=0.3)
    yield made
    made.close()


def by_name(reading: HostReading) -> dict[str, DomainRecord]:
    return {one.name: one for one in reading.domains}


def is_whole(record: DomainRecord) -> bool:
    return bulk.is_complete(record.statistics, FULL) and not record.is_timed_out


def described(record: DomainRecord) -> Description:
    assert record.description is not None
    return record.description


def number(record: DomainRecord, key: str) -> int:
    value = record.statistics[key]
    assert isinstance(value, int)
    return value


def settled(source: LibvirtSource, count: int) -> None:
    """Waits until QEMU's first answers, slow while its firmware runs, have come."""

    def is_settled() -> bool:
        try:
            domains = source.read(DEFAULT_GROUPS, 5).domains
        except SourceError:
            return False  # libvirtd looks at all its emulators at the first such question.
        return len(domains) == count and all(is_whole(domain) for domain in domains)

    until(is_settled, "all domains to answer in full")


def running(world: World, source: LibvirtSource, count: int) -> list[str]:
    names = [f"d{one}" for one in range(count)]
    for name in names:
        world.define(name)
        world.act(name, "create")
    settled(source, count)
    return names


def test_reads_a_domain_through_its_life(world: World, source: LibvirtSource) -> None:
    world.define("one", vcpus=2)
    off = by_name(source.read(DEFAULT_GROUPS, 5))["one"]
    assert (off.statistics["state.state"], off.number) == (5, -1)

    world.act("one", "create")
    settled(source, 1)
    running = by_name(source.read(DEFAULT_GROUPS, 5))["one"]
    told = running.statistics
    assert told["state.state"] == 1
    assert running.number > 0
    assert number(running, "cpu.time") > 0
    assert told["vcpu.current"] == 2
    for vcpu in range(2):
        assert f"vcpu.{vcpu}.time" in told
        assert f"vcpu.{vcpu}.delay" in told
    assert told["balloon.current"] == 64 << 10
    assert told["block.0.name"] == "vda"
    assert described(running).title == "one of the suite"
    assert described(running).membership == Membership("default", "cold")

    world.act("one", "suspend")
    paused = by_name(source.read(DEFAULT_GROUPS, 5))["one"]
    assert paused.statistics["state.state"] == 3
    assert number(paused, "cpu.time") >= number(running, "cpu.time")

    world.act("one", "destroy")
    ended = by_name(source.read(DEFAULT_GROUPS, 5))["one"]
    assert (ended.statistics["state.state"], ended.number) == (5, -1)
    assert not ended.is_timed_out


def test_counts_cpu_like_the_host_does(world: World, source: LibvirtSource) -> None:
    world.define("one")
    world.act("one", "create")
    settled(source, 1)
    ticks = os.sysconf("SC_CLK_TCK")

    def used() -> float:
        fields = Path(f"/proc/{world.pid('one')}/stat").read_text().rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / ticks

    for groups in (DEFAULT_GROUPS, frozenset({Group.STATE})):
        before = used()
        told = number(by_name(source.read(groups, 5))["one"], "cpu.time") / 1e9
        assert before - 1 / ticks <= told <= used() + 1 / ticks


def test_few_groups_hold_what_the_older_exporters_tell(world: World, source: LibvirtSource) -> None:
    world.define("one", vcpus=2)
    world.act("one", "create")
    settled(source, 1)
    few = frozenset({Group.STATE, Group.INTERFACE, Group.BLOCK})
    told = by_name(source.read(few, 5))["one"].statistics
    less = frozenset({Group.STATE, Group.INTERFACE, Group.BLOCK_TRAFFIC})
    traffic = by_name(source.read(less, 5))["one"].statistics
    counters = [f"block.0.{key}" for key in ("name", "rd.reqs", "rd.bytes", "wr.reqs", "wr.bytes")]
    assert [traffic[key] for key in counters] == [told[key] for key in counters]
    assert "block.0.capacity" not in traffic
    assert told["balloon.maximum"] == told["balloon.current"] == 64 << 10
    assert told["vcpu.current"] == 2
    assert {"cpu.time", "block.0.rd.bytes", "block.0.wr.reqs"} <= told.keys()
    assert not {"balloon.rss", "vcpu.0.time"} & told.keys()


class MarkedProcesses(Processes):
    """Adds 1 KiB to what is a multiple of 4 KiB, the size of a page, by which it is known."""

    def resident_kib(self, process: Process) -> int | None:
        found = super().resident_kib(process)
        return None if found is None else found + 1


def test_guests_that_tell_nothing_of_their_memory_lack_nothing_when_they_are_not_asked(
    world: World,
) -> None:
    with contextlib.ExitStack() as stack:

        def opened(**options: Any) -> LibvirtSource:
            made = LibvirtSource(world.uri, SystemClock(), hedge_after_seconds=0.3, **options)
            stack.callback(made.close)
            return made

        source = opened(processes=MarkedProcesses())
        names = running(world, source, 3)

        def are_mute() -> bool:
            found = source.read(FULL, 5).domains
            return all(number(one, "balloon.rss") % 4 == 1 for one in found)

        until(are_mute, "three guests that have nothing to tell")
        unasked, asked = by_name(source.read(FULL, 5)), by_name(opened().read(FULL, 5))
    for name in names:
        ours, libvirts = unasked[name].statistics, asked[name].statistics
        assert ours.keys() == libvirts.keys()
        for key in ("balloon.current", "balloon.maximum", "balloon.last-update"):
            assert ours[key] == libvirts[key]
        assert number(unasked[name], "balloon.rss") == pytest.approx(
            number(asked[name], "balloon.rss"), rel=0.05
        )


def test_the_host_and_its_versions(source: LibvirtSource) -> None:
    # A daemon that is new looks at its emulators first.
    until(lambda: source.read(DEFAULT_GROUPS, 5).versions is not None, "the versions")
    reading = source.read(DEFAULT_GROUPS, 5)
    node = reading.node
    assert node is not None
    assert node.cpus == os.cpu_count()
    assert node.memory_bytes["total"] == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert node.cpu_seconds["user"] > 0
    assert node.cells[0].free_bytes is not None
    assert reading.versions is not None
    assert reading.versions.hypervisor.count(".") == 2
    assert reading.storage_pools == ()
    assert all(part.is_ok for part in reading.parts.values())


def test_a_daemon_that_is_new_does_not_make_the_first_readings_late() -> None:
    new = PrivateLibvirtd()
    source = LibvirtSource(new.uri, SystemClock(), hedge_after_seconds=0.3)
    try:
        World(new).define("one")
        readings = []

        def has_versions() -> bool:
            began = time.monotonic()
            readings.append(source.read(DEFAULT_GROUPS, 1))
            assert time.monotonic() - began < 1
            return readings[-1].versions is not None

        until(has_versions, "the versions")
        assert readings[0].node is not None
        assert described(by_name(readings[0])["one"]).membership is not None
        assert all(part.is_ok for part in readings[-1].parts.values())
    finally:
        source.close()
        new.close()


def test_a_change_of_metadata_shows_without_a_restart_of_the_domain(
    world: World, source: LibvirtSource
) -> None:
    world.define("one")
    membership = described(by_name(source.read(DEFAULT_GROUPS, 5))["one"]).membership
    assert membership == Membership("default", "cold")
    world.set_pool("one", "other")
    until(lambda: pool_of(source) == "other", "the new pool")


def pool_of(source: LibvirtSource) -> str | None:
    membership = described(by_name(source.read(DEFAULT_GROUPS, 5))["one"]).membership
    return None if membership is None else membership.pool


def test_a_disk_that_is_plugged_in_shows_without_a_restart(
    world: World, source: LibvirtSource
) -> None:
    world.define("one")
    world.act("one", "create")
    settled(source, 1)
    before = described(by_name(source.read(DEFAULT_GROUPS, 5))["one"])
    disk = world.daemon.root / "home" / "more.img"
    disk.write_bytes(b"\0" * (1 << 16))
    disk.chmod(0o666)
    world.act(
        "one",
        "attachDevice",
        f"<disk type='file'><source file='{disk}'/><target dev='vdb' bus='virtio'/></disk>",
    )
    until(
        lambda: described(by_name(source.read(DEFAULT_GROUPS, 5))["one"]) is not before,
        "a new description",
    )
    assert by_name(source.read(DEFAULT_GROUPS, 5))["one"].statistics["block.1.name"] == "vdb"


@pytest.mark.parametrize("frozen", [("d1",), ("d1", "d3")])
def test_a_frozen_qemu_costs_only_its_own_data(
    world: World, source: LibvirtSource, frozen: tuple[str, ...]
) -> None:
    names = running(world, source, 4)
    with world.frozen(*frozen):
        for _ in range(4):
            began = time.monotonic()
            found = by_name(source.read(DEFAULT_GROUPS, 3))
            assert time.monotonic() - began < 3.5
            assert {name for name in names if not is_whole(found[name])} == set(frozen)
            for name in frozen:
                record = found[name]
                assert record.is_timed_out
                assert record.control is not None
                assert record.control.state == libvirt.VIR_DOMAIN_CONTROL_OCCUPIED
                assert record.statistics["state.state"] == 1
                assert record.statistics["vcpu.current"] == 1
                assert record.statistics["balloon.maximum"] == 64 << 10
                assert described(record).membership == Membership("default", "cold")
    # QEMU answers what was open before anybody is asked again.
    until(lambda: not any(occupied(world, name) for name in frozen), "QEMU to answer")
    settled(source, 4)


def test_a_frozen_qemu_costs_only_its_own_traffic(world: World, source: LibvirtSource) -> None:
    groups = frozenset({Group.STATE, Group.BLOCK_TRAFFIC, Group.VCPU_CPU})
    names = running(world, source, 4)
    source.read(groups, 5)
    with world.frozen("d1"):
        for _ in range(3):
            began = time.monotonic()
            found = by_name(source.read(groups, 3))
            assert time.monotonic() - began < 3.5
            told = {name for name in names if "block.0.rd.reqs" in found[name].statistics}
            assert told == set(names) - {"d1"}
            assert all(number(found[name], "vcpu.0.cpu") < os.cpu_count() for name in names)
            assert found["d1"].is_timed_out
    until(lambda: not occupied(world, "d1"), "QEMU to answer")
    assert all("block.0.rd.reqs" in one.statistics for one in source.read(groups, 5).domains)


def occupied(world: World, name: str) -> bool:
    with world.connection() as connection:
        control: Any = connection.lookupByName(name).controlInfo(0)
    return bool(control[0] != libvirt.VIR_DOMAIN_CONTROL_OK)


def test_when_all_qemus_freeze_their_states_and_limits_are_known(
    world: World, source: LibvirtSource
) -> None:
    names = running(world, source, 4)
    with world.frozen(*names):
        for _ in range(4):
            began = time.monotonic()
            found = by_name(source.read(DEFAULT_GROUPS, 3))
            assert time.monotonic() - began < 3.5
            assert [found[name].statistics["state.state"] for name in names] == [1] * 4
            assert [found[name].statistics["vcpu.current"] for name in names] == [1] * 4
    settled(source, 4)


def test_a_job_under_way_shows_and_its_record_is_left_for_others(
    world: World, source: LibvirtSource
) -> None:
    world.define("one")
    world.act("one", "create")
    settled(source, 1)
    fifo = world.daemon.root / "home" / "saved"
    os.mkfifo(fifo)
    fifo.chmod(0o666)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    saving = threading.Thread(target=lambda: world.act("one", "save", str(fifo)))
    saving.start()
    try:
        # Nobody empties the pipe: the job goes on until somebody does.
        until(lambda: job_of(world) is not None, "the job to begin")
        fresh = LibvirtSource(world.uri, SystemClock(), hedge_after_seconds=0.3)
        job = by_name(fresh.read(FULL | {Group.JOB}, 5))["one"].job
        fresh.close()
        assert job is not None
        # Completed already for the QEMU, that is, while libvirt waits for the file.
        unbounded, completed = libvirt.VIR_DOMAIN_JOB_UNBOUNDED, libvirt.VIR_DOMAIN_JOB_COMPLETED
        assert job["type"] in (unbounded, completed)
        assert "time_elapsed" in job
    finally:
        os.set_blocking(reader, True)
        while os.read(reader, 1 << 16):
            pass
        saving.join(20)
        os.close(reader)
    assert by_name(source.read(DEFAULT_GROUPS, 5))["one"].job is None


def job_of(world: World) -> dict[str, Any] | None:
    with world.connection() as connection, contextlib.suppress(libvirt.libvirtError):
        told: Any = connection.lookupByName("one").jobStats(0)
        return told if told["type"] != libvirt.VIR_DOMAIN_JOB_NONE else None
    return None


def test_descriptions_are_not_read_again_at_every_reading(
    world: World, source: LibvirtSource
) -> None:
    for name in ("d0", "d1", "d2"):
        world.define(name)
    source.read(DEFAULT_GROUPS, 5)
    first = [domain.description for domain in source.read(DEFAULT_GROUPS, 5).domains]
    second = [domain.description for domain in source.read(DEFAULT_GROUPS, 5).domains]
    assert all(a is b for a, b in zip(first, second, strict=True))


def test_a_restart_of_libvirtd_is_survived(world: World, source: LibvirtSource) -> None:
    world.define("one")
    world.act("one", "create")
    settled(source, 1)
    before = number(by_name(source.read(DEFAULT_GROUPS, 5))["one"], "cpu.time")
    world.daemon.stop()
    with pytest.raises(SourceError, match="libvirt at qemu"):
        source.read(DEFAULT_GROUPS, 5)
    world.daemon.start()
    after = by_name(source.read(DEFAULT_GROUPS, 20))["one"]
    assert is_whole(after)
    assert number(after, "cpu.time") >= before
    assert described(after).membership == Membership("default", "cold")
    assert source.reconnects >= 1
    world.set_pool("one", "other")
    until(lambda: pool_of(source) == "other", "events on the new connection")


def test_a_frozen_daemon_gives_an_error_in_time_and_the_next_reading_is_whole(
    world: World, source: LibvirtSource
) -> None:
    running(world, source, 2)
    with stopped(world.daemon.pid):
        for _ in range(3):
            began = time.monotonic()
            with pytest.raises(SourceError, match="no answer within"):
                source.read(DEFAULT_GROUPS, 0.5)
            assert time.monotonic() - began < 1.0
    assert all(is_whole(one) for one in source.read(DEFAULT_GROUPS, 20).domains)


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_many_readings_leave_no_files_no_threads_and_no_word_in_the_log(world: World) -> None:
    source = LibvirtSource(world.uri, SystemClock(), hedge_after_seconds=0.3)
    for name in ("d0", "d1"):
        world.define(name)

    def held() -> tuple[int, int]:
        return len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))

    for _ in range(20):
        source.read(DEFAULT_GROUPS, 5)
    before = held()
    for _ in range(1000):
        source.read(frozenset({Group.STATE, Group.BLOCK, Group.INFO}), 5)
    files, threads = held()
    # A connection that was not needed before may have been opened; each has a few files.
    assert files < before[0] + 40
    assert threads <= before[1]
    source.close()
    until(lambda: held()[0] < before[0], "the connections to close")
    assert world.daemon.log.read_text().count("End of file") == 0


@pytest.fixture
def process(world: World) -> Iterator[Any]:
    running: Any = subprocess.Popen(
        [sys.executable, "-m", "collector", "--url", world.uri, "--listen-address", "127.0.0.1:0"],
        cwd=_ROOT,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": f"{_ROOT}:{_ROOT / 'proto'}"},
        stderr=subprocess.PIPE,
        text=True,
    )
    started = running.stderr.readline()
    running.port = int(json.loads(started)["addresses"][0].rpartition(":")[2])
    drain = threading.Thread(target=running.stderr.read, daemon=True)
    drain.start()
    yield running
    running.terminate()
    running.wait(10)
    drain.join(5)
    running.stderr.close()


def scrape(process: Any) -> str:
    answer = requests.get(
        f"http://127.0.0.1:{process.port}/metrics",
        headers={"X-Prometheus-Scrape-Timeout-Seconds": "1"},
        timeout=5,
    )
    assert answer.status_code == 200
    return answer.text


def test_the_process_outlives_libvirtd(world: World, process: Any) -> None:
    world.define("one")
    world.act("one", "create")
    until(lambda: 'cpu_time_seconds_total{domain="one"}' in scrape(process), "CPU time")
    world.daemon.stop()
    down = scrape(process)
    assert "libvirt_up 0.0" in down
    assert 'libvirt_scrape_collector_success{collector="stats"} 0.0' in down
    assert "libvirt_domain_info" not in down
    world.daemon.start()
    # A daemon that has just started asks its QEMUs first, which may take longer than one scrape.
    shown = ("libvirt_up 1.0", 'libvirt_domain_info_vstate{domain="one"} 1\n')

    def is_back() -> bool:
        text = scrape(process)
        return all(each in text for each in shown)

    until(is_back, "the daemon to be back")


@pytest.mark.skipif(shutil.which("promtool") is None, reason="not installed: promtool")
def test_promtool_finds_nothing_to_say_about_the_real_output(world: World, process: Any) -> None:
    world.define("one")
    world.act("one", "create")
    until(lambda: 'read_bytes_total{domain="one"' in scrape(process), "disk statistics")
    lint = subprocess.run(
        ["promtool", "check", "metrics"],
        input=scrape(process),
        text=True,
        capture_output=True,
        check=False,
    )
    assert (lint.returncode, lint.stdout, lint.stderr) == (0, "", "")


def test_sigterm_ends_the_process_while_a_call_is_stuck(world: World, process: Any) -> None:
    world.define("one")
    world.act("one", "create")
    until(lambda: 'stats_complete{domain="one"} 1\n' in scrape(process), "full statistics")
    with world.frozen("one"):
        assert 'libvirt_domain_timed_out{domain="one"} 1\n' in scrape(process)
        process.terminate()
        assert process.wait(20) == 0
