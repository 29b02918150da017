"""What the collector answers is what Prometheus's own tools call well-formed."""

import shutil
import subprocess
from pathlib import Path

import pytest

from collector.exposition import NameSet
from tests.unit.collector.readings import odd_host, text_of

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
