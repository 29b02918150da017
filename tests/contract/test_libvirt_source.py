"""The collector's source on libvirt's own test driver, which has no bulk statistics."""

import ast
import gc
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import libvirt
import pytest

import collector
from collector.libvirt_source import LibvirtSource
from collector.ports import SourceError
from collector.records import DEFAULT_GROUPS, DomainRecord, Group, HostReading
from servicekit.clock import SystemClock

_HOST = """
<node>
  <domain type='test'><name>ours</name><memory>1024</memory><vcpu>2</vcpu><os><type>hvm</type></os>
    <metadata><v:domain xmlns:v='urn:virtscale:domain:1' pool='p' tier='cold'/></metadata></domain>
  <domain type='test'><name>other</name><memory>1024</memory><os><type>hvm</type></os></domain>
</node>
"""
_MANY = """<domain type='test'><name>d{0:03}</name><memory>1024</memory><vcpu>2</vcpu>
<os><type>hvm</type></os><devices>
<disk type='file' device='disk'><source file='/d{0}'/><target dev='vda' bus='virtio'/></disk>
<interface type='network'><source network='default'/><target dev='vnet{0}'/></interface>
</devices></domain>"""
Make = Callable[..., LibvirtSource]


@pytest.fixture
def source() -> Iterator[Make]:
    made: list[LibvirtSource] = []

    def make(url: str, **options: re.Pattern[str]) -> LibvirtSource:
        made.append(LibvirtSource(url, SystemClock(), hedge_after_seconds=0.3, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def host(tmp_path: Path) -> str:
    file = tmp_path / "host.xml"
    file.write_text(_HOST)
    return f"test://{file}"


@pytest.fixture
def many(tmp_path: Path) -> str:
    file = tmp_path / "many.xml"
    file.write_text(f"<node>{''.join(_MANY.format(number) for number in range(500))}</node>")
    return f"test://{file}"


def by_name(reading: HostReading) -> dict[str, DomainRecord]:
    return {one.name: one for one in reading.domains}


def test_a_driver_without_bulk_statistics_is_read_by_calls_of_its_own(source: Make) -> None:
    reading = source("test:///default").read(DEFAULT_GROUPS, 5)
    (domain,) = reading.domains
    assert domain.name == "test"
    told = domain.statistics
    assert told["state.state"] == 1
    assert told["vcpu.current"] == 2
    assert told["balloon.maximum"] == 8 << 20
    assert told["balloon.rss"] == 1 << 20
    assert told["vcpu.1.state"] == 1
    assert told["block.0.name"] == "vda"
    assert told["net.0.name"] == "testnet0"
    for key in ("cpu.time", "cpu.user", "vcpu.1.time", "block.0.rd.bytes", "net.0.rx.bytes"):
        value = told[key]
        assert isinstance(value, int)
        assert value > 0, key
    assert not domain.is_timed_out
    assert reading.parts["stats"].is_ok


def test_only_the_groups_that_are_asked_are_read(source: Make) -> None:
    (domain,) = source("test:///default").read(frozenset({Group.STATE, Group.BLOCK}), 5).domains
    kinds = {key.partition(".")[0] for key in domain.statistics}
    # What virDomainGetInfo tells belongs to the state.
    assert kinds == {"state", "cpu", "vcpu", "balloon", "block"}
    assert "vcpu.0.time" not in domain.statistics
    assert domain.description is None


def test_it_says_once_that_it_reads_domain_by_domain(
    source: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    read = source("test:///default")
    for _ in range(3):
        read.read(DEFAULT_GROUPS, 5)
    assert capsys.readouterr().out.count("bulk_statistics.missing") == 1


def test_only_domains_with_our_metadata_belong_to_a_pool(source: Make, host: str) -> None:
    found = by_name(source(host).read(DEFAULT_GROUPS, 5))
    ours, other = found["ours"].description, found["other"].description
    assert ours is not None
    assert ours.membership is not None
    assert ours.membership.pool == "p"
    assert other is not None
    assert other.membership is None


def test_five_hundred_domains_are_read_quickly(source: Make, many: str) -> None:
    read = source(many)
    read.read(DEFAULT_GROUPS, 30)
    began = time.process_time()
    reading = read.read(DEFAULT_GROUPS, 30)
    assert time.process_time() - began < 2
    assert len(reading.domains) == 500
    assert all("net.0.rx.bytes" in one.statistics for one in reading.domains)
    assert all(one.description is not None for one in reading.domains)


def test_inactive_domains_have_limits_and_no_counters(source: Make, tmp_path: Path) -> None:
    file = tmp_path / "off.xml"
    off = "xmlns:t='http://libvirt.org/schemas/domain/test/1.0'"
    file.write_text(
        f"<node><domain type='test' {off}><name>off</name><memory>1024</memory><vcpu>2</vcpu>"
        "<os><type>hvm</type></os><t:runstate>5</t:runstate></domain></node>"
    )
    (domain,) = source(f"test://{file}").read(DEFAULT_GROUPS, 5).domains
    assert domain.number == -1
    told = domain.statistics
    assert told["state.state"] == 5
    assert (told["balloon.maximum"], told["vcpu.current"]) == (1024, 2)
    assert not any(key.startswith(("cpu.", "block.", "net.")) for key in told)


def test_names_may_be_chosen(source: Make, many: str) -> None:
    read = source(many, include=re.compile("d0.."), exclude=re.compile("d00."))
    names = [one.name for one in read.read(DEFAULT_GROUPS, 30).domains]
    assert names == [f"d{number:03}" for number in range(10, 100)]


def test_the_host_and_its_pools(source: Make) -> None:
    reading = source("test:///default").read(DEFAULT_GROUPS, 5)
    assert reading.node is not None
    assert reading.node.cpus == 16
    assert reading.node.model == "i686"
    assert reading.node.cpu_seconds["idle"] > 0
    # The driver tells nothing of the host's memory: no value is made up.
    assert (reading.node.memory_bytes, reading.node.cells) == ({}, ())
    assert reading.storage_pools is not None
    (pool,) = reading.storage_pools
    assert (pool.name, pool.state, pool.available_bytes) == ("default-pool", 2, 100 << 30)


def test_tells_the_versions(source: Make) -> None:
    versions = source("test:///default").read(DEFAULT_GROUPS, 5).versions
    assert versions is not None
    assert versions.library == versions.daemon
    assert versions.library.count(".") == 2


@pytest.mark.parametrize(
    ("url", "fix"),
    [
        ("qemu+unix:///session?socket=/nowhere/libvirt-sock", "is the daemon"),
        ("nonsense:///system", ""),
        ("test:///no/such/file.xml", ""),
        ("qemu+tcp://127.0.0.1:1/system", "is the daemon"),
    ],
)
def test_an_unreachable_host_is_named_with_a_fix(source: Make, url: str, fix: str) -> None:
    with pytest.raises(SourceError, match=re.escape(url)) as error:
        source(url).read(DEFAULT_GROUPS, 5)
    assert fix in str(error.value)


def test_errors_are_not_written_to_standard_error(
    source: Make, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SourceError):
        source("qemu+unix:///session?socket=/nowhere/libvirt-sock").read(DEFAULT_GROUPS, 5)
    assert capfd.readouterr().err == ""


def test_a_thousand_readings_leave_nothing_behind(source: Make) -> None:
    read = source("test:///default")

    def grown() -> tuple[int, int, int]:
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return (
            len(os.listdir("/proc/self/fd")),
            len(os.listdir("/proc/self/task")),
            pages * os.sysconf("SC_PAGE_SIZE"),
        )

    for _ in range(200):
        read.read(DEFAULT_GROUPS, 5)
    files, threads, memory = grown()
    for _ in range(1000):
        read.read(DEFAULT_GROUPS, 5)
    later = grown()
    assert later[0] < files + 40
    assert later[1] <= threads
    assert later[2] - memory < 4 << 20


_OPENS = re.compile(r"open(Auth|ReadOnly)?$")
_CHANGES = re.compile(
    "create|createXML|destroy|shutdown|reboot|reset|suspend|resume|save|managedSave|undefine"
    "|define|defineXML|setMetadata|setMemory|setVcpus|setMemoryStatsPeriod|setBlockIoTune"
    "|(attach|detach|update)Device|migrate|abortJob|refresh|setAutostart|qemuMonitorCommand"
)


def _speaks_libvirt(tree: ast.Module) -> bool:
    return any(
        isinstance(node, ast.Import) and any(one.name == "libvirt" for one in node.names)
        for node in ast.walk(tree)
    )


def test_the_collector_can_only_read() -> None:
    """Connections are opened read-only, so that libvirt itself refuses everything else."""
    opened, changing = set(), set()
    for path in Path(collector.__file__).parent.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if not _speaks_libvirt(tree) and path.parent.name != "libvirt_source":
            continue
        for node in ast.walk(tree):
            if not isinstance(node, ast.Attribute):
                continue
            if isinstance(node.value, ast.Name) and node.value.id == "libvirt":
                opened |= {node.attr} if _OPENS.match(node.attr) else set()
            elif _CHANGES.fullmatch(node.attr.removesuffix("Flags")):
                changing.add(f"{path.name}:{node.lineno} {node.attr}")
    assert opened == {"openReadOnly"}
    assert not changing
    connection = libvirt.openReadOnly("test:///default")
    with pytest.raises(libvirt.libvirtError, match="read only"):
        connection.lookupByName("test").destroy()
    connection.close()
