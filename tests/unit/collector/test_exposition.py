import math
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from collector.domain_xml import describe
from collector.exposition import render
from collector.families import CATALOGUE, Family, families
from collector.ports import HostReading, Versions
from collector.samples import sample
from tests.unit.collector import records

GOLDEN = Path(__file__).with_name("golden.prom")


def golden_text():
    domains = (
        sample("d1", "uuid-1", records.PAUSED, description=describe(records.XML)),
        sample("d0", "uuid-0", records.RUNNING, description=describe(records.XML)),
        sample("d2", "uuid-2", records.INACTIVE),
        sample("d3", "uuid-3", records.FROZEN, is_timed_out=True),
    )
    versions = Versions("7.2.22", "9.0.0", "9.0.0")
    reading = HostReading(domains, versions, 0.25, 0.125, True)
    return render(families(reading, duration_seconds=0.5, reconnects=2)).decode()


def test_the_text_is_as_it_was():
    """A changed name or label breaks dashboards elsewhere: change the file only on purpose."""
    assert golden_text() == GOLDEN.read_text(encoding="utf-8")


def test_a_parser_reads_what_was_written():
    parsed = list(text_string_to_metric_families(golden_text()))
    found = {
        (one.name, *one.labels.values()): one.value for family in parsed for one in family.samples
    }
    assert found["libvirt_domain_info_cpu_time_seconds_total", "d0"] == 0.75
    assert found["libvirt_domain_info", "d0", "uuid-0", 'Front "A"', "hvm", "x86_64", "pc-q35-7.2"]
    assert not any(math.isnan(value) for value in found.values())


def test_a_host_that_does_not_answer():
    text = render(families(None, duration_seconds=0.5, reconnects=1)).decode()
    found = {
        (one.name, *one.labels.values()): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }
    assert found == {
        ("libvirt_up",): 0.0,
        ("libvirt_scrape_duration_seconds",): 0.5,
        ("libvirt_scrape_collector_success", "stats"): 0.0,
        ("libvirt_reconnects_total",): 1.0,
    }


def test_labels_and_help_are_escaped():
    family = Family("m", "gauge", "line\nback\\slash", ("l",))
    text = render([(family, [(('quote" back\\ line\n',), 1.0)])]).decode()
    assert "# HELP m line\\nback\\\\slash\n" in text
    assert 'm{l="quote\\" back\\\\ line\\n"} 1.0\n' in text


def test_names_follow_the_conventions():
    names = [family.name for family in CATALOGUE]
    assert len(names) == len(set(names))
    for family in CATALOGUE:
        assert family.name.endswith("_total") == (family.kind == "counter")
        assert family.help.endswith(".")
        assert not set(family.labels) & {"job", "instance", "host"}
