import os

import pytest

from bench.collector_rounds import Subject, replayed, take_turns
from bench.exporter_process import Answer
from bench.usage import cpu_clock


def test_everybody_scrapes_once_per_round_and_warm_ups_are_forgotten():
    order = []

    def scraper(name):
        def scrape():
            order.append(name)
            return Answer(0.001, 200)

        return scrape

    subjects = [Subject(name, scraper(name)) for name in "abc"]
    take_turns(subjects, os.getpid(), 2)
    assert order[-6:] == ["a", "b", "c", "b", "c", "a"]
    assert [len(subject.seconds) for subject in subjects] == [2, 2, 2]


def test_figures_are_per_domain():
    subject = Subject("x", lambda: Answer(0.0, 200))
    subject.seconds = [0.010, 0.020, 0.030]
    subject.libvirtd_seconds = [0.020, 0.020, 0.020]
    subject.last = Answer(0.0, 200, "libvirt_up 1\n")
    found = subject.figures(10)
    assert found["median_ms"] == pytest.approx(20)
    assert found["p95_ms"] == pytest.approx(30)
    assert found["libvirtd_ms_per_domain"] == pytest.approx(2)
    assert found["exporter_ms"] is None
    assert found["series"] == 1


def test_a_scrape_without_an_answer_ends_the_run():
    with pytest.raises(SystemExit, match="broken gave no answer"):
        Subject("broken", lambda: Answer(1.0, 0)).take(os.getpid())


def test_replayed_calls_get_the_uri():
    asked = []
    answer = replayed(asked.append, "test:///default")()
    assert (answer.status, asked) == (200, ["test:///default"])


def test_the_cpu_clock_of_a_process_moves_while_it_works():
    before = cpu_clock(os.getpid())
    while cpu_clock(os.getpid()) - before < 0.001:
        sum(range(1000))
    with pytest.raises(OSError, match=r"Errno"):
        cpu_clock(2**22 - 1)
