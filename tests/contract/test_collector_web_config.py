"""The web config file of Prometheus's exporters on a real server: TLS, certificates, passwords."""

import asyncio
import base64
import contextlib
import http.client
import socket
import ssl
import time

import bcrypt
import pytest
import trustme
import yaml

from collector.web.config_watch import ConfigWatch
from servicekit.clock import SystemClock
from servicekit.config import ConfigError
from tests.contract.collector_web import LOOPBACK, QUICK, connected, served, until

HASHED = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()


class Site:
    """An authority, a server's certificate, and a web config file that may be changed."""

    def __init__(self, directory):
        self.directory = directory
        self.file = directory / "web.yml"
        self.ca = trustme.CA()
        self.clients = trustme.CA()
        self.clients.cert_pem.write_to_path(directory / "clients.pem")
        self.issue()

    def issue(self, **options):
        """A new certificate for the server."""
        made = self.ca.issue_cert("localhost", **options)
        made.cert_chain_pems[0].write_to_path(self.directory / "cert.pem")
        made.private_key_pem.write_to_path(self.directory / "key.pem")

    def write(self, users=None, **sections):
        content = dict(sections)
        if users is not None:
            content["basic_auth_users"] = users
        self.file.write_text(yaml.safe_dump(content))
        return self.file

    def tls(self, users=None, **keys):
        server = {"cert_file": "cert.pem", "key_file": "key.pem", **keys}
        return self.write(users, tls_server_config=server)

    def mutual(self, **keys):
        return self.tls(
            client_auth_type="RequireAndVerifyClientCert", client_ca_file="clients.pem", **keys
        )

    def client(self, certificate=None):
        """What a client trusts and shows."""
        context = ssl.create_default_context()
        self.ca.configure_trust(context)
        if certificate is not None:
            certificate.configure_cert(context)
        return context


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


async def test_without_a_file_nothing_is_guarded():
    async with served() as one:
        assert (await one.get("/a"))[0] == 200
        assert not one.config.current.is_guarded


async def test_a_page_over_tls(site):
    async with served(site.tls()) as one:
        status, body, _ = await one.get("/a", context=site.client())
        assert (status, body) == (200, b"GET /a\n")
        assert one.config.current.not_after > time.time()
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            await one.get("/a")  # without TLS
        assert (await one.get("/a", context=site.client()))[0] == 200


async def test_a_large_answer_over_tls_is_whole(site):
    async with served(site.tls()) as one:
        _, body, _ = await one.get("/large", context=site.client())
        assert len(body) == 10_000_000


async def test_versions_of_tls_are_kept_to(site):
    async with served(site.tls(min_version="TLS13")) as one:
        old = site.client()
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await one.get("/a", context=old)
        assert (await one.get("/a", context=site.client()))[0] == 200
    async with served(
        site.tls(max_version="TLS12", cipher_suites=["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"])
    ) as one:
        context = site.client()
        async with connected(one.port, ssl=context, server_hostname="localhost") as (_, writer):
            shown = writer.get_extra_info("ssl_object")
            assert shown.version() == "TLSv1.2"
            assert shown.cipher()[0] == "ECDHE-ECDSA-AES256-GCM-SHA384"


@pytest.mark.parametrize(
    "kind", ["silent before the handshake", "half a handshake", "silent after"]
)
async def test_silent_clients_delay_nobody_over_tls(site, kind):
    async with served(site.tls()) as one, contextlib.AsyncExitStack() as clients:
        context = site.client()
        for _ in range(20):
            if kind == "silent after":
                client = connected(one.port, ssl=context, server_hostname="localhost")
            else:
                said = b"\x16\x03\x01\x02\x00\x01" if kind == "half a handshake" else b""
                client = connected(one.port, said)
            await clients.enter_async_context(client)
        assert (await one.get("/a", context=context))[0] == 200
        assert one.server.connections >= 20


@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01\x02\x00\x01"])
async def test_who_does_not_end_the_handshake_is_closed(site, said):
    async with served(site.tls(), limits=QUICK) as one, connected(one.port, said):
        await until(lambda: one.server.clients)
        await until(lambda: one.server.connections == 0)


