"""Two scalers of one pool: each touches its own domains only, until one adopts.

On libvirt's test driver and on the fake that the simulations use.
"""

import libvirt
import pytest

from scaler.domain_attributes import parse
from scaler.libvirt_domains import METADATA_URI
from scaler.libvirt_hypervisor import LibvirtHypervisor
from scaler.pool import Lifecycle, Operation, OperationKind
from scaler.ports import ErrorKind, HypervisorError
from servicekit.clock import SystemClock
from tests.contract.test_foreign_domains import URI, TestDriver
from tests.simulation.hypervisor_fake import FakeHypervisor

START = Operation(OperationKind.START, 1.0, 7)


class RealSite:
    def __init__(self):
        self.driver = TestDriver()
        self.scalers = [
            LibvirtHypervisor(URI, "default", clock=SystemClock(), scaler=name) for name in "ab"
        ]

    def define(self, name):
        self.driver.define(name, "default")

    def metadata(self, name):
        domain = self.driver.connection.lookupByName(name)
        return parse(domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, METADATA_URI))

    def forget(self):
        """As after the five seconds for which metadata are not read again."""
        for one in self.scalers:
            one._metadata.clear()

    def close(self):
        for one in self.scalers:
            one.close()
        self.driver.close()


class FakeSite:
    def __init__(self):
        self.scalers = [FakeHypervisor(scaler=name) for name in "ab"]
        self.scalers[1].domains = self.scalers[0].domains

    def define(self, name):
        self.scalers[0].define(name)

    def metadata(self, name):
        found = self.scalers[0].domains[name]
        return {"scaler": found.scaler, "token": str(found.token)}

    def forget(self):
        pass

    def close(self):
        pass


@pytest.fixture(params=[RealSite, FakeSite])
def site(request):
    site = request.param()
    yield site
    site.close()


async def record(hypervisor, name="x"):
    (found,) = [one for one in await hypervisor.list() if one.name == name]
    return found


async def test_a_domain_that_nobody_has_claimed_is_claimed_once(site):
    ours, theirs = site.scalers
    site.define("x")
    for one in (ours, theirs):
        found = await record(one)
        assert (found.is_unclaimed, found.foreign_scaler) == (True, "")
    await ours.claim("x")
    site.forget()
    assert not (await record(ours)).is_unclaimed
    assert (await record(theirs)).foreign_scaler == "a"
    with pytest.raises(HypervisorError, match="another scaler") as caught:
        await theirs.claim("x")
    assert caught.value.kind is ErrorKind.GONE


async def test_an_operation_claims_too_and_keeps_the_other_out_also_when_it_looked_before(site):
    ours, theirs = site.scalers
    site.define("x")
    assert (await record(theirs)).is_unclaimed
    await ours.set_operation("x", START)
    await ours.start("x")
    for call in ("start", "shutdown", "destroy", "suspend", "save", "discard", "keep_definition"):
        with pytest.raises(HypervisorError, match="another scaler"):
            await getattr(theirs, call)("x")
    with pytest.raises(HypervisorError, match="another scaler"):
        await theirs.set_operation("x", None)
    # A call that was refused has looked: the next list need not wait until the metadata are due.
    assert (await record(theirs)).foreign_scaler == "a"
    found = await record(ours)
    assert (found.operation, found.lifecycle) == (START, Lifecycle.RUNNING)
    await ours.set_operation("x", None)
    assert site.metadata("x")["scaler"] == "a"


async def test_who_adopts_owns_it_running_or_not_and_no_foreign_token_fences_it(site):
    ours, theirs = site.scalers
    site.define("x")
    await ours.set_operation("x", START)
    await ours.start("x")
    await theirs.adopt("x")
    site.forget()
    found = await record(theirs)
    assert (found.foreign_scaler, found.token) == ("", 0)
    # What was under way goes on.
    assert found.operation is not None and found.operation.kind is OperationKind.START
    assert (await record(ours)).foreign_scaler == "b"
    with pytest.raises(HypervisorError, match="another scaler"):
        await ours.destroy("x")
    await theirs.destroy("x")
    assert site.metadata("x")["scaler"] == "b"
    await ours.adopt("x")
    assert site.metadata("x")["scaler"] == "a"


async def test_one_that_looks_at_no_owners_sees_no_difference():
    site = RealSite()
    try:
        site.define("x")
        await site.scalers[0].claim("x")
        found = await record(site.driver.hypervisor)
        assert (found.is_unclaimed, found.foreign_scaler) == (False, "")
        await site.driver.hypervisor.set_operation("x", START)
        assert site.metadata("x")["scaler"] == "a"
    finally:
        site.close()


class HandClock(SystemClock):
    moment = 0.0

    def monotonic(self):
        return self.moment


async def test_records_are_the_same_objects_until_the_owner_changes():
    site, clock = RealSite(), HandClock()
    ours = LibvirtHypervisor(URI, "default", clock=clock, scaler="c")
    try:
        site.define("x")
        first = await record(ours)
        assert await record(ours) is first
        await ours.claim("x")
        claimed = await record(ours)
        assert (first.is_unclaimed, claimed.is_unclaimed) == (True, False)
        assert await record(ours) is claimed
        await site.scalers[0].adopt("x")
        clock.moment = 6.0
        lost = await record(ours)
        assert lost.foreign_scaler == "a"
        assert await record(ours) is lost
    finally:
        ours.close()
        site.close()
