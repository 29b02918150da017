import gzip
import threading

import pytest
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.registry import Collector

from collector.exporter import Exporter
from collector.exposition import Format
from collector.ports import SourceError
from collector.records import DEFAULT_GROUPS, Group, HostReading
from servicekit.clock import SystemClock

READING = HostReading(domains=(), parts={})


class FakeSource:
    """Answers what it is told to; holds its answers back while `gate` is closed."""

    def __init__(self, *answers):
        self.reconnects = 3
        self.asked = []
        self.entered = threading.Event()
        self.gate = threading.Event()
        self.gate.set()
        self.is_closed = False
        self.most_at_once = 0
        self._at_once = 0
        self._answers = list(answers) or [READING]

    def read(self, groups, timeout_seconds):
        self.asked.append((groups, timeout_seconds))
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        self.entered.set()
        assert self.gate.wait(10)
        self._at_once -= 1
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self):
        self.is_closed = True


class FakeRenderer:
    """Writes what it was given; `faults` says for which readings it fails."""

    def __init__(self, *faults):
        self.faults = faults
        self.calls = 0
        self.entered = threading.Event()
        self.gate = threading.Event()
        self.gate.set()

    def render(self, reading, facts, form, groups=None):
        self.calls += 1
        self.entered.set()
        assert self.gate.wait(10)
        state = "down" if reading is None else "up"
        if state in self.faults:
            raise KeyError("a bug")
        assert facts.duration_seconds >= 0
        return f"{state} {form} {facts.reconnects}\n".encode()


def exporter(source, renderer=None, registry=None, timeout_seconds=5.0):
    return Exporter(
        source,
        renderer or FakeRenderer(),
        SystemClock(),
        timeout_seconds=timeout_seconds,
        registry=registry,
    )


def scrape(made, timeout_seconds=5.0, **options):
    return made.scrape(timeout_seconds, **options).decode()


def together(*calls):
    """Runs the calls in threads, and returns when all have ended."""
    results = [None] * len(calls)

    def run(number):
        results[number] = calls[number]()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(calls))]
    for one in threads:
        one.start()
    return threads, results


def joined(threads):
    for one in threads:
        one.join(10)
        assert not one.is_alive()


def registry_with_a_counter():
    registry = CollectorRegistry()
    Counter("own_things", "Things.", registry=registry).inc()
    return registry


def test_answers_with_the_domains_and_then_the_process():
    made = exporter(FakeSource(), registry=registry_with_a_counter())
    assert made.fault() == "no reading yet"
    text = scrape(made)
    assert text.startswith("up text 3\n")
    assert "own_things_total 1.0" in text
    assert made.fault() is None


def test_openmetrics_ends_as_it_must():
    made = exporter(FakeSource(), registry=registry_with_a_counter())
    text = scrape(made, form=Format.OPENMETRICS)
    assert text.startswith("up openmetrics 3\n")
    assert text.endswith("# EOF\n")
    assert text.count("# EOF") == 1
    bare = exporter(FakeSource())
    assert scrape(bare, form=Format.OPENMETRICS) == "up openmetrics 3\n# EOF\n"
    assert scrape(bare) == "up text 3\n"


def test_a_probe_tells_nothing_of_the_process():
    made = exporter(FakeSource(), registry=registry_with_a_counter())
    assert scrape(made, is_probe=True) == "up text 3\n"
    assert scrape(made, form=Format.OPENMETRICS, is_probe=True) == "up openmetrics 3\n# EOF\n"


def test_a_compressed_answer_says_the_same():
    made = exporter(FakeSource())
    assert gzip.decompress(made.scrape(5.0, is_compressed=True)) == made.scrape(5.0)


@pytest.mark.parametrize("error", [SourceError("libvirt is down"), RuntimeError("a bug")])
def test_an_error_is_an_answer_that_says_down_and_passes(error):
    made = exporter(FakeSource(error, READING))
    assert scrape(made) == "down text 3\n"
    assert str(error) in made.fault()
    assert scrape(made) == "up text 3\n"
    assert made.fault() is None


def test_a_reading_that_cannot_be_rendered_is_down():
    made = exporter(FakeSource(), FakeRenderer("up"))
    assert scrape(made) == "down text 3\n"
    assert "KeyError in rendering" in made.fault()


def test_even_without_a_renderer_there_is_an_answer():
    made = exporter(FakeSource(), FakeRenderer("up", "down"))
    assert "\nlibvirt_up 0.0\n" in scrape(made)
    assert scrape(made, form=Format.OPENMETRICS).endswith("\nlibvirt_up 0.0\n# EOF\n")


