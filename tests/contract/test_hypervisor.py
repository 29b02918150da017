"""The contract of the scaler's Hypervisor port, on the fake and on libvirt with real QEMU."""

import asyncio
import shutil
import time

import pytest

from scaler.pool import Lifecycle, Operation, OperationKind
from scaler.ports import ErrorKind, HypervisorError
from tests.contract.hypervisor_libvirtd import LibvirtWorld, PrivateLibvirtd
from tests.simulation.hypervisor_fake import FakeHypervisor

_MISSING = [one for one in ("libvirtd", "qemu-system-x86_64") if shutil.which(one) is None]


class FakeWorld:
    def __init__(self):
        self.hypervisor = FakeHypervisor()
        self.define = self.hypervisor.define
        self.crash = self.hypervisor.crash
        self.pause = self.hypervisor.pause

    def close(self):
        pass


@pytest.fixture(scope="module")
def daemon():
    if _MISSING:
        pytest.skip(f"needs {', '.join(_MISSING)}")
    daemon = PrivateLibvirtd()
    yield daemon
    daemon.close()


@pytest.fixture(params=["fake", "libvirt"])
def world(request):
    if request.param == "fake":
        world = FakeWorld()
    else:
        world = LibvirtWorld(request.getfixturevalue("daemon"))
    yield world
    world.close()


async def record(world, name):
    (found,) = [one for one in await world.hypervisor.list() if one.name == name]
    return found


async def eventually(world, name, lifecycle):
    end = time.monotonic() + 20
    while (found := await record(world, name)).lifecycle is not lifecycle:
        assert time.monotonic() < end, f"{name} is {found}"
        await asyncio.sleep(0.05)
    return found


async def test_lists_only_domains_of_its_pool(world):
    world.define("ours")
    world.define("theirs", pool="other")
    world.define("foreign", pool=None)
    found = await world.hypervisor.list()
    assert [one.name for one in found] == ["ours"]
    assert found[0].lifecycle is Lifecycle.OFF
    assert found[0].operation is None


async def test_starts_and_destroys_and_both_may_be_repeated(world):
    world.define("a")
    await world.hypervisor.start("a")
    await world.hypervisor.start("a")
    assert (await record(world, "a")).lifecycle is Lifecycle.RUNNING
    await world.hypervisor.destroy("a")
    await world.hypervisor.destroy("a")
    found = await record(world, "a")
    assert (found.lifecycle, found.cause) == (Lifecycle.OFF, "destroyed")


async def test_a_guest_may_ignore_the_power_button(world):
    world.define("a")
    await world.hypervisor.start("a")
    await world.hypervisor.shutdown("a")
    await world.hypervisor.shutdown("a")
    assert (await record(world, "a")).lifecycle is Lifecycle.RUNNING


async def test_shutting_down_what_is_off_does_nothing(world):
    world.define("a")
    await world.hypervisor.shutdown("a")
    assert (await record(world, "a")).lifecycle is Lifecycle.OFF


async def test_operations_survive_start_and_stop(world):
    world.define("a")
    operation = Operation(OperationKind.START, 1_700_000_000.25, 7)
    await world.hypervisor.set_operation("a", operation)
    assert (await record(world, "a")).operation == operation
    await world.hypervisor.start("a")
    drain = Operation(OperationKind.DRAIN, 1_700_000_001.5, 8)
    await world.hypervisor.set_operation("a", drain)
    await world.hypervisor.destroy("a")
    found = await record(world, "a")
    assert (found.operation, found.token) == (drain, 8)
    await world.hypervisor.set_operation("a", None)
    found = await record(world, "a")
    # The token stays: it tells an older scaler that a newer one was here.
    assert (found.operation, found.token) == (None, 8)


async def test_a_killed_domain_is_off_because_it_crashed(world):
    world.define("a")
    await world.hypervisor.start("a")
    world.crash("a")
    assert (await eventually(world, "a", Lifecycle.OFF)).cause == "crashed"
    await world.hypervisor.start("a")
    assert (await record(world, "a")).lifecycle is Lifecycle.RUNNING


async def test_a_paused_domain_is_paused(world):
    world.define("a")
    await world.hypervisor.start("a")
    world.pause("a")
    assert (await record(world, "a")).lifecycle is Lifecycle.PAUSED
    await world.hypervisor.destroy("a")


