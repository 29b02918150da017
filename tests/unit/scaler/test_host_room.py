"""What the host can still carry."""

import pytest

from scaler import host_memory
from scaler.host_room import Budget, HostReserve, HostRoom, budget

MIB = 1 << 20
RESERVE = HostReserve(100 * MIB, 50 * MIB)


@pytest.fixture
def domain(make):
    return lambda name, state, size=10 * MIB: make.view(name, state, memory_bytes=size)


def test_nothing_known_is_an_unknown_budget(make):
    assert budget(None, RESERVE, make.pool()) == Budget()
    assert budget(HostRoom(), RESERVE, make.pool()) == Budget()


def test_what_is_promised_and_not_yet_touched_is_not_available(make, domain):
    room = HostRoom(None, 1000 * MIB, None)
    assert budget(room, RESERVE, make.pool()).memory_bytes == 900 * MIB
    pool = make.pool(domain("a", "ready"), domain("b", "booting"), domain("c", "preparing"))
    assert budget(room, RESERVE, pool).memory_bytes == 880 * MIB


def test_all_memory_must_hold_all_that_the_pool_may_take(make, domain):
    room = HostRoom(200 * MIB, 1000 * MIB, None)
    pool = make.pool(domain("a", "ready", 60 * MIB), domain("b", "standby_saved", 60 * MIB))
    assert budget(room, RESERVE, pool).memory_bytes == 40 * MIB


def test_images_that_are_being_written_take_disk(make, domain):
    room = HostRoom(None, None, 100 * MIB)
    assert budget(room, RESERVE, make.pool(domain("a", "saving"))).disk_bytes == 40 * MIB


def test_a_budget_shrinks_by_what_it_gave(domain):
    one = domain("a", "off")
    left = Budget(15 * MIB, 15 * MIB).without(one).without_image(one)
    assert left == Budget(5 * MIB, 5 * MIB)
    assert not left.holds(one, if_unknown=True)
    assert not left.holds_image(one)


def test_unknown_holds_as_asked_and_no_image(domain):
    one = domain("a", "off")
    assert Budget().holds(one, if_unknown=True)
    assert not Budget().holds(one, if_unknown=False)
    assert not Budget().holds_image(one)
    assert Budget().without(one).without_image(one) == Budget()


def test_this_host_tells_what_is_available(tmp_path):
    found = host_memory.room(None, "qemu:///session", tmp_path / "not" / "there" / "yet")
    assert found.memory_bytes is not None and found.memory_available_bytes is not None
    assert 0 < found.memory_available_bytes < found.memory_bytes
    assert found.disk_free_bytes is not None
    assert host_memory.room(None, "qemu:///session", None).disk_free_bytes is None


def test_of_another_host_libvirt_tells():
    class Connection:
        def getMemoryStats(self, cell, flags):
            return {"total": 1000, "free": 100, "buffers": 20, "cached": 30}

    found = host_memory.room(Connection(), "qemu+ssh://other/system", None)
    assert found == HostRoom(1000 * 1024, 150 * 1024, None)
