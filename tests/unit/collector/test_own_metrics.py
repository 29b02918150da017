import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector

from collector.exposition import Format
from collector.own_metrics import OwnMetrics
from servicekit.metrics import new_registry

LIBRARYS = {Format.TEXT: generate_latest, Format.OPENMETRICS: generate_openmetrics}


class Told(Collector):
    """Tells the same at each scrape, unlike what a process tells of itself."""

    def __init__(self, *families):
        self.families = families
        self.times = 0

    def collect(self):
        self.times += 1
        return iter(self.families)


def registry_of(*families):
    registry = CollectorRegistry()
    registry.register(Told(*families))
    return registry


@pytest.mark.parametrize("form", Format)
def test_a_process_has_nothing_that_is_left_to_the_library(form):
    registry = Told(*new_registry("collector").collect())
    made = OwnMetrics(registry)
    expected = LIBRARYS[form](registry)
    # The second time from memory.
    assert [made.text(form), made.text(form)] == [expected] * 2
    # The library would have asked for everything again.
    assert registry.times == 3


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
NUMBERS = st.floats() | st.integers(-(2**70), 2**70)


@given(TEXTS, st.lists(st.tuples(TEXTS, NUMBERS), max_size=3), st.sampled_from(Format))
def test_any_text_and_any_number_is_written_as_the_library_does(text, samples, form):
    gauge = GaugeMetricFamily("a_gauge", text, labels=["b", "a"])
    counter = CounterMetricFamily("a_counter", text, labels=["c"])
    for label, value in samples:
        gauge.add_metric([label, text], value)
        counter.add_metric([label], value)
    registry = registry_of(gauge, counter)
    assert OwnMetrics(registry).text(form) == LIBRARYS[form](registry)


@pytest.mark.parametrize("form", Format)
def test_what_is_of_another_kind_is_left_to_the_library(form):
    registry = CollectorRegistry()
    Info("an_info", "Info.", registry=registry).info({"a": "b"})
    Gauge("a_gauge_bytes", "Gauge.", unit="bytes", registry=registry).set(1)
    Counter("a_counter", "With the time of its creation.", registry=registry).inc()
    Histogram("a_histogram", "Histogram.", registry=registry).observe(1)
    assert OwnMetrics(registry).text(form) == LIBRARYS[form](registry)


@pytest.mark.parametrize("form", Format)
def test_an_info_is_a_gauge_in_the_older_format(form):
    registry = CollectorRegistry()
    Info("an_info", "Info.", registry=registry).info({"a": "b"})
    assert OwnMetrics(registry).text(form) == LIBRARYS[form](registry)


def test_a_sentence_that_changes_shows():
    told = Told(GaugeMetricFamily("a_gauge", "First.", value=1))
    made = OwnMetrics(told)
    assert b"First." in made.text(Format.TEXT)
    told.families = (GaugeMetricFamily("a_gauge", "Second.", value=1),)
    assert b"First." not in made.text(Format.TEXT)