async def test_a_running_domain_that_is_defined_anew_goes_on_with_its_image(world):
    world.define("a", generation="old")
    await world.hypervisor.start("a")
    world.define("a", generation="new")
    # Reads the metadata anew, as does whatever writes them.
    await world.hypervisor.set_operation("a", Operation(OperationKind.START, 1.0, 1))
    found = await record(world, "a")
    assert (found.generation, found.defined_generation) == ("old", "new")
    await world.hypervisor.set_operation("a", None)
    found = await record(world, "a")
    assert (found.generation, found.defined_generation) == ("old", "new")
    await world.hypervisor.destroy("a")
    await world.hypervisor.set_operation("a", None)
    found = await record(world, "a")
    assert (found.generation, found.defined_generation) == ("new", "new")


async def test_goes_back_to_the_definition_that_last_worked(world):
    world.define("a", generation="old")
    await world.hypervisor.start("a")
    await world.hypervisor.keep_definition("a")
    assert (await record(world, "a")).kept_generation == "old"
    world.define("a", generation="new")
    # Has proved nothing: what runs is another.
    await world.hypervisor.keep_definition("a")
    assert (await record(world, "a")).kept_generation == "old"
    operation = Operation(OperationKind.SHUTDOWN, 5.0, 9)
    await world.hypervisor.set_operation("a", operation)
    await world.hypervisor.destroy("a")
    await world.hypervisor.roll_back("a")
    found = await record(world, "a")
    assert (found.generation, found.defined_generation) == ("old", "old")
    # What is under way is not forgotten, nor who was here last.
    assert (found.operation, found.token) == (operation, 9)


async def test_nothing_to_go_back_to(world):
    world.define("a", generation="new")
    with pytest.raises(HypervisorError) as caught:
        await world.hypervisor.roll_back("a")
    assert caught.value.kind is ErrorKind.GONE


async def test_suspends_and_resumes_and_both_may_be_repeated(world):
    world.define("a")
    await world.hypervisor.start("a")
    await world.hypervisor.suspend("a")
    await world.hypervisor.suspend("a")
    assert (await record(world, "a")).lifecycle is Lifecycle.PAUSED
    await world.hypervisor.resume("a")
    await world.hypervisor.resume("a")
    assert (await record(world, "a")).lifecycle is Lifecycle.RUNNING
    await world.hypervisor.destroy("a")
    for call in (world.hypervisor.suspend, world.hypervisor.resume):
        with pytest.raises(HypervisorError):
            await call("a")


async def test_saves_and_restores_once(world):
    world.define("a")
    await world.hypervisor.start("a")
    await world.hypervisor.set_operation("a", Operation(OperationKind.SAVE, 1.0, 1))
    await world.hypervisor.save("a")
    await world.hypervisor.save("a")
    found = await record(world, "a")
    assert (found.lifecycle, found.cause) == (Lifecycle.OFF, "saved")
    assert found.has_saved_image
    await world.hypervisor.restore("a")
    await world.hypervisor.restore("a")
    assert (await record(world, "a")).lifecycle is Lifecycle.RUNNING
    await world.hypervisor.destroy("a")
    assert not (await record(world, "a")).has_saved_image
    with pytest.raises(HypervisorError) as caught:
        await world.hypervisor.restore("a")
    assert caught.value.kind is ErrorKind.FATAL
    assert (await record(world, "a")).lifecycle is Lifecycle.OFF


async def test_a_saved_domain_that_is_defined_anew_is_still_of_its_image(world):
    world.define("a", generation="old")
    await world.hypervisor.start("a")
    await world.hypervisor.set_operation("a", Operation(OperationKind.SAVE, 1.0, 1))
    await world.hypervisor.save("a")
    world.define("a", generation="new")
    # Reads the metadata anew, as does whatever writes them.
    await world.hypervisor.set_operation("a", Operation(OperationKind.SAVE, 1.0, 1))
    found = await record(world, "a")
    assert (found.generation, found.defined_generation) == ("old", "new")
    await world.hypervisor.discard("a")
    await world.hypervisor.set_operation("a", None)
    found = await record(world, "a")
    assert (found.generation, found.defined_generation) == ("new", "new")


@pytest.mark.parametrize("way", ["start", "discard"])
async def test_a_start_boots_and_a_discard_removes_whatever_image_there_is(world, way):
    world.define("a")
    await world.hypervisor.start("a")
    await world.hypervisor.set_operation("a", Operation(OperationKind.SAVE, 1.0, 1))
    await world.hypervisor.save("a")
    if way == "start":
        await world.hypervisor.start("a")
        assert (await record(world, "a")).lifecycle is Lifecycle.RUNNING
        await world.hypervisor.destroy("a")
    else:
        await world.hypervisor.discard("a")
        await world.hypervisor.discard("a")
    assert not (await record(world, "a")).has_saved_image


async def test_tells_how_much_memory_a_domain_may_take(world):
    world.define("a")
    assert (await record(world, "a")).memory_bytes == 64 * 1024 * 1024


