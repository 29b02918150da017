import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.domain_xml import Membership, describe
from collector.families import families
from collector.ports import HostReading, Versions
from collector.samples import is_complete, lacks_bulk_statistics, sample
from tests.unit.collector import records


def test_a_running_domain_in_base_units():
    found = sample("d0", "u", records.RUNNING)
    assert found.state == 1
    assert found.is_complete
    assert found.cpu_seconds == pytest.approx(0.75)
    assert found.cpu_user_seconds == pytest.approx(0.43)
    assert found.memory.current_bytes == 64 << 20
    assert found.memory.counters["rss"] == 48004 * 1024
    (vcpu,) = found.vcpus
    assert (vcpu.number, vcpu.wait_seconds) == (0, 0.0)
    assert vcpu.delay_seconds == pytest.approx(0.028350606)
    (block,) = found.blocks
    assert block.target == "vda"
    assert block.counters["rd.times"] == pytest.approx(0.000102742)


def test_an_inactive_domain_has_no_counters_though_libvirt_reports_some():
    found = sample("d2", "u", records.INACTIVE)
    assert found.cpu_seconds is None
    assert found.cpu_user_seconds is None
    assert found.vcpus == ()
    assert found.blocks[0].counters == {"capacity": 1048576, "physical": 1048576}
    assert found.vcpus_current == 3
    assert found.memory.maximum_bytes == 64 << 20
    assert found.is_complete


def test_a_paused_domain_keeps_its_clock():
    assert sample("d1", "u", records.PAUSED).cpu_seconds == pytest.approx(0.75)


def test_a_frozen_domain_is_incomplete_and_keeps_what_the_host_knows():
    found = sample("one", "u", records.FROZEN, is_timed_out=True)
    assert not found.is_complete
    assert found.cpu_seconds == pytest.approx(0.5)
    assert found.vcpus[0].time_seconds == pytest.approx(0.13)
    assert found.blocks[0].counters == {}
    assert "rss" not in found.memory.counters


def test_a_domain_without_disks_can_be_incomplete_too():
    without = {key: value for key, value in records.RUNNING.items() if "block" not in key}
    assert is_complete(without)
    del without["balloon.rss"]
    assert not is_complete(without)


def test_a_guest_that_never_told_its_memory_has_no_time_of_telling():
    assert "last-update" not in sample("d0", "u", records.RUNNING).memory.counters
    told = {**records.RUNNING, "balloon.last-update": 1700000000, "balloon.unused": 1024}
    counters = sample("d0", "u", told).memory.counters
    assert counters["last-update"] == 1700000000
    assert counters["unused"] == 1 << 20


def test_vcpu_numbers_may_have_gaps():
    statistics = {**records.RUNNING, "vcpu.maximum": 8, "vcpu.5.time": 1000000000}
    statistics |= {"vcpu.5.halted": "yes"}
    found = sample("d0", "u", statistics).vcpus
    assert [vcpu.number for vcpu in found] == [0, 5]
    assert found[1].is_halted is True
    assert found[0].is_halted is None


def test_knows_a_driver_without_bulk_statistics():
    assert lacks_bulk_statistics(records.STATE_ONLY)
    assert not lacks_bulk_statistics(records.FROZEN)


def test_describes_a_domain_of_ours():
    found = describe(records.XML)
    assert found.title == 'Front "A"'
    assert (found.os_type, found.os_type_arch) == ("hvm", "x86_64")
    assert found.os_type_machine == "pc-q35-7.2"
    assert found.membership == Membership("default", "cold")


@pytest.mark.parametrize(
    "metadata",
    [
        "",
        "<metadata/>",
        "<metadata><domain pool='p'/></metadata>",
        "<metadata><domain xmlns='urn:other:1' pool='p'/></metadata>",
        "<metadata><domain xmlns='urn:virtscale:domain:1' tier='cold'/></metadata>",
    ],
)
def test_a_domain_that_is_not_ours_belongs_to_no_pool(metadata):
    assert describe(f"<domain><name>x</name>{metadata}</domain>").membership is None


def test_the_default_namespace_is_understood():
    xml = "<domain><metadata><domain xmlns='urn:virtscale:domain:1' pool='p'/></metadata></domain>"
    assert describe(xml).membership == Membership("p", "")


def test_refuses_what_is_not_xml():
    with pytest.raises(ValueError, match="domain XML cannot be read"):
        describe("<domain>")


def series(statistics):
    domain = sample("d", "u", statistics)
    reading = HostReading((domain,), Versions("", "", ""), 0.0, 0.0, True)
    found = {}
    for family, rows in families(reading, duration_seconds=0.0, reconnects=0):
        for labels, value in rows:
            key = (family.name, *labels)
            assert key not in found, f"{key} appears twice"
            found[key] = value
    return found


ABOUT_THE_READING = {
    "libvirt_domain_stats_complete",
    "libvirt_domain_timed_out",
    "libvirt_domain_info_state",
}


@given(
    base=st.sampled_from([records.RUNNING, records.PAUSED, records.INACTIVE, records.FROZEN]),
    data=st.data(),
)
def test_a_missing_field_is_a_missing_series_and_changes_no_other(base, data):
    kept = data.draw(st.sets(st.sampled_from(sorted(base)))) | {"state.state"}
    whole, partial = series(base), series({key: base[key] for key in kept})
    for key, value in partial.items():
        assert not math.isnan(value)
        if key[0] not in ABOUT_THE_READING:
            assert whole[key] == value


# Few and short: long ones take hypothesis longer to draw than a busy machine gives it.
nonsense_values = st.text(max_size=20) | st.none()


@given(st.dictionaries(st.sampled_from(sorted(records.RUNNING)), nonsense_values, max_size=10))
def test_nonsense_in_a_field_is_a_missing_series(nonsense):
    for value in series({**records.RUNNING, **nonsense}).values():
        assert not math.isnan(value)


@given(st.integers(0, 20))
def test_an_unknown_state_is_shown_as_its_number(state):
    found = series({**records.RUNNING, "state.state": state})
    assert found["libvirt_domain_info_vstate", "d"] == state
    assert sum(key[0] == "libvirt_domain_info_state" for key in found) == 1
