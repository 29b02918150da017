import socket
import time
import urllib.error
import urllib.request
from contextlib import closing

import pytest

from servicekit.lifecycle import StartError
from servicekit.metrics import MetricsServer, listen_error, new_registry, respond

LOOPBACK = "127.0.0.1"


@pytest.fixture
def serve():
    servers = []

    def start(**options):
        server = MetricsServer(
            new_registry("sample"), service="sample", host=LOOPBACK, port=0, **options
        )
        server.start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.close()


def get(server, path, **headers):
    request = urllib.request.Request(f"http://{LOOPBACK}:{server.port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode(), answer.headers
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(), error.headers


def test_exposes_the_process_and_the_version(serve):
    status, body, headers = get(serve(), "/metrics")
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain")
    assert "process_resident_memory_bytes" in body
    assert "virtscale_sample_build_info{version=" in body


def test_openmetrics_is_served_to_who_asks_for_it(serve):
    _, body, headers = get(serve(), "/metrics", Accept="application/openmetrics-text")
    assert headers["Content-Type"].startswith("application/openmetrics-text")
    assert body.endswith("# EOF\n")


def test_a_scrape_may_ask_for_some_names_only(serve):
    _, body, _ = get(serve(), "/metrics?name[]=virtscale_sample_build_info")
    assert "virtscale_sample_build_info" in body
    assert "process_" not in body


def test_readiness_tells_the_reason(serve):
    reason = ["store is being recovered"]
    server = serve(ready=lambda: reason[0])
    assert get(server, "/-/ready")[:2] == (503, "not ready: store is being recovered\n")
    assert get(server, "/-/healthy")[0] == 200
    reason[0] = None
    assert get(server, "/-/ready")[:2] == (200, "ready\n")


def test_the_landing_page_links_everything(serve):
    def answer(environ, start_response):
        return respond(start_response, "200 OK", environ["PATH_INFO"])

    server = serve(routes={"/api": answer})
    _, page, _ = get(server, "/")
    assert all(f'href="{path}"' in page for path in ("/metrics", "/-/ready", "/api"))
    assert get(server, "/api/decisions")[1] == "/api/decisions"
    assert get(server, "/apiary")[0] == 404


def test_a_service_may_have_a_landing_page_of_its_own(serve):
    def answer(environ, start_response):
        return respond(start_response, "200 OK", "mine", headers=[("X-Mine", "yes")])

    server = serve(landing=answer)
    status, body, headers = get(server, "/")
    assert (status, body, headers["X-Mine"]) == (200, "mine", "yes")
    assert get(server, "/-/healthy")[0] == 200
    assert get(server, "/nothing")[0] == 404


def test_connections_are_bounded_and_their_places_given_back(serve):
    server = serve(most_connections=2)
    silent = [socket.create_connection((LOOPBACK, server.port), timeout=10) for _ in range(2)]
    with closing(socket.create_connection((LOOPBACK, server.port), timeout=10)) as third:
        assert third.recv(1) == b""
    for one in silent:
        one.close()
    deadline = time.monotonic() + 10
    while True:
        try:
            assert get(server, "/-/healthy")[0] == 200
            return
        except (urllib.error.URLError, ConnectionError):
            assert time.monotonic() < deadline


def test_the_longest_route_wins(serve):
    def named(name):
        return lambda environ, start_response: respond(start_response, "200 OK", name)

    server = serve(routes={"/api": named("short"), "/api/alerts": named("long")})
    assert get(server, "/api/alerts")[1] == "long"


def test_only_reading_is_allowed(serve):
    request = urllib.request.Request(
        f"http://{LOOPBACK}:{serve().port}/metrics", data=b"x", method="POST"
    )
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=10)
    with caught.value as error:
        assert error.code == 405


def test_a_silent_client_holds_nobody_up(serve):
    server = serve()
    with closing(socket.create_connection((LOOPBACK, server.port))) as silent:
        assert get(server, "/-/healthy")[0] == 200
        assert silent.fileno() >= 0


def test_a_request_that_is_no_http_is_refused(serve):
    server = serve()
    with closing(socket.create_connection((LOOPBACK, server.port))) as client:
        client.sendall(b"\x16\x03\x01\x02\x00 not http\r\n\r\n")
        client.settimeout(10)
        assert b"400" in client.recv(200) + client.recv(200)
    assert get(server, "/-/healthy")[0] == 200


def test_a_busy_port_is_a_start_error_with_the_fix(serve):
    busy = serve().port
    with pytest.raises(StartError, match=f"port {busy} on {LOOPBACK} is in use") as caught:
        MetricsServer(new_registry("other"), service="other", host=LOOPBACK, port=busy)
    assert "--listen-address HOST:PORT" in str(caught.value)


def test_an_address_of_another_machine_is_a_start_error():
    with pytest.raises(StartError, match="cannot listen on"):
        MetricsServer(new_registry("other"), service="other", host="192.0.2.1", port=0)


def test_a_host_that_does_not_exist_is_a_start_error():
    with pytest.raises(StartError, match="cannot listen on"):
        MetricsServer(new_registry("other"), service="other", host="no.such.invalid", port=0)


def test_listens_on_ipv6():
    server = MetricsServer(new_registry("six"), service="six", host="::1", port=0)
    server.start()
    with closing(socket.create_connection(("::1", server.port))):
        pass
    server.close()


def test_a_server_that_never_started_can_be_closed():
    MetricsServer(new_registry("idle"), service="idle", host=LOOPBACK, port=0).close()


def test_no_permission_names_the_fix():
    text = listen_error("collector metrics", LOOPBACK, 80, PermissionError(13, "Permission denied"))
    assert "choose one above 1023" in text
