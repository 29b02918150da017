import asyncio
import gzip
import re
import threading

import pytest

from collector.exposition import Format
from collector.pages import Pages
from collector.records import DEFAULT_GROUPS, Group
from collector.targets import Targets
from collector.web.messages import Request
from servicekit.clock import SystemClock


class FakeExporter:
    """Says what it was asked; holds its answers back while `gate` is closed."""

    def __init__(self, uri):
        self.uri = uri
        self.asked = []
        self.gate = threading.Event()
        self.gate.set()

    def scrape(
        self,
        timeout_seconds,
        groups=None,
        form=Format.TEXT,
        *,
        is_compressed=False,
        is_probe=False,
    ):
        self.asked.append((groups, timeout_seconds))
        assert self.gate.wait(10)
        text = f"{self.uri} {form} {is_probe}".encode()
        return gzip.compress(text) if is_compressed else text

    def close(self):
        pass


class World:
    def __init__(self, max_requests=2):
        self.first = FakeExporter("first")
        self.reason = None
        targets = Targets(
            {"default": self.first, "b&c": FakeExporter("second")},
            FakeExporter,
            re.compile("test:///x"),
            SystemClock(),
        )
        self.pages = Pages(
            targets,
            enabled=DEFAULT_GROUPS,
            longest_seconds=5.0,
            max_requests=max_requests,
            ready=lambda: self.reason,
            version="1.2.3 <b>",
        )

    async def get(self, path, method="GET", query=None, **headers):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = await self.pages(Request(method, path, query or {}, named))
        return answer.status, answer.body.decode("latin-1"), answer


@pytest.fixture
def world():
    made = World()
    yield made
    made.first.gate.set()
    made.pages.close()


async def test_metrics_are_of_the_first_target(world):
    status, body, answer = await world.get("/metrics")
    assert (status, body) == (200, "first text False")
    assert answer.content_type == Format.TEXT.content_type
    assert ("Vary", "Accept, Accept-Encoding") in answer.headers
    assert world.first.asked == [(DEFAULT_GROUPS, 5.0)]


async def test_what_the_headers_ask_for_is_answered(world):
    _, _, answer = await world.get(
        "/metrics",
        query={"collect[]": ["cpu"]},
        accept="application/openmetrics-text;version=1.0.0",
        accept_encoding="gzip",
        x_prometheus_scrape_timeout_seconds="2",
    )
    assert gzip.decompress(answer.body) == b"first openmetrics False"
    assert ("Content-Encoding", "gzip") in answer.headers
    assert answer.content_type == Format.OPENMETRICS.content_type
    ((groups, seconds),) = world.first.asked
    assert (groups, seconds) == ({Group.CPU}, pytest.approx(1.85))


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("default", "first text True"),
        ("b&c", "second text True"),
        ("test:///x", "test:///x text True"),
    ],
)
async def test_a_probe_names_its_target(world, target, expected):
    assert (await world.get("/probe", query={"target": [target]}))[:2] == (200, expected)


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ({}, 400, "known: default, b&c"),
        ({"target": [""]}, 400, "give one target"),
        ({"target": ["default", "b&c"]}, 400, "give one target"),
        ({"target": ["nobody"]}, 404, "no target is named 'nobody'"),
        ({"target": ["default"], "collect[]": ["disk"]}, 400, "no collector is named 'disk'"),
    ],
)
async def test_a_wrong_probe_says_why(world, query, status, words):
    found, body, _ = await world.get("/probe", query=query)
    assert found == status
    assert words in body
    assert not world.first.asked


async def test_metrics_with_a_target_is_400(world):
    status, body, _ = await world.get("/metrics", query={"target": ["b"]})
    assert (status, "/probe?target=NAME" in body) == (400, True)
    assert not world.first.asked


async def test_a_wrong_collector_is_400(world):
    status, body, _ = await world.get("/metrics", query={"collect[]": ["x"], "exclude[]": ["y"]})
    assert (status, "cannot be combined" in body) == (400, True)


async def test_health_is_the_process_and_readiness_the_last_reading(world):
    world.reason = "libvirt is down"
    assert (await world.get("/-/healthy"))[:2] == (200, "healthy\n")
    assert (await world.get("/-/ready"))[:2] == (503, "not ready: libvirt is down\n")
    world.reason = None
    assert (await world.get("/-/ready"))[:2] == (200, "ready\n")
    assert not world.first.asked


async def test_the_landing_page_links_everything_and_lists_the_collectors(world):
    _, page, answer = await world.get("/")
    assert answer.content_type.startswith("text/html")
    for link in ("/metrics", "/probe?target=default", "/-/healthy", "/-/ready"):
        assert f'href="{link}"' in page
    assert "b%26c" in page
    assert "1.2.3 &lt;b&gt;" in page
    for group in Group:
        state = "on" if group in DEFAULT_GROUPS else "off"
        assert f"<tr><td>{group}<td>{state}<td>{group.meaning}" in page


@pytest.mark.parametrize("path", ["/metrics", "/probe", "/", "/-/healthy", "/-/ready"])
async def test_only_reading_is_allowed(world, path):
    status, _, answer = await world.get(path, method="POST")
    assert status == 405
    assert ("Allow", "GET, HEAD") in answer.headers


async def test_other_pages_are_not_found(world):
    for path in ("/metrics/", "/favicon.ico", "//metrics"):
        assert (await world.get(path))[0] == 404


async def test_who_only_knocks_causes_no_reading(world):
    status, body, answer = await world.get("/metrics", method="HEAD")
    assert (status, body, answer.has_length) == (200, "", False)
    assert not world.first.asked


async def test_more_scrapes_than_allowed_are_refused_and_nothing_else_is(world):
    world.first.gate.clear()
    held = [asyncio.create_task(world.get("/metrics")) for _ in range(2)]
    while world.pages.scrapes_under_way < 2:  # noqa: ASYNC110 - threads are at work
        await asyncio.sleep(0)
    status, body, _ = await world.get("/metrics")
    assert status == 503
    assert "2 scrapes are under way" in body
    assert (await world.get("/-/healthy"))[0] == 200
    world.first.gate.set()
    assert [found[0] for found in await asyncio.gather(*held)] == [200, 200]
    assert (await world.get("/metrics"))[0] == 200


async def test_a_scrape_whose_client_has_gone_still_counts_until_it_ends(world):
    world.first.gate.clear()
    gone = asyncio.create_task(world.get("/metrics"))
    while not world.pages.scrapes_under_way:  # noqa: ASYNC110 - a thread is at work
        await asyncio.sleep(0)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert world.pages.scrapes_under_way == 1
    world.first.gate.set()
    while world.pages.scrapes_under_way:  # noqa: ASYNC110 - a thread is at work
        await asyncio.sleep(0)


async def test_no_limit_is_no_limit():
    world = World(max_requests=0)
    answers = await asyncio.gather(*(world.get("/metrics") for _ in range(50)))
    assert {status for status, _, _ in answers} == {200}
    world.pages.close()
