import json

import pytest

from scaler.status_page.composition import compose
from scaler.status_page.feed import Feed
from scaler.status_page.models import PageEvent, PageView
from scaler.status_page.web import STREAM_SECONDS, StaticFiles, StatusPage
from tests.unit.scaler.status_page.facts import (
    NOW,
    action,
    alert,
    domain,
    entry,
    facts,
    load,
    override,
    status,
)

HERE = "127.0.0.1:9182"


def full_view():
    """One with something in every place."""
    told = status([domain("vs-1"), domain("vs-2", "booting", leases=None)])
    return compose(
        facts(
            now=NOW + 60,
            status=told,
            entries=[entry(1, actions=[action("start", "vs-2")]), entry(2)],
            overrides=[override("pause"), override("hold", domains=2, id="b")],
            contradictions=["hold"],
            alerts=[alert()],
            load=load(**{"vs-1": 0.5}),
        )
    )


class Client:
    def __init__(self, **options):
        self.monotonic = 0.0
        self.feed = Feed(full_view, lambda: None, key="k", **options)
        self.page = StatusPage(
            full_view,
            self.feed,
            StaticFiles(),
            page_hosts=("kvm1.example.org",),
            zone=lambda: "UTC",
            monotonic=lambda: self.monotonic,
        )
        self.written = []
        self.write_fault = None

    def call(self, application, path, method="GET", query="", **environ):
        told = {"REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query}
        answer = {}

        def write(data):
            if self.write_fault is not None:
                raise self.write_fault
            self.written.append(data)
            if len(self.written) > 1:
                self.monotonic = STREAM_SECONDS

        def start_response(status, headers):
            answer.update(status=int(status.split()[0]), headers=dict(headers))
            return write

        body = b"".join(application({**told, "HTTP_HOST": HERE, **environ}, start_response))
        return answer["status"], answer["headers"], body.decode()


@pytest.fixture
def client():
    client = Client()
    yield client
    client.feed.close()


def test_the_document_may_run_and_fetch_nothing_but_its_own(client):
    status_code, headers, body = client.call(client.page.document, "/")
    assert (status_code, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    policy = headers["Content-Security-Policy"].split("; ")
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert not [one for one in policy if "unsafe" in one or "*" in one or "http" in one]
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert body.startswith("<!doctype html>")


def test_head_has_the_headers_alone(client):
    status_code, headers, body = client.call(client.page.document, "/", method="HEAD")
    assert (status_code, body) == (200, "")
    assert int(headers["Content-Length"]) > 1000


def test_the_document_is_only_read(client):
    assert client.call(client.page.document, "/", method="POST")[0] == 405


@pytest.mark.parametrize("name", ["page.css", "page.js", "icon.svg"])
def test_files_are_kept_by_browsers_under_their_version(client, name):
    static = client.page.routes()["/page"]
    status_code, headers, body = client.call(static, f"/page/{name}", query=StaticFiles().version)
    assert (status_code, bool(body)) == (200, True)
    assert "immutable" in headers["Cache-Control"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert client.call(static, f"/page/{name}")[1]["Cache-Control"] == "no-cache"
    assert client.call(static, f"/page/{name}", method="PUT")[0] == 405


@pytest.mark.parametrize("path", ["/page", "/page/", "/page/../web.py", "/page//page.js"])
def test_there_are_no_other_files(client, path):
    assert client.call(client.page.routes()["/page"], path)[0] == 404


def test_what_is_shown_is_there_as_data_that_looks_as_described(client):
    status_code, _, body = client.call(client.page.json, "/api/v1/view")
    assert status_code == 200
    view = PageView.model_validate_json(body, strict=True)
    assert view.domains[1].cpu_ratio == 0.5
    assert all((view.notices, view.timeline, view.overrides, view.alerts, view.signals))


def test_a_stream_is_server_sent_events_that_look_as_described(client):
    status_code, headers, body = client.call(client.page.events, "/api/v1/events")
    assert (status_code, body) == (200, "")
    assert headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert client.written[0] == b"retry: 2000\n\n"
    number, kind, data, *rest = client.written[1].decode().split("\n")
    assert (number, kind, rest) == ("id: k-1", "event: state", ["", ""])
    event = PageEvent.model_validate(json.loads(data.removeprefix("data: ")), strict=True)
    assert event.order == ["vs-2", "vs-1"]
    assert client.feed.streams == 0


@pytest.mark.parametrize("fault", [BrokenPipeError(), TimeoutError(), ConnectionResetError()])
def test_a_client_that_goes_or_is_too_slow_gives_its_place_back(client, fault):
    client.write_fault = fault
    assert client.call(client.page.events, "/api/v1/events")[0] == 200
    assert client.feed.streams == 0


def test_too_many_streams_are_refused_with_the_fix():
    client = Client(most_streams=0)
    status_code, _, body = client.call(client.page.events, "/api/v1/events")
    assert status_code == 503
    assert "close one" in json.loads(body)["error"]


@pytest.mark.parametrize("path", ["/", "/api/v1/view", "/api/v1/events"])
def test_a_name_that_is_not_expected_gets_nothing(client, path):
    pages = {"/": client.page.document, **client.page.routes()}
    status_code, _, body = client.call(pages[path], path, HTTP_HOST="evil.example:9182")
    assert status_code == 403
    assert "page_hosts" in body
    if path != "/api/v1/events":
        assert client.call(pages[path], path, HTTP_HOST="kvm1.example.org")[0] == 200


@pytest.mark.parametrize("path", ["/api/v1/view", "/api/v1/events"])
def test_another_page_gets_nothing(client, path):
    application = client.page.routes()[path]
    for headers in (
        {"HTTP_ORIGIN": "http://evil.example"},
        {"HTTP_SEC_FETCH_SITE": "cross-site"},
        {"REQUEST_METHOD": "POST"},
    ):
        assert client.call(application, path, **headers)[0] in (403, 405)
    assert client.call(application, path + "/x")[0] == 404
    assert client.written == []
