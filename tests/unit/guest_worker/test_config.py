import base64
from pathlib import Path

import pytest

from guest_worker import config

IDENTITY = {
    "VIRTSCALE_DISPATCHER": "10.0.2.2:15051",
    "VIRTSCALE_WORKER_ID": "pool-1",
    "VIRTSCALE_JOIN_TOKEN": "v1.c2VjcmV0",
}


def faults(arguments: list[str], environment: dict[str, str]) -> str:
    with pytest.raises(config.ConfigError) as caught:
        config.load(arguments, environment)
    return str(caught.value)


def test_the_environment_is_enough() -> None:
    settings = config.load([], IDENTITY)
    assert settings.dispatcher == "10.0.2.2:15051"
    assert (settings.worker_id, settings.join_token) == ("pool-1", "v1.c2VjcmV0")
    assert settings.slots >= 1
    assert settings.prefetch is None
    assert settings.tls_ca is None
    assert "c2VjcmV0" not in repr(settings)


def test_flags_beat_the_environment_which_beats_credentials(tmp_path: Path) -> None:
    (tmp_path / "virtscale.dispatcher").write_text("127.0.0.1:1\n")
    (tmp_path / "virtscale.worker-id").write_text("credential\n")
    (tmp_path / "virtscale.join-token").write_text("token\n")
    (tmp_path / "virtscale.generation").write_text("sha256:abc\n")
    environment = {"CREDENTIALS_DIRECTORY": str(tmp_path), "VIRTSCALE_WORKER_ID": "environment"}
    settings = config.load(["--dispatcher=127.0.0.1:2"], environment)
    assert settings.dispatcher == "127.0.0.1:2"
    assert settings.worker_id == "environment"
    assert settings.join_token == "token"
    assert settings.generation == "sha256:abc"


def test_a_prefetch_that_is_given_is_a_number() -> None:
    assert config.load(["--prefetch", "0"], IDENTITY).prefetch == 0
    assert config.load([], IDENTITY | {"VIRTSCALE_PREFETCH": "64"}).prefetch == 64


def test_the_token_may_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from-file\n")
    settings = config.load(["--join-token-file", str(tmp_path / "token")], IDENTITY)
    assert settings.join_token == "from-file"


def test_every_missing_setting_is_named_with_its_three_sources() -> None:
    text = faults([], {})
    for name, variable in (
        ("dispatcher", "VIRTSCALE_DISPATCHER"),
        ("worker-id", "VIRTSCALE_WORKER_ID"),
        ("join-token", "VIRTSCALE_JOIN_TOKEN"),
    ):
        (line,) = (line for line in text.splitlines() if line.startswith(f"{name}: missing"))
        assert f"${variable}" in line
        assert f"credential virtscale.{name}" in line


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--sluts", "1"], "--sluts: no such flag; --help lists them"),
        (["extra"], "extra: no such flag; --help lists them"),
        (["--slots"], "--slots: needs a value"),
        (["--insecure=1"], "--insecure: takes no value"),
        (["--slots", "0"], "slots: '0' is not a whole number from 1 to 256"),
        (["--slots", "two"], "slots: 'two' is not a whole number from 1 to 256"),
        (["--prefetch", "-1"], "prefetch: '-1' is not a whole number from 0 to 16384"),
        (["--dispatcher", "host"], "dispatcher: 'host' is not HOST:PORT"),
        (["--dispatcher", "host:0"], "dispatcher: 'host:0' is not HOST:PORT"),
        (["--dispatcher", "::1:15051"], "put an IPv6 address in brackets"),
        (["--loglevel", "loud"], "loglevel: 'loud' is not one of debug, info"),
        (["--tls-ca", "/nonexistent"], "tls-ca: cannot read /nonexistent: No such file"),
        (["--tls-cert", "/dev/null"], "tls-cert, tls-key: give both or neither"),
        (["--dispatcher", "192.0.2.1:1"], "192.0.2.1 is not this machine"),
    ],
)
def test_a_fault_is_a_sentence_that_names_the_flag(arguments: list[str], sentence: str) -> None:
    assert sentence in faults(arguments, IDENTITY)


PEM = "-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n"
KEY = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"


def test_a_pem_is_a_file_or_its_text_plain_or_in_base64(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text(PEM)
    for value in (str(tmp_path / "ca.pem"), PEM, base64.b64encode(PEM.encode()).decode()):
        assert config.load([], IDENTITY | {"VIRTSCALE_TLS_CA": value}).tls_ca == PEM.encode()


def test_pems_may_be_credentials_and_a_certificate_stands_for_the_token(tmp_path: Path) -> None:
    for name, text in (("ca", PEM), ("cert", PEM), ("key", KEY)):
        encoded = base64.b64encode(text.encode()).decode()
        (tmp_path / f"virtscale.tls-{name}").write_text(encoded + "\n")
    given = {**IDENTITY, "CREDENTIALS_DIRECTORY": str(tmp_path), "VIRTSCALE_JOIN_TOKEN": ""}
    settings = config.load([], given)
    assert (settings.tls_cert, settings.tls_key) == (PEM.encode(), KEY.encode())
    assert settings.join_token == ""
    assert "c2VjcmV0" not in repr(settings)


@pytest.mark.parametrize(
    "value",
    [
        base64.b64encode(KEY.encode()).decode() * 9 + "secret",
        KEY.replace("KEY", "CAT"),
        "secret" * 60,
        base64.b64encode(KEY.encode()).decode()[:-5],
        "/dev/null",
    ],
)
def test_a_bad_key_is_named_and_not_quoted(value: str) -> None:
    given = IDENTITY | {"VIRTSCALE_TLS_CA": PEM, "VIRTSCALE_TLS_CERT": PEM}
    text = faults([], given | {"VIRTSCALE_TLS_KEY": value})
    assert "tls-key: holds no PEM private key" in text
    assert value[:20] not in text


def test_a_bad_token_is_not_quoted() -> None:
    assert "s3cret" not in faults([], IDENTITY | {"VIRTSCALE_JOIN_TOKEN": "s3cret\x00"})


def test_plain_text_off_loopback_needs_to_be_asked_for() -> None:
    far = IDENTITY | {"VIRTSCALE_DISPATCHER": "192.0.2.1:15051"}
    assert config.load(["--insecure"], far).dispatcher == "192.0.2.1:15051"
    assert config.load([], far | {"VIRTSCALE_INSECURE": "1"}).dispatcher == "192.0.2.1:15051"
    assert config.load(["--tls-ca", PEM], far).tls_ca == PEM.encode()
    assert "VIRTSCALE_INSECURE" in faults([], far | {"VIRTSCALE_INSECURE": "maybe"})


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "[::1]", "10.0.2.2"])
def test_loopback_may_be_plain(host: str) -> None:
    assert config.load([], IDENTITY | {"VIRTSCALE_DISPATCHER": f"{host}:1"}).tls_ca is None


def test_help_needs_nothing_else_and_names_every_flag() -> None:
    assert config.load(["--help"], {}).show_help
    for name in (*config._VALUES, *config._SWITCHES):
        assert f"--{name}" in config.USAGE
