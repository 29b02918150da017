"""The contract of the scaler's MetricsSource port, on the fake and on a real Prometheus."""

import asyncio
import http.server
import json
import math
import shutil
import threading
import time

import pytest

from scaler.__main__ import main as scaler
from scaler.policies.seasonal import history_queries
from scaler.ports import SignalQuery
from scaler.prometheus_source import PrometheusSource
from scaler.readings import Empty, Failed, Known, NotANumber, Stale
from tests.contract.metrics_source_prometheus import RealPrometheus
from tests.free_ports import free_ports
from tests.simulation.metrics_fake import MetricsFake


class FakeWorld:
    def __init__(self):
        self.source = MetricsFake()

    def expose(self, name, values):
        self.source.series[name] = values

    def go_away(self):
        self.source.is_away = True

    def close(self):
        pass


class PrometheusWorld:
    def __init__(self, server):
        self._server = server
        self.source = PrometheusSource(server.url)

    def expose(self, name, values):
        self._server.exposition.series[name] = values
        self._server.until(lambda: self._server.shows(name, len(values)))

    def go_away(self):
        self.source.close()
        self.source = PrometheusSource(f"http://127.0.0.1:{free_ports()}")

    def close(self):
        self.source.close()


@pytest.fixture(scope="module")
def server():
    if shutil.which("prometheus") is None:
        pytest.skip("needs prometheus")
    server = RealPrometheus()
    yield server
    server.close()


@pytest.fixture(params=["fake", "prometheus"])
def world(request):
    if request.param == "fake":
        world = FakeWorld()
    else:
        world = PrometheusWorld(request.getfixturevalue("server"))
    yield world
    world.close()


@pytest.fixture
def source(server):
    source = PrometheusSource(server.url)
    yield source
    source.close()


async def read(source, *names):
    return await source.read([SignalQuery(name, name) for name in names])


async def test_reads_all_signals_at_once(world):
    world.expose("first", [0.25])
    world.expose("second", [7.0])
    readings = await read(world.source, "first", "second")
    assert [one.value for one in readings.values()] == [0.25, 7.0]
    assert all(isinstance(one, Known) for one in readings.values())
    assert all(0 <= one.age_seconds < 5 for one in readings.values())


async def test_nothing_to_read_is_nothing_read(world):
    assert await world.source.read([]) == {}


async def test_zero_is_a_value(world):
    world.expose("zero", [0.0])
    assert (await read(world.source, "zero"))["zero"].value == 0.0


async def test_no_series_is_empty(world):
    assert await read(world.source, "absent") == {"absent": Empty()}


async def test_a_series_that_ended_is_empty(world):
    world.expose("ending", [1.0])
    world.expose("ending", [])
    assert await read(world.source, "ending") == {"ending": Empty()}


async def test_not_a_number_is_not_a_value(world):
    world.expose("odd", [math.nan])
    assert await read(world.source, "odd") == {"odd": NotANumber()}
    world.expose("endless", [math.inf])
    assert await read(world.source, "endless") == {"endless": NotANumber()}


async def test_a_value_that_no_load_can_have_is_not_a_value(world):
    world.expose("percent", [87.0])
    world.expose("negative", [-5.0])
    readings = await world.source.read(
        [SignalQuery("share", "percent", is_share=True), SignalQuery("negative", "negative")]
    )
    assert readings["share"].error.startswith("87 is no share from 0 to 1; divide")
    assert readings["negative"].error.startswith("-5 is below 0")
    assert (await read(world.source, "percent"))["percent"].value == 87.0


async def test_many_series_are_refused(world):
    world.expose("many", [1.0, 2.0])
    reading = (await read(world.source, "many"))["many"]
    assert isinstance(reading, Failed)
    assert "expected 1 series, got 2" in reading.error


async def test_a_server_that_is_away_fails_every_signal(world):
    world.go_away()
    readings = await read(world.source, "first", "second")
    assert readings == {"first": Failed("cannot connect"), "second": Failed("cannot connect")}


async def test_a_bad_expression_does_not_blind_the_others(server, source):
    server.exposition.series["good"] = [3.0]
    server.until(lambda: server.shows("good", 1))
    readings = await read(source, "good", "sum(")
    assert readings["good"].value == 3.0
    assert isinstance(readings["sum("], Failed)
    assert "parse error" in readings["sum("].error


async def test_expressions_and_comments_are_asked_as_they_are(server, source):
    server.exposition.series["good"] = [3.0]
    server.until(lambda: server.shows("good", 1))
    readings = await read(source, "sum(good) * 2 # doubled", "sum(good) > bool 1 or vector(0)")
    assert [one.value for one in readings.values()] == [6.0, 1.0]


async def test_a_number_is_a_signal_too(server, source):
    server.exposition.series["good"] = [3.0]
    server.until(lambda: server.shows("good", 1))
    for _ in range(2):
        readings = await read(source, "scalar(good) * 2", "4 # domains", "good")
        assert [one.value for one in readings.values()] == [6.0, 4.0, 3.0]
        assert all(one.age_seconds < 5 for one in readings.values())


