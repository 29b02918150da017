import pytest

from bench.collector import _compare, _draw
from bench.collector_rounds import Subject
from bench.exporter_process import Answer

DEBIANS = 'libvirt_up 1\nlibvirt_domains_number 2\nlibvirt_domain_state_code{domain="a"} 1\n'
OURS = 'libvirt_up 1\nlibvirt_domains 2\nlibvirt_domain_info_vstate{domain="a"} 1\n'


def subject(name, text, *milliseconds):
    made = Subject(name, lambda: Answer(0.0, 200))
    made.seconds = [value / 1000 for value in milliseconds]
    made.last = Answer(0.0, 200, text)
    return made


def compared(ours_text):
    figures = []
    _compare(
        subject("small", ours_text, 10, 50, 30),
        subject("full", ours_text, 100, 120, 140),
        subject("Debian's", DEBIANS, 90, 100, 1000),
        20,
        figures,
    )
    return {figure.goal.what: figure for figure in figures}


def test_wall_times_are_shares_of_the_other_exporters_median():
    found = compared(OURS)
    small, full = found["wall time, small, 20 domains"], found["wall time, full, 20 domains"]
    assert small.measured == pytest.approx(0.3)
    assert full.measured == pytest.approx(1.2)
    assert small.goal.verdict(small.measured) == "floor"
    assert full.goal.verdict(full.measured) == "floor"
    assert len(found) == 2


def test_who_gives_less_does_not_win(capsys):
    found = compared("libvirt_up 1\n")
    figure = found["metrics of Debian's that are not given, 20 domains"]
    assert figure.measured == 2
    assert figure.goal.verdict(figure.measured) == "MISSED"
    assert "libvirt_domain_state_code" in capsys.readouterr().err


def test_the_plot_shows_growth_and_rounds_and_whatever_is_missing_is_left_out():
    point = {"domains": 10, "zipped_ms": 1.5, "peer_ms": 15.0, "resident_bytes": 40e6}
    turns = [{"name": "ours & co", "median_ms": 1.0, "p95_ms": 2.0}]
    page = _draw({"growth": [point, point | {"domains": 100}], "rounds_20": turns})
    assert page.count("<svg") == 3
    assert "ours &amp; co" in page
    assert "100: 15.0" in page
    assert "<svg" not in _draw({})
