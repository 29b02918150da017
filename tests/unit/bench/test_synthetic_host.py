from bench.synthetic_host import SyntheticSource
from collector.records import DEFAULT_GROUPS

FIXED = ("state.", "vcpu.current", "vcpu.maximum", "balloon.current", "balloon.maximum")
FIXED += ("balloon.available", "balloon.hugetlb", "net.count", "block.count", ".name", ".path")
FIXED += (".backingIndex", ".state", ".wait", ".halted", ".allocation", ".capacity", ".physical")


def read(source):
    return source.read(DEFAULT_GROUPS, 1.0)


def test_every_counter_moves_from_reading_to_reading():
    source = SyntheticSource(3)
    first, second = read(source), read(source)
    for before, after in zip(first.domains, second.domains, strict=True):
        assert before.name == after.name
        same = {key for key, value in before.statistics.items() if after.statistics[key] == value}
        assert not {key for key in same if not any(part in key for part in FIXED)}


def test_the_domains_are_complete_and_described():
    for domain in read(SyntheticSource(2)).domains:
        assert domain.description is not None
        assert domain.description.os_type_arch == "x86_64"
        assert domain.statistics["block.0.rd.bytes"]
        assert not domain.is_timed_out


def test_names_and_uuids_are_not_shared():
    domains = read(SyntheticSource(70_000 // 100)).domains
    assert len({domain.name for domain in domains}) == len({domain.uuid for domain in domains})
    assert len({domain.name for domain in domains}) == 700