async def test_who_is_silent_after_the_handshake_is_closed(site):
    async with served(site.tls(), limits=QUICK) as one:
        context = site.client()
        async with connected(one.port, ssl=context, server_hostname="localhost") as (reader, _):
            assert await reader.read() == b""
        await until(lambda: one.server.connections == 0)


async def test_who_takes_a_large_answer_too_slowly_delays_nobody_over_tls(site):
    async with served(site.tls()) as one:
        with await asyncio.to_thread(silent_reader, one.port, site.client()):
            await until(lambda: [c.phase.name for c in one.server.clients] == ["SENDING"])
            assert (await one.get("/a", context=site.client()))[0] == 200
            assert one.server.connections >= 1


async def test_who_takes_a_large_answer_too_slowly_is_closed_over_tls(site):
    async with served(site.tls(), limits=QUICK) as one:
        with await asyncio.to_thread(silent_reader, one.port, site.client()):
            await until(lambda: one.server.connections == 0)


def silent_reader(port, context):
    """Asks for 10 MB and reads nothing."""
    plain = socket.create_connection((LOOPBACK, port), timeout=10)
    wrapped = context.wrap_socket(plain, server_hostname="localhost")
    wrapped.sendall(b"GET /large HTTP/1.1\r\nHost: h\r\n\r\n")
    return wrapped


async def test_with_mutual_tls_only_the_right_certificate_is_let_in(site):
    right = site.clients.issue_cert("prometheus.example")
    wrong = trustme.CA().issue_cert("prometheus.example")
    async with served(site.mutual()) as one:
        assert (await one.get("/a", context=site.client(right)))[0] == 200
        for certificate in (None, wrong):
            with pytest.raises((ssl.SSLError, ConnectionError, http.client.HTTPException)):
                await one.get("/a", context=site.client(certificate))
        assert (await one.get("/a", context=site.client(right)))[0] == 200


async def test_a_certificate_that_may_be_shown_is_verified_if_it_is(site):
    wrong = trustme.CA().issue_cert("prometheus.example")
    file = site.tls(client_auth_type="VerifyClientCertIfGiven", client_ca_file="clients.pem")
    async with served(file) as one:
        assert (await one.get("/a", context=site.client()))[0] == 200
        with pytest.raises((ssl.SSLError, ConnectionError, http.client.HTTPException)):
            await one.get("/a", context=site.client(wrong))


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("prometheus.example", 200),
        ("192.0.2.7", 200),
        ("scraper@prometheus.example", 200),
        ("other.example", 403),
        ("sub.prometheus.example", 403),
    ],
)
async def test_only_allowed_names_are_answered(site, name, status):
    names = ["prometheus.example", "192.0.2.7", "scraper@prometheus.example"]
    async with served(site.mutual(client_allowed_sans=names)) as one:
        client = site.client(site.clients.issue_cert(name))
        found, body, headers = await one.get("/a", context=client)
        assert found == status
        if status == 403:
            assert b"client_allowed_sans" in body
            assert headers["Connection"] == "close"
            assert one.guard.refusals["certificate"] == 1


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (basic("prometheus", "secret"), 200),
        (basic("prometheus", "wrong"), 401),
        (basic("nobody", "secret"), 401),
        ("Bearer secret", 401),
        (None, 401),
    ],
)
async def test_passwords_are_asked_for_on_every_page(site, header, status):
    headers = {} if header is None else {"Authorization": header}
    async with served(site.write({"prometheus": HASHED})) as one:
        for path in ("/a", "/-/healthy", "/nowhere"):
            found, _, answered = await one.get(path, **headers)
            assert found == status
            assert ("WWW-Authenticate" in answered) == (status == 401)


async def test_tls_and_passwords_together(site):
    async with served(site.tls({"prometheus": HASHED})) as one:
        context = site.client()
        header = basic("prometheus", "secret")
        assert (await one.get("/a", context=context))[0] == 401
        assert (await one.get("/a", context=context, Authorization=header))[0] == 200


