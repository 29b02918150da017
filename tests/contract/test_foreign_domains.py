"""Domains that are not ours are never touched, also when they take the name of one that was.

On libvirt's test driver: everything but the guests is real, and nothing need be installed.
"""

import libvirt
import pytest

from scaler.libvirt_domains import METADATA_URI
from scaler.libvirt_hypervisor import LibvirtHypervisor
from scaler.pool import Operation, OperationKind
from scaler.ports import ErrorKind, HypervisorError
from servicekit.clock import SystemClock

URI = "test:///default"
_XML = """
<domain type='test'>
  <name>{name}</name><memory unit='MiB'>64</memory><vcpu>1</vcpu><os><type>hvm</type></os>
  <metadata>{metadata}</metadata>
</domain>
"""
START = Operation(OperationKind.START, 1.0, 1)


class TestDriver:
    """The driver's domains live as long as a connection to it is open in this process."""

    __test__ = False

    def __init__(self):
        self.connection = libvirt.open(URI)
        self.hypervisor = LibvirtHypervisor(URI, "default", clock=SystemClock())
        self.names = set()

    def define(self, name, pool, *, is_running=False):
        """`pool` None: a domain that nobody marked."""
        mark = "" if pool is None else f"<v:domain xmlns:v='{METADATA_URI}' pool='{pool}'/>"
        domain = self.connection.defineXML(_XML.format(name=name, metadata=mark))
        self.names.add(name)
        if is_running:
            domain.create()
        return domain

    def replace(self, name, pool):
        """Somebody takes the domain away and runs another one under its name."""
        domain = self.connection.lookupByName(name)
        if domain.isActive():
            domain.destroy()
        domain.undefine()
        return self.define(name, pool, is_running=True)

    def close(self):
        self.hypervisor.close()
        for name in self.names:
            domain = self.connection.lookupByName(name)
            if domain.isActive():
                domain.destroy()
            domain.undefine()
        self.connection.close()


@pytest.fixture
def driver():
    driver = TestDriver()
    yield driver
    driver.close()


async def test_sees_its_own_pool_only_beside_a_foreign_domain_that_runs(driver):
    driver.define("ours", "default")
    driver.define("theirs", "other", is_running=True)
    driver.define("nobodys", None)
    # The driver brings one of its own, "test", without metadata.
    assert [one.name for one in await driver.hypervisor.list()] == ["ours"]


@pytest.mark.parametrize("pool", ["other", None])
@pytest.mark.parametrize("call", ["start", "shutdown", "destroy", "set_operation"])
async def test_a_domain_that_took_over_the_name_is_not_touched(driver, pool, call):
    driver.define("a", "default", is_running=True)
    assert [one.name for one in await driver.hypervisor.list()] == ["a"]
    theirs = driver.replace("a", pool)
    before = theirs.XMLDesc()
    arguments = ("a", START) if call == "set_operation" else ("a",)
    with pytest.raises(HypervisorError, match="no longer of pool default") as caught:
        await getattr(driver.hypervisor, call)(*arguments)
    assert caught.value.kind is ErrorKind.GONE
    assert theirs.isActive()
    assert theirs.XMLDesc() == before
    assert await driver.hypervisor.list() == ()


async def test_a_domain_that_somebody_moves_to_another_pool_is_let_go(driver):
    domain = driver.define("a", "default", is_running=True)
    await driver.hypervisor.list()
    domain.setMetadata(
        libvirt.VIR_DOMAIN_METADATA_ELEMENT,
        "<domain pool='other'/>",
        "v",
        METADATA_URI,
        libvirt.VIR_DOMAIN_AFFECT_LIVE | libvirt.VIR_DOMAIN_AFFECT_CONFIG,
    )
    with pytest.raises(HypervisorError, match="no longer of pool default"):
        await driver.hypervisor.destroy("a")
    assert domain.isActive()
