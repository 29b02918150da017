import bcrypt
import pytest

from collector.web.configuration import read
from servicekit.config import ConfigError

HASH = bcrypt.hashpw(b"x", bcrypt.gensalt(4)).decode()
TLS = "tls_server_config: {cert_file: c.pem, key_file: k.pem"


@pytest.fixture
def reading(tmp_path):
    def read_text(text):
        file = tmp_path / "web.yml"
        file.write_text(text)
        return read(file)

    return read_text


def test_an_empty_file_guards_nothing(reading):
    for text in ("", "{}", "# nothing\n"):
        settings = reading(text)
        assert settings.tls_server_config is None
        assert not settings.basic_auth_users


def test_everything_that_can_stand_in_it(reading, tmp_path):
    settings = reading(
        f"""
tls_server_config:
  cert_file: c.pem
  key_file: /etc/k.pem
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: sub/ca.pem
  client_allowed_sans: [prometheus.example, 192.0.2.7]
  min_version: TLS12
  max_version: TLS13
  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_AES_128_GCM_SHA256]
  prefer_server_cipher_suites: false
  curve_preferences: [X25519]
http_server_config:
  http2: true
  headers: {{Strict-Transport-Security: max-age=60, X-Frame-Options: deny}}
basic_auth_users: {{prometheus: "{HASH}"}}
rate_limit: {{interval: 1m0.5s, burst: 3}}
"""
    )
    tls = settings.tls_server_config
    assert tls is not None
    assert tls.cert_file == tmp_path / "c.pem"
    assert str(tls.key_file) == "/etc/k.pem"
    assert tls.client_ca_file == tmp_path / "sub/ca.pem"
    assert tls.openssl_ciphers == "ECDHE-RSA-AES128-GCM-SHA256"
    assert settings.rate_limit.interval == 60.5
    assert settings.basic_auth_users["prometheus"].get_secret_value() == HASH


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tls_server_config: {}", ["cert_file is not set", "key_file is not set"]),
        ("tls_server_config: {cert_file: c.pem}", ["key_file is not set"]),
        (f"{TLS}, client_auth_type: RequireAndVerifyClientCert}}", ["client_ca_file is not set"]),
        (f"{TLS}, client_auth_type: RequestClientCert}}", ["nobody verifies"]),
        (f"{TLS}, client_auth_type: RequireAnyClientCert}}", ["nobody verifies"]),
        (f"{TLS}, client_auth_type: Always}}", ["client_auth_type", "'NoClientCert'"]),
        (f"{TLS}, client_ca_file: ca.pem}}", ["does nothing without a client_auth_type"]),
        (f"{TLS}, client_allowed_sans: [a]}}", ["client_allowed_sans needs"]),
        (
            f"{TLS}, client_auth_type: VerifyClientCertIfGiven, client_ca_file: a, "
            "client_allowed_sans: []}",
            ["client_allowed_sans needs"],
        ),
        (f"{TLS}, min_version: TLS10}}", ["RFC 8996"]),
        (f"{TLS}, min_version: TLS13, max_version: TLS12}}", ["TLS13 is above max_version TLS12"]),
        (f"{TLS}, cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]}}", ["must be one of TLS_ECDHE"]),
        (f"{TLS}, curve_preferences: [X25519, CurveP256]}}", ["at most one"]),
        ("tls_server_config: {cert: '-----BEGIN', key: x}", ["cert = (secret)", "not supported"]),
        ("tls_config: {}", ["unknown key 'tls_config'", "tls_server_config"]),
        ("basic_auth_users: {a: secretword}", ["basic_auth_users.a = (secret)", "bcrypt hash"]),
        ("basic_auth_users: {a: '$2y$31$" + "." * 53 + "'}", ["cost from 4 to 16"]),
        ("basic_auth_users: [a]", ["basic_auth_users"]),
        ("http_server_config: {headers: {Server: x}}", ["Server cannot be set"]),
        ("http_server_config: {headers: {X-Frame-Options: no}}", ["X-Frame-Options"]),
        (
            'http_server_config: {headers: {Content-Security-Policy: "a\\r\\nb: c"}}',
            ["printable ASCII on one line"],
        ),
        ("rate_limit: {interval: 1s}", ["rate_limit.burst must be at least 1"]),
        ("rate_limit: {interval: soon, burst: 1}", ["must be a duration such as"]),
        ("a: b: c", ["not valid YAML at line 1"]),
        ("[]", ["must hold `key: value` lines"]),
        ("rate_limit: {burst: 1}\nrate_limit: {burst: 2}", ["stands twice"]),
    ],
)
def test_a_fault_says_what_and_how_to_mend_it(reading, text, words):
    with pytest.raises(ConfigError) as caught:
        reading(text)
    told = "; ".join(caught.value.faults)
    assert all(word in told for word in words), told
    assert "web.yml" in told
    assert "secretword" not in told


def test_all_faults_are_told_at_once(reading):
    with pytest.raises(ConfigError) as caught:
        reading("basic_auth_users: {a: x, b: y}\nrate_limit: {interval: z}\nother: 1\n")
    assert len(caught.value.faults) == 4


@pytest.mark.parametrize("name", [".", "none.yml"])
def test_a_file_that_is_none_names_the_flag(tmp_path, name):
    with pytest.raises(ConfigError, match=r"--web\.config\.file"):
        read(tmp_path / name)
