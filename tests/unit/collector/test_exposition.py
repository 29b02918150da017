import gc
import math
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.openmetrics import exposition as openmetrics

from bench.synthetic_domains import SyntheticHost
from collector import catalogue
from collector.domain_xml import Description, Disk
from collector.exposition import Facts, Format, Renderer
from collector.families import NameSet
from collector.records import Control, Group, HostReading, Part, Versions
from tests.unit.collector import records
from tests.unit.collector.readings import (
    FACTS,
    OURS,
    domain,
    families_of,
    odd_host,
    reading,
    series_of,
    text_of,
)

HERE = Path(__file__).parent
GOLDEN = {Format.TEXT: HERE / "golden.prom", Format.OPENMETRICS: HERE / "golden.openmetrics"}


@pytest.mark.parametrize("form", Format)
def test_the_text_is_as_it_was(form):
    """A changed name or label breaks dashboards elsewhere: change the files only on purpose."""
    assert text_of(odd_host(), form=form) == GOLDEN[form].read_text(encoding="utf-8")


@pytest.mark.parametrize("names", [(), tuple(NameSet)])
def test_both_formats_say_the_same(names):
    host = odd_host()
    plain = series_of(text_of(host, *names))
    assert len(plain) > 300
    assert plain == series_of(text_of(host, *names, form=Format.OPENMETRICS), Format.OPENMETRICS)
    assert not any(math.isnan(value) for value in plain.values())


def test_kinds_are_those_of_the_catalogue():
    found = {one.name: one.type for one in families_of(text_of(odd_host()))}
    assert found["libvirt_domain_info_cpu_time_seconds"] == "counter"
    assert found["libvirt_domain_info"] == "gauge"
    found = {
        one.name: one.type
        for one in families_of(text_of(odd_host(), form=Format.OPENMETRICS), Format.OPENMETRICS)
    }
    assert found["libvirt_domain_info_cpu_time_seconds"] == "counter"
    assert found["libvirt_domain"] == "info"
    assert found["libvirt_domain_memory_stats_swap_in_bytes"] == "gauge"


def test_a_host_that_does_not_answer():
    text = text_of(None)
    assert "libvirt_up 0.0\n" in text
    assert series_of(text) == {
        ("libvirt_up", ()): 0.0,
        ("libvirt_scrape_duration_seconds", ()): 0.5,
        ("libvirt_scrape_collector_success", (("collector", "stats"),)): 0.0,
        ("libvirt_reconnects_total", ()): 2.0,
    }


def test_a_host_without_domains():
    found = series_of(text_of(reading()))
    assert found["libvirt_up", ()] == 1
    assert found["libvirt_domains", ()] == 0


def test_what_is_not_a_number_of_the_host_is_left_out():
    host = replace(
        odd_host(),
        node=replace(
            odd_host().node, cpus=None, memory_bytes={"total": math.nan, "free": -1.0}, cells=()
        ),
    )
    found = {name for name, _ in series_of(text_of(host))}
    assert "libvirt_node_cpu_frequency_hertz" in found
    assert not found & {
        "libvirt_node_cpus",
        "libvirt_node_memory_total_bytes",
        "libvirt_node_memory_free_bytes",
    }


def test_domains_are_in_order_of_name_and_each_is_there_once():
    statistics = {"state.state": 1}
    older = domain("b", {"state.state": 3}, number=1)
    found = text_of(
        reading(domain("c", statistics), older, domain("b", statistics, number=2), domain("a", {}))
    )
    lines = [line for line in found.splitlines() if line.startswith("libvirt_domain_info_vstate")]
    assert lines == [
        'libvirt_domain_info_vstate{domain="b"} 1',
        'libvirt_domain_info_vstate{domain="c"} 1',
    ]


def test_the_order_does_not_depend_on_who_was_read_first():
    host = odd_host()
    turned = replace(
        host,
        domains=host.domains[::-1],
        parts=dict(reversed(host.parts.items())),
        node=replace(host.node, cpu_seconds=dict(reversed(host.node.cpu_seconds.items()))),
        storage_pools=host.storage_pools[::-1],
    )
    assert text_of(turned) == text_of(host)


def test_only_what_was_asked_for_is_there():
    host = odd_host()
    groups = frozenset({Group.STATE, Group.CPU})
    names = {name for name, _ in series_of(text_of(host, groups=groups))}
    wanted = {family.name for family in catalogue.CATALOGUE if family.is_wanted(groups)}
    assert names <= wanted
    assert "libvirt_domain_info_cpu_time_seconds_total" in names
    assert "libvirt_domain_info" not in names


def test_the_state_brings_what_libvirt_tells_along_with_it():
    basics = {"state.state": 1, "cpu.time": 5, "vcpu.current": 2}
    record = domain("a", basics | {"balloon.current": 1024, "balloon.maximum": 2048})
    names = {
        name for name, _ in series_of(text_of(reading(record), groups=frozenset({Group.STATE})))
    }
    assert names >= {
        "libvirt_domain_info_cpu_time_seconds_total",
        "libvirt_domain_info_virtual_cpus",
        "libvirt_domain_info_memory_usage_bytes",
        "libvirt_domain_info_maximum_memory_bytes",
    }
    assert "libvirt_domain_vcpu_current" not in names
    assert 'stats_complete{domain="a"} 1' in text_of(
        reading(record), groups=frozenset({Group.STATE})
    )


def test_scrapes_that_ask_for_different_groups_do_not_mix():
    renderer, host = Renderer(), odd_host()
    whole = text_of(host)
    some = text_of(host, groups=frozenset({Group.CPU}))
    for _ in range(3):
        assert text_of(host, renderer=renderer) == whole
        assert text_of(host, renderer=renderer, groups=frozenset({Group.CPU})) == some


