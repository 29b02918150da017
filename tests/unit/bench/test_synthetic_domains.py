import pytest

from bench.synthetic_domains import SyntheticHost
from collector.records import DEFAULT_GROUPS, Group
from collector.samples import is_active, is_complete


def test_the_same_seed_gives_the_same_host():
    assert SyntheticHost(3, seed=4).reading() == SyntheticHost(3, seed=4).reading()
    assert SyntheticHost(3, seed=4).reading() != SyntheticHost(3, seed=5).reading()


@pytest.mark.parametrize("count", [0, 1, 120])
def test_every_domain_is_active_complete_and_described(count):
    found = SyntheticHost(count).reading().domains
    assert len({record.name for record in found}) == len(found) == count
    assert all(is_active(one.statistics) and is_complete(one.statistics) for one in found)
    assert all(one.description and one.description.disks for one in found)


def test_counters_grow_from_reading_to_reading_and_nothing_else_changes():
    host = SyntheticHost(2, vcpus=3, disks=2, interfaces=2)
    first, second = host.reading(), host.reading()
    for before, after in zip(first.domains, second.domains, strict=True):
        changed = {
            key for key in after.statistics if before.statistics[key] != after.statistics[key]
        }
        assert {"cpu.time", "vcpu.2.delay", "net.1.rx.bytes", "block.1.wr.times"} <= changed
        assert all(after.statistics[key] > before.statistics[key] for key in changed)
        assert not any(key.startswith(("balloon.current", "state")) for key in changed)
    assert second.node == first.node


def test_groups_that_are_not_asked_for_are_not_there():
    found = SyntheticHost(1, groups=frozenset({Group.CPU})).reading()
    (record,) = found.domains
    assert {key.partition(".")[0] for key in record.statistics} == {"state", "cpu"}
    assert (record.description, found.node, found.storage_pools) == (None, None, None)
    assert SyntheticHost(1, groups=DEFAULT_GROUPS).reading().node is not None