@pytest.mark.parametrize("call", ["suspend", "resume", "save", "restore", "discard"])
async def test_an_unknown_domain_cannot_be_standby(world, call):
    with pytest.raises(HypervisorError) as caught:
        await getattr(world.hypervisor, call)("nobody")
    assert caught.value.kind is ErrorKind.GONE


@pytest.mark.parametrize("call", ["start", "shutdown", "destroy"])
async def test_an_unknown_domain_is_gone(world, call):
    with pytest.raises(HypervisorError) as caught:
        await getattr(world.hypervisor, call)("nobody")
    assert caught.value.kind is ErrorKind.GONE


async def test_refuses_to_mark_a_domain_of_another_pool(world):
    world.define("theirs", pool="other")
    with pytest.raises(HypervisorError) as caught:
        await world.hypervisor.set_operation("theirs", Operation(OperationKind.START, 1.0, 1))
    assert caught.value.kind is ErrorKind.GONE


async def test_finds_the_domains_again_after_libvirtd_was_restarted(daemon):
    world = LibvirtWorld(daemon)
    try:
        world.define("a")
        await world.hypervisor.start("a")
        daemon.stop()
        with pytest.raises(HypervisorError) as caught:
            await world.hypervisor.list()
        assert caught.value.kind is ErrorKind.RETRYABLE
        daemon.start()
        assert (await record(world, "a")).lifecycle is Lifecycle.RUNNING
        await world.hypervisor.destroy("a")
    finally:
        world.close()


async def test_keeps_what_others_wrote_into_the_metadata(daemon):
    world = LibvirtWorld(daemon)
    try:
        world.define("a")
        await world.hypervisor.set_operation("a", Operation(OperationKind.START, 1.0, 3))
        metadata = world.metadata("a")
        assert "tier='cold'" in metadata.replace('"', "'")
        assert "owner='virtscale'" in metadata.replace('"', "'")
    finally:
        world.close()


async def test_a_restore_brings_back_the_metadata_of_the_image(daemon):
    """Why the executor writes its operation a second time."""
    world = LibvirtWorld(daemon)
    try:
        world.define("a")
        await world.hypervisor.start("a")
        await world.hypervisor.set_operation("a", Operation(OperationKind.SAVE, 1.0, 1))
        await world.hypervisor.save("a")
        await world.hypervisor.set_operation("a", Operation(OperationKind.RESTORE, 2.0, 2))
        await world.hypervisor.restore("a")
        assert "operation='save'" in world.metadata("a").replace('"', "'")
        await world.hypervisor.set_operation("a", Operation(OperationKind.RESTORE, 2.0, 2))
        assert "operation='restore'" in world.metadata("a").replace('"', "'")
    finally:
        world.close()


async def test_a_domain_restored_from_a_time_of_another_owner_is_its_present_owners(daemon):
    world = LibvirtWorld(daemon)
    old, new = world.scaler("old"), world.scaler("new")
    try:
        world.define("a")
        await old.start("a")
        await old.set_operation("a", Operation(OperationKind.SAVE, 1.0, 1))
        await old.save("a")
        await new.adopt("a")
        restore = Operation(OperationKind.RESTORE, 2.0, 1)
        await new.set_operation("a", restore)
        await new.restore("a")
        assert "scaler='old'" in world.metadata("a").replace('"', "'")
        await new.set_operation("a", restore)
        assert "scaler='new'" in world.metadata("a").replace('"', "'")
        (found,) = await new.list()
        assert (found.operation, found.foreign_scaler) == (restore, "")
        with pytest.raises(HypervisorError, match="another scaler"):
            await old.destroy("a")
        await new.destroy("a")
    finally:
        old.close()
        new.close()
        world.close()


async def test_a_saved_domain_outlives_a_restart_of_libvirtd(daemon):
    world = LibvirtWorld(daemon)
    try:
        world.define("a")
        await world.hypervisor.start("a")
        await world.hypervisor.set_operation("a", Operation(OperationKind.SAVE, 1.0, 1))
        await world.hypervisor.save("a")
        daemon.stop()
        daemon.start()
        assert (await record(world, "a")).has_saved_image
        await world.hypervisor.restore("a")
        assert (await record(world, "a")).lifecycle is Lifecycle.RUNNING
    finally:
        world.close()


async def test_the_real_one_tells_the_hosts_room(daemon):
    world = LibvirtWorld(daemon)
    try:
        room = await world.hypervisor.room()
        assert room.memory_bytes is not None and room.memory_available_bytes is not None
        assert 0 < room.memory_available_bytes <= room.memory_bytes
    finally:
        world.close()
