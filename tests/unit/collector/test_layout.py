from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.catalogue import CATALOGUE
from collector.domain_xml import Description, Disk
from collector.exposition import Format, Renderer
from collector.families import NameSet
from collector.layout import Layouts, escape
from tests.unit.collector import records
from tests.unit.collector.readings import (
    FACTS,
    NOVA,
    OURS,
    domain,
    odd_host,
    reading,
    series_of,
    text_of,
    values_of,
)

RECORDED = [
    *(records.RUNNING, records.PAUSED, records.INACTIVE, records.FROZEN, records.STATE_ONLY),
    *(records.UNPLUGGED, records.BACKING, records.FULL, {**records.FULL, **records.OPTIONAL}),
]


def test_a_running_domain_in_base_units():
    found = values_of(records.RUNNING)
    assert found["libvirt_domain_info_vstate",] == 1
    assert found["libvirt_domain_info_state", "the domain is running"] == 1
    assert found["libvirt_domain_stats_complete",] == 1
    assert found["libvirt_domain_info_cpu_time_seconds_total",] == 0.75
    assert found["libvirt_domain_info_cpu_user_seconds_total",] == 0.43
    assert found["libvirt_domain_info_memory_usage_bytes",] == 64 << 20
    assert found["libvirt_domain_memory_stats_rss_bytes",] == 48004 * 1024
    assert found["libvirt_domain_vcpu_delay_seconds_total", "0"] == 0.028350606
    assert found["libvirt_domain_block_stats_read_time_seconds_total", "vda"] == 0.000102742
    assert found["libvirt_domain_block_stats_physicalsize_bytes", "vda"] == 1048576


def test_an_inactive_domain_has_no_counters_though_libvirt_reports_some():
    found = values_of(records.INACTIVE)
    assert found == {
        ("libvirt_domain_info_state", "the domain is shut off"): 5,
        ("libvirt_domain_info_vstate",): 5,
        ("libvirt_domain_stats_complete",): 1,
        ("libvirt_domain_timed_out",): 0,
        ("libvirt_domain_info_virtual_cpus",): 3,
        ("libvirt_domain_vcpu_current",): 3,
        ("libvirt_domain_vcpu_maximum",): 3,
        ("libvirt_domain_info_maximum_memory_bytes",): 64 << 20,
        ("libvirt_domain_info_memory_usage_bytes",): 64 << 20,
        ("libvirt_domain_memory_stats_maximum_bytes",): 64 << 20,
        ("libvirt_domain_memory_stats_current_balloon_bytes",): 64 << 20,
        ("libvirt_domain_block_stats_capacity_bytes", "vda"): 1048576,
        ("libvirt_domain_block_stats_physicalsize_bytes", "vda"): 1048576,
    }


def test_without_the_state_the_id_tells_what_is_active():
    statistics = {"cpu.time": 1_500_000_000}
    name = ("libvirt_domain_info_cpu_time_seconds_total",)
    assert values_of(statistics, number=3)[name] == 1.5
    assert name not in values_of(statistics, number=-1)


def test_a_paused_domain_keeps_its_clock():
    assert values_of(records.PAUSED)["libvirt_domain_info_cpu_time_seconds_total",] == 0.75


def test_a_frozen_domain_keeps_what_the_host_knows():
    found = values_of(records.FROZEN, is_timed_out=True)
    assert found["libvirt_domain_stats_complete",] == 0
    assert found["libvirt_domain_timed_out",] == 1
    assert found["libvirt_domain_info_cpu_time_seconds_total",] == 0.5
    assert found["libvirt_domain_vcpu_time_seconds_total", "0"] == 0.13
    assert not any("block_stats" in name or "rss" in name for name, *_ in found)


