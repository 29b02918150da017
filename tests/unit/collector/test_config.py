import subprocess
import sys
from pathlib import Path

import pytest

from collector.config import CollectorSettings
from servicekit.config import ConfigError, check

ROOT = Path(__file__).resolve().parents[3]


def test_the_defaults_are_the_documented_ones():
    settings = CollectorSettings()
    assert settings.url == "qemu:///system"
    assert (settings.host, settings.port) == ("127.0.0.1", 9177)


def test_an_ipv6_address_loses_its_brackets():
    settings = check(CollectorSettings, {"listen_address": "[::1]:9177"}, source="t")
    assert (settings.host, settings.port) == ("::1", 9177)


@pytest.mark.parametrize(
    ("key", "value", "fix"),
    [
        ("url", "qemu", "libvirt URI such as"),
        ("url", "", "libvirt URI such as"),
        ("listen_address", "9177", "HOST:PORT"),
        ("listen_address", "h:99999", "up to 65535"),
        ("timeout_seconds", "0", "greater than or equal to 0.1"),
        ("timeout_seconds", "soon", "valid number"),
        ("hedge_after_seconds", "-1", "greater than"),
        ("uri", "qemu:///system", "known keys: "),
    ],
)
def test_a_fault_names_the_key_and_the_fix(key, value, fix):
    with pytest.raises(ConfigError) as caught:
        check(CollectorSettings, {key: value}, source="flags")
    (sentence,) = caught.value.faults
    assert key in sentence
    assert fix in sentence


def run(*flags):
    return subprocess.run(
        [sys.executable, "-m", "collector", *flags],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_configuration_can_be_checked_without_a_libvirt(tmp_path):
    file = tmp_path / "collector.yaml"
    file.write_text("url: qemu+ssh://root@h/system\ntimeout_seconds: 2\n")
    checked = run("--config", str(file), "--check-config")
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "configuration OK\n", "")


@pytest.mark.parametrize(
    "flags",
    [
        ["--url", "nonsense", "--check-config"],
        ["--config", "/nowhere.yaml"],
        ["--listen-address", "x"],
        ["--logfile", "/nowhere/at/all.log"],
        ["--no-such-flag"],
    ],
)
def test_a_wrong_start_ends_with_a_sentence_and_code_2(flags):
    ended = run(*flags)
    assert ended.returncode == 2
    assert flags[0].removeprefix("--").split("-")[0] in ended.stderr or "unknown" in ended.stderr
    assert "Traceback" not in ended.stderr
