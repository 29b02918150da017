"""The collector's source on a real libvirtd with real QEMU domains."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import libvirt
import pytest
import requests

from collector.domain_xml import Membership
from collector.libvirt_source import LibvirtSource
from collector.ports import SourceError
from collector.records import DEFAULT_GROUPS
from collector.samples import sample
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
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
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

    def __init__(self, daemon):
        self.daemon = daemon
        self.uri = daemon.uri

    def define(self, name, pool="default", vcpus=1):
        disk = self.daemon.root / "home" / f"{name}.img"
        disk.write_bytes(b"\0" * (1 << 16))
        disk.chmod(0o666)
        with self.connection() as connection:
            connection.defineXML(_DOMAIN.format(name=name, pool=pool, vcpus=vcpus, disk=disk))

    def act(self, name, method, *arguments):
        with self.connection() as connection:
            getattr(connection.lookupByName(name), method)(*arguments)

    def set_pool(self, name, pool):
        self.act(
            name,
            "setMetadata",
            libvirt.VIR_DOMAIN_METADATA_ELEMENT,
            f"<domain pool='{pool}' tier='cold'/>",
            "virtscale",
            _NAMESPACE,
            libvirt.VIR_DOMAIN_AFFECT_CURRENT,
        )

    def pid(self, name):
        return int((self.daemon.root / f"run/libvirt/qemu/run/{name}.pid").read_text())

    @contextlib.contextmanager
    def frozen(self, *names):
        pids = [self.pid(name) for name in names]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    @contextlib.contextmanager
    def connection(self):
        connection = libvirt.open(self.uri)
        try:
            yield connection
        finally:
            connection.close()

    def clear(self):
        with self.connection() as connection:
            for domain in connection.listAllDomains():
                if domain.isActive():
                    domain.destroy()
                domain.undefine()


@pytest.fixture(scope="module")
def daemon():
    running = PrivateLibvirtd()
    yield running
    running.close()


@pytest.fixture
def world(daemon):
    made = World(daemon)
    yield made
    made.clear()


@pytest.fixture
def source(world):
    return LibvirtSource(world.uri, SystemClock(), hedge_after_seconds=0.3)


def by_name(reading):
    return {one.name: sampled(one) for one in reading.domains}


def sampled(one):
    return sample(
        one.name,
        one.uuid,
        one.statistics,
        description=one.description,
        is_timed_out=one.is_timed_out,
    )


def settled(source, count):
    """Waits until QEMU's first answers, slow while its firmware runs, have come."""

    def is_settled():
        domains = source.read(DEFAULT_GROUPS, 5).domains
        return len(domains) == count and all(sampled(domain).is_complete for domain in domains)

    until(is_settled, "all domains to answer in full")


def test_reads_a_domain_through_its_life(world, source):
    world.define("one", vcpus=2)
    off = by_name(source.read(DEFAULT_GROUPS, 5))["one"]
    assert (off.state, off.cpu_seconds, off.vcpus) == (5, None, ())

    world.act("one", "create")
    settled(source, 1)
    running = by_name(source.read(DEFAULT_GROUPS, 5))["one"]
    assert running.state == 1
    assert running.cpu_seconds > 0
    assert running.vcpus_current == 2
    assert [vcpu.number for vcpu in running.vcpus] == [0, 1]
    assert all(vcpu.time_seconds is not None for vcpu in running.vcpus)
    assert all(vcpu.delay_seconds is not None for vcpu in running.vcpus)
    assert running.memory.current_bytes == 64 << 20
    assert running.blocks[0].target == "vda"
    assert running.description.title == "one of the suite"
    assert running.description.membership == Membership("default", "cold")

    world.act("one", "suspend")
    paused = by_name(source.read(DEFAULT_GROUPS, 5))["one"]
    assert paused.state == 3
    assert paused.cpu_seconds >= running.cpu_seconds

    world.act("one", "destroy")
    ended = by_name(source.read(DEFAULT_GROUPS, 5))["one"]
    assert (ended.state, ended.cpu_seconds, ended.vcpus) == (5, None, ())


def test_counts_cpu_like_the_host_does(world, source):
    world.define("one")
    world.act("one", "create")
    settled(source, 1)
    ticks = os.sysconf("SC_CLK_TCK")
    fields = Path(f"/proc/{world.pid('one')}/stat").read_text().rpartition(") ")[2].split()
    before = (int(fields[11]) + int(fields[12])) / ticks
    told = by_name(source.read(DEFAULT_GROUPS, 5))["one"].cpu_seconds
    fields = Path(f"/proc/{world.pid('one')}/stat").read_text().rpartition(") ")[2].split()
    after = (int(fields[11]) + int(fields[12])) / ticks
    assert before - 1 / ticks <= told <= after + 1 / ticks


def test_a_change_of_metadata_shows_without_a_restart_of_the_domain(world, source):
    world.define("one")
    assert by_name(source.read(DEFAULT_GROUPS, 5))["one"].description.membership.pool == "default"
    world.set_pool("one", "other")
    until(
        lambda: (
            by_name(source.read(DEFAULT_GROUPS, 5))["one"].description.membership.pool == "other"
        ),
        "the new pool",
    )