def test_a_guest_that_tells_its_memory():
    found = values_of(records.FULL)
    assert found["libvirt_domain_memory_stats_used_percent",] == pytest.approx(72.847909)
    assert found["libvirt_domain_memory_stats_last_update_timestamp_seconds",] == 1764150000
    assert found["libvirt_domain_memory_stats_major_fault_total",] == 3344480
    assert found["libvirt_domain_memory_stats_swap_in_bytes",] == 12 << 10


@pytest.mark.parametrize(
    "memory",
    [
        {"balloon.available": 0, "balloon.usable": 0},
        {"balloon.available": 10, "balloon.usable": 11},
        {"balloon.available": 10},
        {"balloon.usable": 10},
        {"balloon.available": "10", "balloon.usable": 1},
    ],
)
def test_no_share_is_made_up_from_what_the_guest_did_not_tell(memory):
    found = values_of({**records.RUNNING, **memory})
    assert ("libvirt_domain_memory_stats_used_percent",) not in found


def test_a_guest_that_never_told_its_memory_has_no_time_of_telling():
    renderer = Renderer()
    name = "libvirt_domain_memory_stats_last_update_timestamp_seconds"
    for moment in (0, 7, 8, 0, 9):
        host = reading(domain("d", {**records.RUNNING, "balloon.last-update": moment}))
        assert (f'{name}{{domain="d"}} {moment}\n' in text_of(host, renderer=renderer)) is (
            moment != 0
        )
        assert (f"# TYPE {name}" in text_of(host, renderer=renderer)) is (moment != 0)


def test_vcpu_numbers_may_have_gaps():
    found = values_of(records.UNPLUGGED)
    name = "libvirt_domain_vcpu_time_seconds_total"
    assert {key[1] for key in found if key[0] == name} == {"0", "2"}
    assert found["libvirt_domain_vcpu_current",] == 2


def test_halted_is_shown_where_it_is_told():
    found = values_of(records.FULL)
    assert found["libvirt_domain_vcpu_halted", "0"] == 1
    assert found["libvirt_domain_vcpu_halted", "1"] == 0
    assert not any(name == "libvirt_domain_vcpu_halted" for name, *_ in values_of(records.RUNNING))


def test_backing_files_are_no_disks_of_their_own():
    found = values_of(records.BACKING)
    assert found["libvirt_domain_block_stats_physicalsize_bytes", "vda"] == 200704
    assert sum("physicalsize" in name for name, *_ in found) == 1


def test_a_drive_without_a_medium_has_no_size():
    found = values_of(records.UNPLUGGED)
    assert found["libvirt_domain_block_stats_read_bytes_total", "sda"] == 0
    assert ("libvirt_domain_block_stats_capacity_bytes", "sda") not in found
    assert found["libvirt_domain_block_stats_capacity_bytes", "vdb"] == 1048576


def test_a_job_has_seconds_and_bytes_and_is_gone_when_it_ends():
    found = values_of(records.RUNNING, job=records.JOB)
    assert found["libvirt_domain_job_info_type",] == 2
    assert found["libvirt_domain_job_info_time_elapsed_seconds",] == 0.111
    assert found["libvirt_domain_job_info_downtime_seconds",] == 0.3
    assert found["libvirt_domain_job_info_data_remaining_bytes",] == 14737408
    assert ("libvirt_domain_job_info_time_remaining_seconds",) not in found
    found = values_of(records.RUNNING, job=records.MIGRATION)
    assert found["libvirt_domain_job_info_time_remaining_seconds",] == 12.345
    assert found["libvirt_domain_job_info_file_remaining_bytes",] == 6
    for idle in ({"type": 0, "time_elapsed": 3}, {}, None):
        assert values_of(records.RUNNING, job=idle) == values_of(records.RUNNING)


def test_limits_are_those_of_their_disk():
    found = values_of(records.INACTIVE, number=-1, io_limits={"vda": records.LIMITS})
    assert found["libvirt_domain_block_stats_limit_read_requests", "vda"] == 640
    assert sum("_limit_" in name or "size_iops" in name for name, *_ in found) == 19


