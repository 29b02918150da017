"""`python -m scaler report` on a store that a scaler has left behind, and nonsense."""

import json
import os
import subprocess
import sys
import time

import pytest

from scaler.__main__ import main
from tests.free_ports import free_ports
from tests.simulation.recording import lived, recorded_world

START = 1_700_000_000.0


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    import asyncio

    directory = tmp_path_factory.mktemp("scaler")

    async def live():
        world, store = recorded_world(path=directory / "decisions.db")
        await lived(world)
        store.close()
        await world.end()

    asyncio.run(live())
    return directory


def run(capsys, *arguments, code=0):
    assert main(["report", *(str(one) for one in arguments)]) == code
    return capsys.readouterr()


RANGE = ("--from", START, "--to", START + 270)


def test_tells_the_figures_and_what_it_could_not_know(capsys, state):
    told = run(capsys, "--state-dir", state, *RANGE, "--no-prometheus", "--json").out
    found = json.loads(told)
    assert found["starts"] == 4
    assert found["domains"] == [0, 4]
    assert found["jobs"] is None
    assert found["turns"] > 270
    assert found["known_seconds"] == pytest.approx(270, abs=2)
    assert sum(found["machine_seconds"].values()) == pytest.approx(3600 * found["machine_hours"])
    assert found["unknown"][0].startswith("Prometheus was not asked")


def test_writes_a_page_and_says_where(capsys, state, tmp_path):
    page = tmp_path / "run.html"
    told = run(capsys, "--state-dir", state, *RANGE, "--no-prometheus", "--out", page)
    assert f"report of the run: {page}" in told.err
    assert "The pool ran 0 to 4 machines" in told.out
    text = page.read_text()
    assert "start domain-1: " in text
    assert "chart-machines" in text


def test_without_a_range_it_is_the_last_run(capsys, state, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = run(capsys, "--state-dir", state, "--no-prometheus").err
    (page,) = tmp_path.glob("report-2023111*.html")
    assert f"report of the run: {page.name}" in told
    found = json.loads(run(capsys, "--state-dir", state, "--no-prometheus", "--json").out)
    assert found["until"] == pytest.approx(START + 270, abs=2)


def test_draws_each_chart_as_an_image(capsys, state, tmp_path):
    pytest.importorskip("PIL")
    images = tmp_path / "a" / "charts"
    run(capsys, "--state-dir", state, *RANGE, "--no-prometheus", "--json", "--png", images)
    found = {one.name: one.read_bytes()[:4] for one in images.iterdir()}
    assert found == {"cpu.png": b"\x89PNG", "machines.png": b"\x89PNG"}


def test_prometheus_away_is_told_and_the_rest_is_reported(capsys, state, tmp_path):
    url = f"http://127.0.0.1:{free_ports()}"
    page = tmp_path / "run.html"
    common = ("--state-dir", state, *RANGE, "--out", page)
    told = run(capsys, *common, "--prometheus-url", url)
    assert f"note: Prometheus at {url}/api/v1/query_range does not answer" in told.err
    assert "does not answer" in page.read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("--from", "teatime"), 2, "--from 'teatime': must be 10:42"),
        (("--from", START + 9, "--to", START), 2, "must be before --to"),
        (("--price", "-1"), 2, "--price -1: must be a number of money that is 0 or more"),
        (("--price", "nan"), 2, "--price nan"),
        (("--out", "run.pdf"), 2, "choose a name that ends in .html"),
        (("--out", "-", "--json"), 2, "only one of them can be printed"),
        (("--out", "/nowhere/run.html"), 1, "/nowhere/run.html: cannot be written: No such file"),
        (("--prometheus-url", "ftp:x"), 2, "prometheus_url"),
        (("--from", START - 900, "--to", START - 800), 1, "nothing is known of"),
    ],
)
def test_nonsense_is_refused_with_the_fix(capsys, state, arguments, code, text):
    both = () if "--prometheus-url" in arguments else ("--no-prometheus",)
    told = run(capsys, "--state-dir", state, *both, *arguments, code=code)
    assert text in told.err
    assert told.out == ""


def test_where_no_scaler_has_run_it_says_so(capsys, tmp_path):
    told = run(capsys, "--state-dir", tmp_path, "--no-prometheus", code=1)
    assert "no scaler has run with this state directory yet" in told.err


def test_a_damaged_store_is_named(capsys, state, tmp_path):
    (tmp_path / "decisions.db").write_bytes(b"no database " * 900)
    told = run(capsys, "--state-dir", tmp_path, "--no-prometheus", code=1)
    assert "decisions.db: cannot be read" in told.err


def test_a_store_that_is_damaged_further_in_is_named(capsys, state, tmp_path):
    whole = (state / "decisions.db").read_bytes()
    (tmp_path / "decisions.db").write_bytes(whole[:8192] + b"\xff" * (len(whole) - 8192))
    told = run(capsys, "--state-dir", tmp_path, *RANGE, "--no-prometheus", code=1)
    assert "decisions.db: cannot be read" in told.err


def test_times_are_those_of_the_machine(state):
    environment = {**os.environ, "TZ": "Asia/Kolkata"}
    command = [sys.executable, "-m", "scaler", "report", "--state-dir", str(state)]
    command += ["--from", "2023-11-15T03:43:20", "--to", "2023-11-15T03:47:50"]
    done = subprocess.run(
        [*command, "--no-prometheus", "--out", "-"], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "Wednesday, 15 November 2023, 03:43:20 IST to 03:47:50: 4 min 30 s" in done.stdout
    assert time.strftime("%Y", time.gmtime(START)) == "2023"
