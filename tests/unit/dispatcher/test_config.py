from pathlib import Path

import pytest

from dispatcher import config
from dispatcher.config import DispatcherSettings
from servicekit.config import ConfigError, check

SERVER = {"certificate": "cert.pem", "key": "key.pem"}


def settings(**values: object) -> DispatcherSettings:
    return check(DispatcherSettings, values, source="test")


def test_the_defaults_are_good():
    assert settings().cost.is_bearable


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"listen": "0.0.0.0:1"}, "tls.certificate and tls.key, or --insecure"),
        ({"listen": "0.0.0.0:1"}, "set tokens_file or tls.client_ca"),
        ({"listen": "0.0.0.0:1"}, "set listen_workers and worker_tls"),
        ({"listen_workers": "0.0.0.0:1"}, "certificate, key and client_ca of worker_tls"),
        ({"listen_workers": "0.0.0.0:1", "worker_tls": SERVER}, "client_ca of worker_tls"),
        ({"listen_workers": "127.0.0.1:15051"}, "listen and listen_workers are both"),
        ({"listen_workers": "127.0.0.1:9181"}, "listen_workers and listen_address are both"),
        ({"listen_workers": "nowhere"}, "listen_workers = nowhere: must be HOST:PORT"),
        ({"tls": {"client_ca": "ca"}}, "tls needs certificate and key"),
        ({"worker_tls": SERVER}, "no effect without listen_workers"),
        ({"listen": "127.0.0.1"}, "HOST:PORT"),
        ({"listen_address": "127.0.0.1:99999"}, "HOST:PORT"),
        ({"heartbeat_interval_seconds": 6}, "at least twice"),
        ({"argon2_memory_kib": 8, "argon2_lanes": 2}, "8 times"),
        ({"default_profile": "md5"}, "default_profile"),
        ({"number_formats": ["in", "xx"]}, "number_formats.1 = 'xx'"),
        ({"number_formats": []}, "number_formats"),
        ({"lease_ttl": 3}, "unknown key 'lease_ttl'"),
    ],
)
def test_a_fault_names_the_fix(values: dict[str, object], words: str):
    with pytest.raises(ConfigError, match=words):
        settings(**values)


def test_other_machines_need_tls_or_a_clear_word(tmp_path: Path):
    settings(listen="0.0.0.0:1", listen_workers="0.0.0.0:2", insecure=True)
    settings(listen="[::1]:1", listen_workers="[::1]:2")
    mutual = {**SERVER, "client_ca": "ca"}
    settings(listen="0.0.0.0:1", tls=mutual)
    settings(
        listen="0.0.0.0:1",
        listen_workers="0.0.0.0:2",
        tls=SERVER,
        tokens_file=tmp_path / "tokens",
        worker_tls=mutual,
    )


def test_every_fault_is_told_at_once():
    with pytest.raises(ConfigError) as raised:
        settings(listen="0.0.0.0:1", listen_workers="0.0.0.0:2", heartbeat_interval_seconds=6)
    text = str(raised.value)
    for words in ("tls.certificate", "tokens_file", "worker_tls", "at least twice"):
        assert words in text


def test_a_join_key_is_made_once_and_private(tmp_path: Path):
    path = tmp_path / "new" / "join.key"
    key = config.make_join_key(path)
    assert (len(key), config.make_join_key(path)) == (32, key)
    assert path.stat().st_mode & 0o777 == 0o600


def test_wrong_secrets_are_named_and_not_shown(tmp_path: Path):
    path = tmp_path / "file"
    path.write_text("k1:SECRET")
    with pytest.raises(ConfigError, match="pepper_file") as raised:
        config.read_keyring(path)
    assert "SECRET" not in str(raised.value)
    with pytest.raises(ConfigError, match="holds 9 bytes"):
        config.read_join_key(path)