def test_groups_that_are_off_by_default():
    found = values_of({**records.RUNNING, **records.OPTIONAL})
    assert found["libvirt_domain_iothread_poll_max_seconds", "1"] == 0.000032768
    assert found["libvirt_domain_perf_cpu_cycles_total",] == 123456789012
    assert found["libvirt_domain_perf_task_clock_seconds_total",] == 1.5
    assert found["libvirt_domain_dirtyrate_bytes_per_second",] == 5 << 20
    assert found["libvirt_domain_dirtyrate_vcpu_bytes_per_second", "0"] == 3 << 20
    assert found["libvirt_domain_vcpu_cpu", "0"] == 1


def test_the_largest_number_of_libvirt_is_exact():
    most = 2**64 - 1
    text = text_of(reading(domain("d", {"state.state": 1, "cpu.time": most, "balloon.rss": most})))
    assert 'cpu_time_seconds_total{domain="d"} 18446744073.709551615\n' in text
    assert f'rss_bytes{{domain="d"}} {most * 1024}\n' in text


CHANGES = [
    lambda record: replace(record, statistics={**record.statistics, "state.state": 3}),
    lambda record: replace(record, statistics={**record.statistics, "state.state": 5}),
    lambda record: replace(record, statistics={**record.statistics, "block.0.name": "sdx"}),
    lambda record: replace(record, statistics={**record.statistics, "net.0.name": "tap9"}),
    lambda record: replace(record, statistics={**record.statistics, "block.count": 9}),
    lambda record: replace(record, statistics={**record.statistics, "balloon.usable": 1 << 40}),
    lambda record: replace(record, statistics={**record.statistics, "balloon.last-update": 0}),
    lambda record: replace(record, statistics={**record.statistics, "cpu.time": "much"}),
    lambda record: replace(record, statistics={**record.statistics, "cpu.time": -1}),
    lambda record: replace(record, statistics=dict(reversed(record.statistics.items()))),
    lambda record: replace(record, statistics=records.FROZEN),
    lambda record: replace(record, description=OURS),
    lambda record: replace(record, description=None),
    lambda record: replace(record, uuid="another"),
    lambda record: replace(record, number=-1),
    lambda record: replace(
        record,
        statistics={key: value for key, value in record.statistics.items() if key != "state.state"},
    ),
    lambda record: replace(record, is_timed_out=True),
    lambda record: replace(record, job=records.JOB),
    lambda record: replace(record, io_limits={"vda": records.LIMITS}),
    lambda record: record,
]


@given(st.lists(st.sampled_from(CHANGES), min_size=1, max_size=6), st.booleans())
def test_what_is_remembered_never_shows(changes, stays_changed):
    """However a domain changes, the next scrape says what one without a memory would say."""
    renderer = Renderer(frozenset(NameSet))
    record = first = domain("d", records.FULL, description=NOVA)
    renderer.render(reading(record), FACTS, Format.TEXT)
    for change in changes:
        record = change(record if stays_changed else first)
        assert text_of(reading(record), renderer=renderer) == text_of(reading(record), *NameSet)


ABOUT_THE_READING = {"libvirt_domain_stats_complete", "libvirt_domain_timed_out"}


@given(base=st.sampled_from(RECORDED), data=st.data())
def test_a_missing_field_is_a_missing_series_and_changes_no_other(base, data):
    kept = data.draw(st.sets(st.sampled_from(sorted(base)))) | {"state.state"}
    # A disk of which libvirt listed a backing file is only the top one's while that is there.
    kept |= {key for key in base if key.endswith(".name")}
    whole = values_of(base)
    partial = values_of({key: value for key, value in base.items() if key in kept})
    for key, value in partial.items():
        if key[0] not in ABOUT_THE_READING:
            assert whole[key] == value


# Few and short: long ones take hypothesis longer to draw than a busy machine gives it.
NONSENSE = st.one_of(
    st.text(max_size=5),
    st.none(),
    st.floats(),
    st.integers(max_value=-1),
    st.just(10**5000),
    st.just(b"1"),
)