class Broken(Collector):
    def collect(self):
        raise KeyError("a bug")


def test_own_metrics_that_fail_do_not_cost_the_domains():
    registry = CollectorRegistry()
    registry.register(Broken())
    made = exporter(FakeSource(), registry=registry)
    assert scrape(made) == "up text 3\n"
    assert scrape(made, form=Format.OPENMETRICS) == "up openmetrics 3\n# EOF\n"


def test_the_source_is_asked_for_what_the_scrape_asks_for():
    source = FakeSource()
    made = exporter(source)
    scrape(made)
    scrape(made, 2.0, groups=frozenset({Group.CPU}))
    (first, first_seconds), (second, second_seconds) = source.asked
    assert (first, second) == (DEFAULT_GROUPS, {Group.CPU})
    assert first_seconds == pytest.approx(5.0, abs=0.3)
    assert second_seconds == pytest.approx(2.0, abs=0.3)


def test_scrapes_that_overlap_share_one_reading_whatever_form_they_want():
    source, renderer = FakeSource(), FakeRenderer()
    source.gate.clear()
    made = exporter(source, renderer)
    leader, first = together(lambda: scrape(made))
    assert source.entered.wait(5)
    forms = [Format.TEXT, Format.OPENMETRICS, Format.TEXT, Format.OPENMETRICS]
    others, answers = together(*(lambda form=form: scrape(made, form=form) for form in forms))
    while made.sharing < len(forms):
        pass
    source.gate.set()
    joined(leader + others)
    assert len(source.asked) == 1
    assert renderer.calls == 2
    assert first == ["up text 3\n"]
    assert sorted(set(answers)) == ["up openmetrics 3\n# EOF\n", "up text 3\n"]


def test_who_asks_while_the_answer_is_being_written_overlaps_too():
    source, renderer = FakeSource(), FakeRenderer()
    renderer.gate.clear()
    made = exporter(source, renderer)
    first, one = together(lambda: scrape(made))
    assert renderer.entered.wait(5)
    second, other = together(lambda: scrape(made, form=Format.OPENMETRICS))
    while made.sharing < 1:
        pass
    renderer.gate.set()
    joined(first + second)
    assert (one, other) == (["up text 3\n"], ["up openmetrics 3\n# EOF\n"])
    assert len(source.asked) == 1
    scrape(made)
    assert made.sharing == 0
    assert len(source.asked) == 2


def test_other_groups_are_another_reading_and_one_at_a_time():
    source = FakeSource()
    source.gate.clear()
    made = exporter(source)
    threads, answers = together(
        lambda: scrape(made), lambda: scrape(made, groups=frozenset({Group.CPU}))
    )
    assert source.entered.wait(5)
    source.gate.set()
    joined(threads)
    assert {groups for groups, _ in source.asked} == {DEFAULT_GROUPS, frozenset({Group.CPU})}
    assert source.most_at_once == 1
    assert answers == ["up text 3\n"] * 2


def test_who_waits_for_other_groups_too_long_hears_that_it_is_down():
    source = FakeSource()
    source.gate.clear()
    made = exporter(source)
    threads, _ = together(lambda: scrape(made))
    assert source.entered.wait(5)
    assert scrape(made, 0.2, groups=frozenset({Group.CPU})) == "down text 3\n"
    assert "other collectors" in made.fault()
    source.gate.set()
    joined(threads)
    assert len(source.asked) == 1


def test_who_joins_a_reading_waits_no_longer_than_asked():
    source = FakeSource()
    source.gate.clear()
    made = exporter(source)
    threads, _ = together(lambda: scrape(made))
    assert source.entered.wait(5)
    assert scrape(made, 0.2) == "down text 3\n"
    source.gate.set()
    joined(threads)
    assert len(source.asked) == 1


def test_a_hasty_leader_does_not_spoil_the_answer_of_who_has_more_time():
    source = FakeSource(SourceError("no answer within 0.20 s"), READING)
    source.gate.clear()
    made = exporter(source)
    leader, first = together(lambda: scrape(made, 0.2))
    assert source.entered.wait(5)
    patient, second = together(lambda: scrape(made, 5.0))
    while made.sharing < 1:
        pass
    source.gate.set()
    joined(leader + patient)
    assert first == ["down text 3\n"]
    assert second == ["up text 3\n"]


def test_closing_ends_the_source():
    source = FakeSource()
    exporter(source).close()
    assert source.is_closed
