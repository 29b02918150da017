import grpc
import pytest
import trustme

from servicekit.config import ConfigError
from servicekit.tls import TlsFiles, channel_credentials, is_loopback, server_credentials


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        ("::ffff:127.0.0.1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.0.2.7", False),
        ("::ffff:192.0.2.7", False),
        ("localhost.example.com", False),
        ("", False),
    ],
)
def test_loopback_is_what_no_other_machine_can_reach(host, expected):
    assert is_loopback(host) is expected


@pytest.fixture
def files(tmp_path):
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    paths = {name: tmp_path / f"{name}.pem" for name in ("certificate", "key", "client_ca")}
    certificate.cert_chain_pems[0].write_to_path(paths["certificate"])
    certificate.private_key_pem.write_to_path(paths["key"])
    authority.cert_pem.write_to_path(paths["client_ca"])
    return paths


def test_credentials_are_made_from_files(files):
    assert isinstance(server_credentials(TlsFiles(**files)), grpc.ServerCredentials)
    assert isinstance(channel_credentials(TlsFiles(**files)), grpc.ChannelCredentials)


def test_a_client_needs_only_the_authority(files):
    only = TlsFiles(client_ca=files["client_ca"])
    assert isinstance(channel_credentials(only), grpc.ChannelCredentials)
    assert not only.is_set


@pytest.mark.parametrize("name", ["certificate", "key", "client_ca"])
def test_a_missing_file_is_named(files, name):
    files[name].unlink()
    with pytest.raises(ConfigError, match=rf"tls\.{name} = .*{name}\.pem: No such file"):
        server_credentials(TlsFiles(**files))


def test_a_certificate_without_a_key_is_a_fault(files):
    with pytest.raises(ConfigError, match=r"tls\.key is not set"):
        server_credentials(TlsFiles(certificate=files["certificate"]))


def test_a_file_that_is_no_certificate_is_a_fault(files):
    files["certificate"].write_text("nonsense")
    with pytest.raises(ConfigError, match=r"tls\.certificate = .*: holds no PEM certificate"):
        server_credentials(TlsFiles(**files))


def test_a_file_that_is_no_key_is_a_fault(files):
    files["key"].write_text("nonsense")
    with pytest.raises(ConfigError, match=r"tls\.key = .*: holds no PEM private key") as caught:
        server_credentials(TlsFiles(**files))
    assert "nonsense" not in str(caught.value)