def test_a_frozen_qemu_costs_only_its_own_data(world, source):
    names = ["d0", "d1", "d2", "d3"]
    for name in names:
        world.define(name)
        world.act(name, "create")
    settled(source, 4)
    with world.frozen("d1"):
        for _ in range(3):
            began = time.monotonic()
            found = by_name(source.read(DEFAULT_GROUPS, 0.85))
            assert time.monotonic() - began < 0.85 + 0.5
            assert [found[name].is_complete for name in names] == [True, False, True, True]
            assert [found[name].is_timed_out for name in names] == [False, True, False, False]
            assert found["d1"].state == 1
            assert found["d1"].vcpus_current == 1
            assert found["d1"].memory.maximum_bytes == 64 << 20
    settled(source, 4)
    assert not any(domain.is_timed_out for domain in source.read(DEFAULT_GROUPS, 5).domains)


def test_several_qemus_that_freeze_at_once_do_not_empty_a_reading(world, source):
    names = ["d0", "d1", "d2", "d3"]
    for name in names:
        world.define(name)
        world.act(name, "create")
    settled(source, 4)
    with world.frozen("d0", "d1", "d2"):
        for _ in range(4):
            found = by_name(source.read(DEFAULT_GROUPS, 0.85))
            assert [found[name].state for name in names] == [1, 1, 1, 1]
    settled(source, 4)


def test_descriptions_are_not_read_again_at_every_reading(world, source):
    for name in ("d0", "d1", "d2"):
        world.define(name)
    source.read(DEFAULT_GROUPS, 5)
    first = [domain.description for domain in source.read(DEFAULT_GROUPS, 5).domains]
    second = [domain.description for domain in source.read(DEFAULT_GROUPS, 5).domains]
    assert all(a is b for a, b in zip(first, second, strict=True))


def test_a_restart_of_libvirtd_is_survived(world, source):
    world.define("one")
    world.act("one", "create")
    settled(source, 1)
    before = by_name(source.read(DEFAULT_GROUPS, 5))["one"].cpu_seconds
    world.daemon.stop()
    with pytest.raises(SourceError, match="libvirt at qemu"):
        source.read(DEFAULT_GROUPS, 5)
    world.daemon.start()
    after = by_name(source.read(DEFAULT_GROUPS, 5))["one"]
    assert after.cpu_seconds >= before
    assert after.description.membership == Membership("default", "cold")
    assert source.reconnects >= 1
    world.set_pool("one", "other")
    until(
        lambda: (
            by_name(source.read(DEFAULT_GROUPS, 5))["one"].description.membership.pool == "other"
        ),
        "events on the new connection",
    )


def test_a_frozen_daemon_gives_an_error_in_time(world, source):
    world.define("one")
    source.read(DEFAULT_GROUPS, 5)
    pid = world.daemon._process.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        for _ in range(3):
            began = time.monotonic()
            with pytest.raises(SourceError, match="no answer within"):
                source.read(DEFAULT_GROUPS, 0.5)
            assert time.monotonic() - began < 1.0
    finally:
        os.kill(pid, signal.SIGCONT)
    until(lambda: _reads(source), "the source to recover")


def _reads(source):
    try:
        return len(source.read(DEFAULT_GROUPS, 1).domains) == 1
    except SourceError:
        return False


@pytest.fixture
def process(world):
    running = subprocess.Popen(
        [sys.executable, "-m", "collector", "--url", world.uri, "--listen-address", "127.0.0.1:0"],
        cwd=_ROOT,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": f"{_ROOT}:{_ROOT / 'proto'}"},
        stderr=subprocess.PIPE,
        text=True,
    )
    started = running.stderr.readline()
    running.port = int(started.split('"port": ')[1].split(",")[0].strip(" }\n"))
    drain = threading.Thread(target=running.stderr.read, daemon=True)
    drain.start()
    yield running
    running.terminate()
    running.wait(10)
    drain.join(5)
    running.stderr.close()


def scrape(process):
    answer = requests.get(
        f"http://127.0.0.1:{process.port}/metrics",
        headers={"X-Prometheus-Scrape-Timeout-Seconds": "1"},
        timeout=5,
    )
    assert answer.status_code == 200
    return answer.text


def test_the_process_outlives_libvirtd(world, process):
    world.define("one")
    world.act("one", "create")
    until(lambda: 'cpu_time_seconds_total{domain="one"}' in scrape(process), "CPU time")
    world.daemon.stop()
    down = scrape(process)
    assert "libvirt_up 0.0" in down
    assert 'libvirt_scrape_collector_success{collector="stats"} 0.0' in down
    assert "libvirt_domain_info" not in down
    world.daemon.start()
    back = scrape(process)
    assert "libvirt_up 1.0" in back
    assert 'libvirt_domain_info_vstate{domain="one"} 1.0' in back


@pytest.mark.skipif(shutil.which("promtool") is None, reason="not installed: promtool")
def test_promtool_finds_nothing_to_say_about_the_real_output(world, process):
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


def test_sigterm_ends_the_process_while_a_call_is_stuck(world, process):
    world.define("one")
    world.act("one", "create")
    until(lambda: 'stats_complete{domain="one"} 1.0' in scrape(process), "full statistics")
    with world.frozen("one"):
        assert 'libvirt_domain_timed_out{domain="one"} 1.0' in scrape(process)
        process.terminate()
        assert process.wait(5) == 0
