"""What the collector answers is what Prometheus's own tools call well-formed."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import requests

from collector.exposition import Facts, Format, NameSet, Renderer
from tests.contract.metrics_source_prometheus import RealPrometheus
from tests.unit.collector import records
from tests.unit.collector.readings import domain, odd_host, series_of, text_of

GOLDEN = Path(__file__).parents[1] / "unit" / "collector" / "golden.prom"

pytestmark = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="not installed: promtool (package prometheus)"
)


def linted(text):
    return subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )


def test_promtool_finds_nothing_wrong_with_the_golden_file():
    found = linted(GOLDEN.read_text(encoding="utf-8"))
    assert (found.returncode, found.stdout + found.stderr) == (0, "")


def test_promtool_finds_nothing_wrong_with_all_names():
    found = linted(text_of(odd_host(), *NameSet))
    assert (found.returncode, found.stdout + found.stderr) == (0, "")


def test_promtool_would_have_said_so():
    assert linted("# TYPE m_total gauge\nm_total 1\n").returncode == 3


@pytest.fixture(scope="module")
def prometheus():
    if shutil.which("prometheus") is None:
        pytest.skip("not installed: prometheus")
    running = RealPrometheus()
    yield running
    running.close()


ODD_LABELS = ['a"b', "a\\", "a\nb", "\\n", "é", "日本", "%s", "\xff", "\x00", "{}", "\udc80", " "]


@pytest.mark.parametrize("form", Format)
def test_prometheus_stores_what_was_said(prometheus, form):
    odd = tuple(domain(name, records.FULL) for name in ODD_LABELS)
    host = replace(odd_host(), domains=(*odd_host().domains, *odd))
    moment = float(list(Format).index(form))
    body = Renderer(frozenset(NameSet)).render(host, Facts(moment, 0), form)
    end = b"# EOF\n" if form is Format.OPENMETRICS else b""
    prometheus.exposition.answer = form.content_type, body + end

    def stored():
        query = '{__name__=~"(libvirt|virtscale)_.*"}'
        answer = requests.get(
            f"{prometheus.url}/api/v1/query", params={"query": query}, timeout=5
        ).json()
        return {
            (
                one["metric"]["__name__"],
                *sorted(
                    (label, value)
                    for label, value in one["metric"].items()
                    if label not in ("__name__", "job", "instance")
                ),
            ): float(one["value"][1])
            for one in answer["data"]["result"]
        }

    prometheus.until(lambda: stored().get(("libvirt_scrape_duration_seconds",)) == moment)
    # For Prometheus an empty label is none.
    said = {
        (name, *(pair for pair in labels if pair[1])): value
        for (name, labels), value in series_of(body.decode(), form).items()
    }
    assert len(said) > 1000
    assert stored() == said