@given(st.dictionaries(st.sampled_from(sorted(records.FULL)), NONSENSE, max_size=8))
def test_nonsense_in_a_field_is_a_missing_series_and_is_forgotten(nonsense):
    renderer = Renderer()
    whole, right = text_of(reading(domain("d", records.FULL))), domain("d", records.FULL)
    before = series_of(text_of(reading(right), renderer=renderer))
    odd = text_of(reading(domain("d", {**records.FULL, **nonsense})), renderer=renderer)
    named = {key for key in nonsense if key.endswith(".name") or key == "state.state"}
    for key, value in series_of(odd).items():
        if not named and key[0] not in ABOUT_THE_READING:
            assert before[key] == value
    assert text_of(reading(right), renderer=renderer) == whole


@given(
    st.dictionaries(
        st.from_regex(r"(vcpu|net|block|iothread|limit)\.[0-9a.]{1,3}\.[a-z.]{1,9}")
        | st.sampled_from(["vcpu.00.time", "vcpu.0.time", "net.0.name", "block.00.name", "x", ""]),
        st.integers(0, 9) | st.sampled_from(["vda", "vdb"]),
        max_size=8,
    )
)
def test_keys_that_nobody_knows_do_no_harm(statistics):
    assert values_of({"state.state": 1, **statistics})


@given(st.lists(st.integers(0, 2**40), min_size=2, max_size=6))
def test_a_counter_says_what_libvirt_says_also_after_a_reset(times):
    renderer = Renderer()
    for nanoseconds in times:
        host = reading(domain("d", {**records.RUNNING, "cpu.time": nanoseconds}))
        found = series_of(text_of(host, renderer=renderer))
        key = ("libvirt_domain_info_cpu_time_seconds_total", (("domain", "d"),))
        assert found[key] == nanoseconds / 10**9


@given(st.integers(0, 20))
def test_an_unknown_state_is_shown_as_its_number(state):
    found = values_of({**records.RUNNING, "state.state": state})
    assert found["libvirt_domain_info_vstate",] == state
    assert sum(key[0] == "libvirt_domain_info_state" for key in found) == 1


def test_domains_that_look_alike_share_a_program():
    layouts = Layouts(CATALOGUE, frozenset(NameSet))
    for name in ("a", "b"):
        layouts.text(domain(name, records.FULL))
    (first,), (second,) = (kept.values() for kept in layouts._kept.values())
    assert first.program is second.program
    assert first.families is second.families
    layouts.keep_only([])
    del first, second
    assert (len(layouts), len(layouts._programs)) == (0, 0)


def test_however_a_domain_changes_little_is_kept():
    layouts = Layouts(CATALOGUE, frozenset(NameSet))
    for number in range(40):
        extra = {f"vcpu.{other}.time": 1 for other in range(10, 10 + number)}
        layouts.text(domain("d", {**records.RUNNING, **extra}))
        layouts.text(domain("d", {**records.RUNNING, **extra, "cpu.time": "much"}))
    assert len(layouts._programs) <= 4


def test_labels_are_escaped():
    assert escape('a"b\\c\nd') == 'a\\"b\\\\c\\nd'
    assert escape("é").encode("latin-1") == "é".encode()
    assert escape("\udc80") == "\\\\udc80"


def test_a_domain_of_every_kind_can_be_rendered_again_and_again():
    renderer = Renderer(frozenset(NameSet))
    expected = text_of(odd_host(), *NameSet)
    for _ in range(3):
        assert text_of(odd_host(), renderer=renderer) == expected


def test_a_disk_that_only_the_description_knows_has_an_info():
    empty = Description(disks=(Disk("hdc", device="cdrom"),))
    found = values_of(records.RUNNING, description=empty)
    assert any(key[0] == "libvirt_domain_block_stats_info" and "hdc" in key for key in found)
