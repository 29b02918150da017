"""The collector's source on libvirt's own test driver, which has no bulk statistics."""

import ast
import inspect

import libvirt
import pytest

from collector import libvirt_source
from collector.libvirt_source import LibvirtSource
from collector.ports import SourceError
from collector.records import DEFAULT_GROUPS
from collector.samples import sample
from servicekit.clock import SystemClock

_HOST = """
<node>
  <domain type='test'><name>ours</name><memory>1024</memory><vcpu>2</vcpu><os><type>hvm</type></os>
    <metadata><v:domain xmlns:v='urn:virtscale:domain:1' pool='p' tier='cold'/></metadata></domain>
  <domain type='test'><name>other</name><memory>1024</memory><os><type>hvm</type></os></domain>
</node>
"""


def source(url):
    return LibvirtSource(url, SystemClock(), hedge_after_seconds=0.3)


@pytest.fixture
def host(tmp_path):
    file = tmp_path / "host.xml"
    file.write_text(_HOST)
    return f"test://{file}"


def test_a_driver_without_bulk_statistics_still_gives_cpu_and_memory():
    (record,) = source("test:///default").read(DEFAULT_GROUPS, 5).domains
    domain = sample(record.name, record.uuid, record.statistics)
    assert domain.name == "test"
    assert domain.state == 1
    assert domain.cpu_seconds > 0
    assert domain.vcpus_current == 2
    assert domain.memory.maximum_bytes == 8 << 30
    assert domain.vcpus == ()
    assert not domain.is_complete
    assert not record.is_timed_out


def test_it_says_once_that_it_reads_domain_by_domain(capsys):
    read = source("test:///default")
    for _ in range(3):
        read.read(DEFAULT_GROUPS, 5)
    assert capsys.readouterr().out.count("bulk_statistics.missing") == 1


def test_only_domains_with_our_metadata_belong_to_a_pool(host):
    found = {
        one.name: one.description.membership for one in source(host).read(DEFAULT_GROUPS, 5).domains
    }
    assert found["ours"].pool == "p"
    assert found["other"] is None


def test_tells_the_versions():
    versions = source("test:///default").read(DEFAULT_GROUPS, 5).versions
    assert versions.library == versions.daemon
    assert versions.library.count(".") == 2


def test_an_unreachable_host_is_named():
    url = "qemu+unix:///session?socket=/nowhere/libvirt-sock"
    with pytest.raises(SourceError, match="/nowhere/libvirt-sock"):
        source(url).read(DEFAULT_GROUPS, 5)


def test_errors_are_not_written_to_standard_error(capfd):
    with pytest.raises(SourceError):
        source("qemu+unix:///session?socket=/nowhere/libvirt-sock").read(DEFAULT_GROUPS, 5)
    assert capfd.readouterr().err == ""


def test_the_collector_can_only_read():
    """Connections are opened read-only, so that libvirt itself refuses everything else."""
    tree = ast.parse(inspect.getsource(libvirt_source))
    opened = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr.startswith("open")
    }
    assert opened == {"openReadOnly"}
    connection = libvirt.openReadOnly("test:///default")
    with pytest.raises(libvirt.libvirtError, match="read only"):
        connection.lookupByName("test").destroy()
    connection.close()
