import datetime
import os
import ssl
import time

import grpc
import pytest
import trustme

from servicekit.config import ConfigError
from servicekit.tls import (
    FileWatch,
    ServerTls,
    TlsFiles,
    TokenFile,
    channel_credentials,
    is_loopback,
    read_pems,
)

NOW = time.time()
DAY = 86_400.0


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


AUTHORITY = trustme.CA()


def write(paths, authority=AUTHORITY, **options):
    certificate = authority.issue_cert("localhost", **options)
    certificate.cert_chain_pems[0].write_to_path(paths["certificate"])
    certificate.private_key_pem.write_to_path(paths["key"])
    authority.cert_pem.write_to_path(paths["client_ca"])


@pytest.fixture
def files(tmp_path):
    paths = {name: tmp_path / f"{name}.pem" for name in ("certificate", "key", "client_ca")}
    write(paths)
    return paths


def read(files):
    return read_pems(TlsFiles(**files), "tls", now=NOW)


def test_credentials_are_made_from_files(files):
    tls = ServerTls(TlsFiles(**files), "tls", now=NOW)
    assert tls.context.verify_mode is ssl.CERT_REQUIRED
    assert tls.context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert isinstance(channel_credentials(TlsFiles(**files)), grpc.ChannelCredentials)
    assert TlsFiles(**files).is_mutual


def test_a_client_needs_only_the_authority(files):
    only = TlsFiles(client_ca=files["client_ca"])
    assert isinstance(channel_credentials(only), grpc.ChannelCredentials)
    assert not only.is_set


@pytest.mark.parametrize("name", ["certificate", "key", "client_ca"])
def test_a_missing_file_is_named(files, name):
    files[name].unlink()
    with pytest.raises(ConfigError, match=rf"tls\.{name} = .*{name}\.pem: No such file"):
        read(files)


def test_every_fault_is_told_at_once(files):
    files["key"].unlink()
    files["client_ca"].write_text("nonsense")
    with pytest.raises(ConfigError) as caught:
        read(files)
    assert [fault.split(" ")[0] for fault in caught.value.faults] == ["tls.key", "tls.client_ca"]


def test_a_certificate_without_a_key_is_a_fault(files):
    with pytest.raises(ConfigError, match=r"tls\.key is not set"):
        read({"certificate": files["certificate"]})


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        "-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
    ],
)
def test_a_file_that_is_no_certificate_is_a_fault(files, text):
    files["certificate"].write_text(text)
    with pytest.raises(ConfigError, match=r"tls\.certificate = .*: holds no PEM certificate"):
        read(files)


def test_a_certificate_cut_short_is_a_fault(files):
    lines = files["certificate"].read_text().splitlines()
    for kept in range(1, len(lines) - 1):
        files["certificate"].write_text("\n".join([*lines[:kept], lines[-1]]))
        with pytest.raises(ConfigError, match="holds no PEM certificate"):
            read(files)


def test_a_file_that_is_no_key_is_a_fault(files):
    files["key"].write_text("nonsense")
    with pytest.raises(ConfigError, match=r"tls\.key = .*: holds no PEM private key") as caught:
        read(files)
    assert "nonsense" not in str(caught.value)


def test_an_encrypted_key_is_a_fault_and_asks_nobody(files):
    text = files["key"].read_text().replace("-----BEGIN EC", "-----BEGIN ENCRYPTED")
    files["key"].write_text(text)
    with pytest.raises(ConfigError, match="without a passphrase"):
        read(files)


def test_a_key_of_another_certificate_is_a_fault(files):
    AUTHORITY.issue_cert("localhost").private_key_pem.write_to_path(files["key"])
    with pytest.raises(ConfigError, match=r"is not the key of tls\.certificate"):
        read(files)


def test_the_end_is_read_and_an_expired_certificate_is_a_fault(files):
    end = datetime.datetime.fromtimestamp(int(NOW + 5 * DAY), datetime.UTC)
    write(files, not_after=end)
    assert read(files).not_after == end.timestamp()
    with pytest.raises(ConfigError, match=r"tls\.certificate = .*: expired on \d{4}-"):
        read_pems(TlsFiles(**files), "tls", now=NOW + 6 * DAY)
    end = datetime.datetime.fromtimestamp(int(NOW - 1), datetime.UTC)
    write(files, not_after=end)
    with pytest.raises(ConfigError, match="expired on"):
        read(files)


def test_a_certificate_of_the_future_is_a_fault(files):
    begin = datetime.datetime.fromtimestamp(int(NOW + DAY), datetime.UTC)
    write(files, not_before=begin, not_after=begin + datetime.timedelta(days=1))
    with pytest.raises(ConfigError, match="is not valid before"):
        read(files)


def test_a_bad_new_file_keeps_the_good_old_one(files):
    tls = ServerTls(TlsFiles(**files), "tls", now=NOW)
    before, good = tls.not_after, tls.context
    files["certificate"].write_text("nonsense")
    with pytest.raises(ConfigError):
        tls.reload(now=NOW)
    assert tls.not_after == before
    assert tls.context is good
    end = datetime.datetime.fromtimestamp(int(NOW + 5 * DAY), datetime.UTC)
    write(files, not_after=end)
    tls.reload(now=NOW)
    assert tls.not_after == end.timestamp()
    assert tls.context is not good


def test_a_change_counts_when_it_stands_still(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_text("1")
    watch = FileWatch([first, second])
    assert not watch.has_changed()
    second.write_text("2")
    assert not watch.has_changed()
    first.write_text("12")
    assert not watch.has_changed()
    assert watch.has_changed()
    assert not watch.has_changed()
    second.unlink()
    assert not watch.has_changed()
    assert watch.has_changed()


def test_a_token_is_read_again_when_its_file_changes(tmp_path):
    path = tmp_path / "token"
    path.write_text("first\n")
    tokens = TokenFile(path)
    assert tokens.metadata() == (("authorization", "Bearer first"),)
    path.write_text("second\n")
    os.utime(path, ns=(1, 1))
    assert tokens.read() == "second"
    path.unlink()
    assert tokens.read() == "second"


@pytest.mark.parametrize("content", [b"", b"two words", b"\xff", b"x" * 5000])
def test_a_file_without_one_token_is_a_fault_that_quotes_nothing(tmp_path, content):
    path = tmp_path / "token"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="token file") as caught:
        TokenFile(path)
    assert "words" not in str(caught.value)
