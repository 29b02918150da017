import threading

import pytest
from prometheus_client import CollectorRegistry

from collector.exporter import Exporter
from collector.ports import SourceError
from servicekit.clock import SystemClock
from tests.unit.collector import records
from tests.unit.collector.readings import domain, reading

READING = reading(domain("d0", records.RUNNING))


class FakeSource:
    """Answers what it is told to; holds its answers back while `gate` is closed."""

    def __init__(self, *answers):
        self.reconnects = 0
        self.timeouts = []
        self.entered = threading.Event()
        self.gate = threading.Event()
        self.gate.set()
        self._answers = list(answers)

    def read(self, timeout_seconds):
        self.timeouts.append(timeout_seconds)
        self.entered.set()
        assert self.gate.wait(10)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def exporter(source, timeout_seconds=5.0):
    return Exporter(
        source, SystemClock(), timeout_seconds=timeout_seconds, registry=CollectorRegistry()
    )


def get(made, **environ):
    status = []
    (body,) = made.application(environ, lambda line, headers: status.append((line, dict(headers))))
    ((line, headers),) = status
    assert line == "200 OK"
    assert headers["Content-Length"] == str(len(body))
    return body.decode()


def test_answers_with_the_domains():
    made = exporter(FakeSource(READING))
    assert made.fault() == "no reading yet"
    text = get(made)
    assert "libvirt_up 1.0" in text
    assert 'libvirt_domain_info_vstate{domain="d0"} 1\n' in text
    assert made.fault() is None


@pytest.mark.parametrize("error", [SourceError("libvirt is down"), RuntimeError("a bug")])
def test_an_error_is_an_answer_that_says_down_and_passes(error):
    made = exporter(FakeSource(error, READING))
    text = get(made)
    assert "libvirt_up 0.0" in text
    assert 'libvirt_scrape_collector_success{collector="stats"} 0.0' in text
    assert str(error) in made.fault()
    assert "libvirt_up 1.0" in get(made)
    assert made.fault() is None


@pytest.mark.parametrize(
    ("header", "expected"),
    [(None, 5.0), ("1", 0.85), ("10", 5.0), ("0.01", 0.1), ("nonsense", 5.0), ("nan", 5.0)],
)
def test_the_shorter_of_both_timeouts_holds(header, expected):
    source = FakeSource(READING)
    environ = {} if header is None else {"HTTP_X_PROMETHEUS_SCRAPE_TIMEOUT_SECONDS": header}
    get(exporter(source), **environ)
    assert source.timeouts == [pytest.approx(expected)]


def test_scrapes_that_overlap_share_one_reading():
    source = FakeSource(READING)
    source.gate.clear()
    made = exporter(source)
    answers = []
    scrapes = [threading.Thread(target=lambda: answers.append(get(made))) for _ in range(5)]
    for one in scrapes:
        one.start()
    assert source.entered.wait(5)
    source.gate.set()
    for one in scrapes:
        one.join(5)
    assert len(answers) == 5
    assert len(source.timeouts) < 5
    assert all("libvirt_up 1.0" in one for one in answers)


def test_who_joins_a_reading_waits_no_longer_than_asked():
    source = FakeSource(READING)
    source.gate.clear()
    made = exporter(source)
    first = threading.Thread(target=lambda: get(made))
    first.start()
    assert source.entered.wait(5)
    assert "libvirt_up 0.0" in get(made, HTTP_X_PROMETHEUS_SCRAPE_TIMEOUT_SECONDS="0.2")
    source.gate.set()
    first.join(5)
    assert source.timeouts == [5.0]