@pytest.fixture
def eager_threads():
    """Threads that take turns so often that what is not safe between them shows."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_many_threads_may_render(eager_threads):
    renderer = Renderer()
    hosts = [odd_host(), SyntheticHost(20).reading()]
    expected = [text_of(host) for host in hosts]
    wrong = []

    def scrape(number):
        for step in range(60):
            which = (number + step) % 2
            if text_of(hosts[which], renderer=renderer) != expected[which]:
                wrong.append(number)

    threads = [threading.Thread(target=scrape, args=(number,)) for number in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(30)
    assert not wrong


def test_nothing_is_kept_of_domains_that_are_gone():
    renderer = Renderer()
    host = SyntheticHost(5)
    renderer.render(host.reading(), FACTS, Format.TEXT)
    left = host.reading().domains[3]
    renderer.render(reading(left), FACTS, Format.TEXT)
    gc.collect()
    assert len(renderer._layouts) == 1


LABELS = st.text(st.characters(codec=None, categories=None), max_size=8) | st.sampled_from(
    [
        "\udc80",
        "\ud800x",
        'a"b',
        "a\\",
        "\n",
        "\\n",
        "é",
        "日本",
        "%s",
        "%%d",
        "\xff",
        "\x00",
        "{}",
        ",",
    ]
)


def client_text(form, *families):
    registry = CollectorRegistry()

    class Fixed:
        def collect(self):
            return families

    registry.register(Fixed())
    if form is Format.TEXT:
        return generate_latest(registry).decode()
    return openmetrics.generate_latest(registry).decode()


def as_read(label):
    """What is left of a label that no encoding can hold."""
    return label.encode("utf-8", "backslashreplace").decode()


@given(
    form=st.sampled_from(Format),
    name=LABELS,
    title=LABELS,
    target=LABELS.filter(bool),
    nanoseconds=st.integers(0, 2**64 - 1),
    size=st.integers(0, 2**63),
)
def test_the_client_library_would_write_the_same(form, name, title, target, nanoseconds, size):
    statistics = {
        "state.state": 1,
        "cpu.time": nanoseconds,
        "block.count": 1,
        "block.0.name": target,
        "block.0.rd.bytes": size,
        "block.0.capacity": size,
    }
    description = Description(title=title, disks=(Disk(target, kind=title),))
    host = reading(domain(name, statistics, description=description))
    cpu = CounterMetricFamily("libvirt_domain_info_cpu_time_seconds", "h", labels=["domain"])
    cpu.add_metric([as_read(name)], nanoseconds / 10**9)
    read = CounterMetricFamily(
        "libvirt_domain_block_stats_read_bytes", "h", labels=["domain", "target_device"]
    )
    read.add_metric([as_read(name), as_read(target)], size)
    capacity = GaugeMetricFamily(
        "libvirt_domain_block_stats_capacity_bytes", "h", labels=["domain", "target_device"]
    )
    capacity.add_metric([as_read(name), as_read(target)], size)
    info = InfoMetricFamily("libvirt_domain", "h", labels=["domain"])
    info.add_metric(
        [as_read(name)],
        {
            "uuid": as_read(f"uuid-of-{name}"),
            "title": as_read(title),
            "os_type": "",
            "os_type_arch": "",
            "os_type_machine": "",
        },
    )
    theirs = series_of(client_text(form, cpu, read, capacity, info).removesuffix("# EOF\n"), form)
    ours = series_of(text_of(host, form=form), form)
    assert theirs == {key: value for key, value in ours.items() if key in theirs}


@given(labels=st.lists(LABELS, min_size=3, max_size=3))
def test_versions_and_pools_may_have_any_text(labels):
    host = HostReading((), {"stats": Part(0.0, True)}, Versions(*labels))
    for form in Format:
        found = series_of(text_of(host, form=form), form)
        ((name, read),) = (key for key in found if key[0] == "libvirt_versions_info")
        assert sorted(value for _, value in read) == sorted(as_read(one) for one in labels)
        assert name


def test_a_frozen_domain_shows_how_long_it_has_been_so():
    frozen = domain("d", records.FROZEN, is_timed_out=True, control=Control(2, 12.3456))
    found = series_of(text_of(reading(frozen)))
    of_domain = {name: value for (name, labels), value in found.items() if labels}
    assert of_domain["libvirt_domain_control_state"] == 2
    assert of_domain["libvirt_domain_control_state_seconds"] == 12.346
    assert of_domain["libvirt_domain_timed_out"] == 1
    assert of_domain["libvirt_domain_stats_complete"] == 0


def test_a_thousand_domains_are_rendered_from_what_is_remembered():
    """Not a measurement: the second scrape makes no layout, and says what a new one would."""
    renderer, host = Renderer(), SyntheticHost(1000)
    renderer.render(host.reading(), FACTS, Format.TEXT)
    made = {name: dict(kept) for name, kept in renderer._layouts._kept.items()}
    second = host.reading()
    assert renderer.render(second, FACTS, Format.TEXT) == Renderer().render(
        second, FACTS, Format.TEXT
    )
    kept = renderer._layouts._kept
    assert all(kept[name][mark] is one for name, its in made.items() for mark, one in its.items())


def test_facts_of_a_scrape():
    text = Renderer().render(reading(), Facts(1.5, 7), Format.TEXT).decode()
    assert "libvirt_scrape_duration_seconds 1.5\n" in text
    assert "libvirt_reconnects_total 7.0\n" in text
    assert OURS.title in text_of(reading(domain("d", {}, description=OURS))).replace("\\", "")
