import socket
import ssl
import time
import urllib.request

import pytest
import trustme

from scaler import listener
from scaler.config import ScalerConfig
from scaler.stabilization import Limits
from servicekit.config import ConfigError, check
from servicekit.metrics import new_registry

AUTHORITY = trustme.CA()


def write(folder, name="127.0.0.1"):
    certificate = AUTHORITY.issue_cert(name)
    certificate.cert_chain_pems[0].write_to_path(str(folder / "server.pem"))
    certificate.private_key_pem.write_to_path(str(folder / "server.key"))


@pytest.fixture
def config(tmp_path):
    write(tmp_path)
    files = {"certificate": tmp_path / "server.pem", "key": tmp_path / "server.key"}
    return check(ScalerConfig, {"tls": files, "listen_address": "127.0.0.1:0"}, source="test")


@pytest.fixture
def serve():
    servers = []

    def start(config):
        credentials = listener.Credentials(config)
        made = listener.server(config, new_registry("scaler"), credentials, lambda: None, {})
        made.start()
        servers.append(made)
        return made

    yield start
    for one in servers:
        one.close()


def get(port):
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    # As the clients of Go do, Alertmanager's among them: they would rather speak HTTP/2.
    context.set_alpn_protocols(["h2", "http/1.1"])
    url = f"https://127.0.0.1:{port}/-/ready"
    with urllib.request.urlopen(url, timeout=10, context=context) as answer:
        return answer.status


def test_speaks_http_1_over_tls(config, serve):
    assert get(serve(config).port) == 200


def test_a_client_that_says_nothing_holds_up_nobody(config, serve):
    port = serve(config).port
    with socket.create_connection(("127.0.0.1", port), timeout=10):
        assert get(port) == 200


def test_a_new_certificate_is_taken_and_a_bad_one_is_not(config, serve, tmp_path):
    port = serve(config).port
    assert get(port) == 200
    write(tmp_path, "192.0.2.1")
    end = time.monotonic() + 30
    with pytest.raises(OSError, match="not valid for"):
        while time.monotonic() < end:
            get(port)
    write(tmp_path)
    (tmp_path / "server.key").write_text("")
    for _ in range(5):
        with pytest.raises(OSError, match="not valid for"):
            get(port)


def test_files_that_cannot_be_used_are_told_at_the_start(tmp_path):
    values = {
        "tls": {"certificate": tmp_path / "none.pem", "key": tmp_path / "none.key"},
        "alert_source": {"token_file": tmp_path / "token"},
    }
    with pytest.raises(ConfigError, match="token"):
        listener.Credentials(check(ScalerConfig, values, source="test"))
    (tmp_path / "token").write_text("t")
    with pytest.raises(ConfigError) as caught:
        listener.Credentials(check(ScalerConfig, values, source="test"))
    assert len(caught.value.faults) == 2


def test_without_files_nothing_is_encrypted():
    credentials = listener.Credentials(check(ScalerConfig, {}, source="test"))
    assert (credentials.tls, credentials.token) == (None, None)


def test_a_drain_may_name_any_domain_while_libvirt_does_not_answer():
    config = check(ScalerConfig, {}, source="test")
    shown = [None]

    class Store:
        def active(self):
            return ()

    (api,) = listener.override_routes(
        config, Store(), listener.Credentials(config), lambda: shown[0], Limits, lambda: None
    ).values()
    assert api._domains() is None
    shown[0] = {"desired": None, "domains": []}
    assert api._domains() is None
    shown[0] = {"desired": 1, "domains": [{"name": "vs-1"}]}
    assert api._domains() == ["vs-1"]