async def test_what_is_no_value_is_told_in_words_of_its_author(server, source):
    readings = await read(source, "good[5m]", '"three"', "1 +")
    assert readings["good[5m]"] == Failed(
        "the query answers a range of samples; it must answer one series or a number"
    )
    assert readings['"three"'] == Failed(
        "the query answers text; it must answer one series or a number"
    )
    assert "1:4: parse error" in readings["1 +"].error


async def test_the_age_is_that_of_the_source_if_one_is_named(server, source):
    server.exposition.series["good"] = [3.0]
    server.until(lambda: server.shows("good", 1))
    readings = await source.read(
        [
            SignalQuery("fresh", "vector(1)", "max(timestamp(good))"),
            SignalQuery("old", "vector(1)", "vector(time() - 60)"),
            SignalQuery("sourceless", "vector(1)", "max(timestamp(absent))"),
        ]
    )
    assert readings["fresh"].age_seconds < 5
    assert 59 < readings["old"].age_seconds < 61
    assert isinstance(readings["old"], Stale)
    assert readings["sourceless"] == Stale(None)


class _Odd(http.server.BaseHTTPRequestHandler):
    """Answers as the test says; `None` holds the answer back."""

    def do_POST(self):
        if self.server.answer is None:
            self.server.release.wait(10)
            return
        status, body = self.server.answer
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def odd_server():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Odd)
    server.daemon_threads = True
    server.answer, server.release = None, threading.Event()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.release.set()
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((503, b"busy"), "HTTP status 503"),
        ((302, b""), "HTTP status 302"),
        ((200, b"<html>"), ""),
        ((200, b"[1]"), "not one of Prometheus"),
        ((200, b'{"status":"success"}'), "not one of Prometheus"),
        ((200, b'{"status":"success","data":{"resultType":"matrix","result":[]}}'), "vector"),
        (
            (
                200,
                b'{"status":"success","data":{"resultType":"vector","result":[{"metric":'
                b'{"virtscale_signal":"x","virtscale_part":"value"},"value":[]}]}}',
            ),
            "unknown form",
        ),
        ((422, b'{"error":"too many samples"}'), "too many samples"),
    ],
)
async def test_odd_answers_are_failures(odd_server, answer, error):
    odd_server.answer = answer
    source = PrometheusSource(f"http://127.0.0.1:{odd_server.server_address[1]}")
    try:
        reading = (await read(source, "x"))["x"]
    finally:
        source.close()
    assert isinstance(reading, Failed)
    assert error in reading.error


async def test_a_silent_server_fails_in_time_and_blocks_nothing(odd_server):
    url = f"http://127.0.0.1:{odd_server.server_address[1]}"
    source = PrometheusSource(url, timeout_seconds=0.3)
    started = time.monotonic()
    reading, _ = await asyncio.gather(read(source, "x"), asyncio.sleep(0))
    source.close()
    assert reading == {"x": Failed("no answer in time")}
    assert time.monotonic() - started < 2


async def test_the_past_is_asked_for_in_one_instant_query(server):
    """The seasonal policy's queries, with seasons of a second."""
    server.exposition.series["past_load"] = [4.0]
    server.until(lambda: server.shows("past_load", 1))
    level, seasons = history_queries(
        "past_load", quantile=1.0, seasons=3, season_seconds=1, lead_seconds=0, spread_seconds=1
    )
    queries = [
        SignalQuery("level", level, "vector(time())", 10.0),
        SignalQuery("seasons", seasons, "vector(time())", 10.0),
        SignalQuery("never", history_of_nothing(), "vector(time())", 10.0),
    ]
    source = PrometheusSource(server.url)
    try:
        deadline = time.monotonic() + 20
        while (readings := await source.read(queries))["seasons"] != Known(3.0, 0.0):
            assert time.monotonic() < deadline, readings
            await asyncio.sleep(0.1)
    finally:
        source.close()
    assert readings["level"] == Known(4.0, 0.0)
    assert readings["never"] == Known(0.0, 0.0)


def history_of_nothing():
    arguments = {"season_seconds": 60, "lead_seconds": 0, "spread_seconds": 1}
    return history_queries("nothing", quantile=1.0, seasons=2, **arguments)[1]


def test_a_policies_file_is_checked_against_a_prometheus(server, tmp_path, capsys):
    server.exposition.series |= {"good": [3.0], "many": [1.0, 2.0]}
    server.until(lambda: server.shows("good", 1) and server.shows("many", 2))
    file = tmp_path / "policies.yaml"

    def check(*queries):
        policies = [
            {"kind": "target", "name": f"p{number}", "measure": "mean", "signal": {"query": query}}
            for number, query in enumerate(queries)
        ]
        file.write_text(json.dumps({"policies": policies}))
        code = scaler(["policy", "check", str(file), "--prometheus-url", server.url])
        return code, capsys.readouterr()

    code, told = check("good", "absent")
    assert code == 0
    of_policies = [line for line in told.out.splitlines() if line.startswith("signal p")]
    assert of_policies == ["signal p0.value: 3", "signal p1.value: empty"]
    code, told = check("good", "many", "sum(")
    assert code == 1
    assert "signal p1.value: expected 1 series, got 2" in told.err
    assert "signal p2.value: refused" in told.err