async def test_configured_headers_are_in_every_answer(site):
    headers = {"X-Frame-Options": "deny", "Strict-Transport-Security": "max-age=60"}
    file = site.write({"prometheus": HASHED}, http_server_config={"headers": headers})
    async with served(file) as one:
        _, _, found = await one.get("/a")
        assert {name: found[name] for name in headers} == headers


async def test_too_many_requests_are_refused(site):
    async with served(site.write(rate_limit={"interval": "1h", "burst": 2})) as one:
        assert [(await one.get("/a"))[0] for _ in range(4)] == [200, 200, 429, 429]


def serial(port, context):
    plain = socket.create_connection((LOOPBACK, port), timeout=10)
    with context.wrap_socket(plain, server_hostname="localhost") as wrapped:
        return wrapped.getpeercert()["serialNumber"]


async def test_a_new_certificate_is_for_new_connections_and_old_ones_go_on(site):
    async with served(site.tls()) as one:
        context = site.client()
        before = await asyncio.to_thread(serial, one.port, context)
        asked = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
        async with connected(one.port, asked, ssl=context, server_hostname="localhost") as (
            reader,
            writer,
        ):
            await reader.readuntil(b"GET /a\n")
            read_at = one.config.read_at
            site.issue()
            await until(lambda: one.config.read_at > read_at)
            assert await asyncio.to_thread(serial, one.port, context) != before
            writer.write(asked)
            await reader.readuntil(b"GET /a\n")


async def test_a_changed_file_is_in_force_without_a_restart(site):
    async with served(site.write()) as one:
        assert (await one.get("/a"))[0] == 200
        site.write({"prometheus": HASHED})
        await until(lambda: one.config.current.users)
        assert (await one.get("/a"))[0] == 401
        site.tls()
        await until(lambda: one.config.current.context)
        assert (await one.get("/a", context=site.client()))[0] == 200


def broken_yaml(site):
    site.file.write_text("tls_server_config: {cert_file: [")


def no_hash(site):
    site.tls({"prometheus": "secretword"})


def key_of_another(site):
    trustme.CA().issue_cert("x").private_key_pem.write_to_path(site.directory / "key.pem")


def no_certificate(site):
    (site.directory / "cert.pem").unlink()


def no_pem(site):
    (site.directory / "cert.pem").write_text("nothing")


def no_file(site):
    site.file.unlink()


def emptied(site):
    site.file.write_text("")


@pytest.mark.parametrize(
    "damage",
    [broken_yaml, no_hash, key_of_another, no_certificate, no_pem, no_file, emptied],
)
async def test_a_file_that_has_become_bad_leaves_the_last_good_one_in_force(site, damage, capfd):
    async with served(site.tls({"prometheus": HASHED})) as one:
        context, header = site.client(), basic("prometheus", "secret")
        damage(site)
        await until(lambda: not one.config.is_current)
        assert (await one.get("/a", context=context))[0] == 401
        assert (await one.get("/a", context=context, Authorization=header))[0] == 200
        site.issue()
        site.tls({"prometheus": HASHED})
        await until(lambda: one.config.is_current)
        assert (await one.get("/a", context=context, Authorization=header))[0] == 200
    told = "".join(capfd.readouterr())
    assert "secretword" not in told
    # Once per state of the files, of which the repair may pass one more.
    assert 1 <= told.count("web_config.refused") <= 3


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (broken_yaml, "not valid YAML"),
        (no_hash, "must be a bcrypt hash"),
        (key_of_another, "is not the key of tls_server_config.cert_file"),
        (no_certificate, "tls_server_config.cert_file = "),
        (no_pem, "holds no PEM certificate"),
        (no_file, "--web.config.file"),
    ],
)
def test_nothing_starts_on_a_bad_file(site, damage, words):
    site.tls({"prometheus": HASHED})
    damage(site)
    with pytest.raises(ConfigError) as caught:
        ConfigWatch(site.file, SystemClock())
    assert words in "; ".join(caught.value.faults)
    assert "secretword" not in "; ".join(caught.value.faults)
