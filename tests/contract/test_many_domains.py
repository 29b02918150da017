"""A pool of thousands, in one answer of a real libvirtd with its test driver."""

import shutil
import time

import libvirt
import pytest

from scaler.libvirt_domains import METADATA_URI
from scaler.libvirt_hypervisor import LibvirtHypervisor
from scaler.pool import Lifecycle
from scaler.ports import ErrorKind, HypervisorError
from servicekit.clock import SystemClock
from tests.contract.hypervisor_libvirtd import PrivateLibvirtd

MANY = 4_100
"""More than 4,096, which is a limit of libvirt's protocol, too: of the statistics of one domain."""
PATIENCE = 45.0
_DOMAIN = """
<domain type='test'>
  <name>{name}</name><memory unit='MiB'>1</memory><os><type>hvm</type></os>
  <metadata><v:domain xmlns:v='{uri}' pool='default' tier='cold' owner='virtscale'/></metadata>
</domain>
"""


@pytest.fixture
def crowd():
    """The URI of a libvirtd with so many domains of the pool; they live as long as a connection."""
    if shutil.which("libvirtd") is None:
        pytest.skip("needs libvirtd")
    daemon = PrivateLibvirtd()
    uri = daemon.uri.replace("qemu+unix:///session", "test+unix:///default")
    connection = libvirt.open(uri)
    for number in range(MANY):
        connection.defineXML(_DOMAIN.format(name=f"d{number:04}", uri=METADATA_URI))
    yield uri
    connection.close()
    daemon.close()


async def look(hypervisor):
    """The first look at so many takes longer than a look may; it goes on beside the next ones."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return await hypervisor.list()
        except HypervisorError as error:
            if error.kind is not ErrorKind.RETRYABLE or time.monotonic() > end:
                raise


async def test_a_pool_of_thousands_is_seen_whole(crowd):
    hypervisor = LibvirtHypervisor(crowd, "default", clock=SystemClock())
    try:
        first = await look(hypervisor)
        assert [one.name for one in sorted(first, key=lambda one: one.name)] == [
            f"d{number:04}" for number in range(MANY)
        ]
        assert {one.lifecycle for one in first} == {Lifecycle.OFF}
        await hypervisor.start("d4099")
        again = {one.name: one for one in await look(hypervisor)}
        assert again.pop("d4099").lifecycle is Lifecycle.RUNNING
        assert all(again[one.name] == one for one in first if one.name in again)
    finally:
        hypervisor.close()
