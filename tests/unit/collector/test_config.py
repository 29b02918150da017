import re
import subprocess
import sys
from pathlib import Path

import pytest

from collector import flags
from collector.config import CollectorSettings
from collector.exposition import NameSet
from collector.records import DEFAULT_GROUPS, Group
from collector.web.addresses import Address
from servicekit.config import ConfigError, check, load

ROOT = Path(__file__).resolve().parents[3]


def from_flags(*arguments, path=None, environ=None):
    _, values = flags.parse(arguments)
    return load(
        CollectorSettings,
        path=path,
        environ=environ or {},
        prefix=flags.ENVIRONMENT_PREFIX,
        flags=values,
    )


def test_the_defaults_are_the_documented_ones():
    settings = from_flags()
    assert settings.uris == {"default": "qemu:///system"}
    assert settings.addresses == (Address("127.0.0.1", 9177),)
    assert settings.groups == DEFAULT_GROUPS
    assert settings.max_requests == 40
    assert settings.timeout_seconds == 5.0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], DEFAULT_GROUPS),
        (["--no-collector.block"], DEFAULT_GROUPS - {Group.BLOCK}),
        (["--collector.perf"], DEFAULT_GROUPS | {Group.PERF}),
        (["--collector.disable-defaults", "--collector.cpu"], {Group.CPU}),
        (["--collector.cpu", "--no-collector.cpu"], DEFAULT_GROUPS - {Group.CPU}),
        (["--no-collector.cpu", "--collector.cpu"], DEFAULT_GROUPS),
    ],
)
def test_collectors_are_switched_by_flags(arguments, expected):
    assert from_flags(*arguments).groups == expected


def test_every_collector_has_both_flags_and_says_what_it_exports():
    text = " ".join(flags.parser().format_help().split())
    for group in Group:
        assert re.search(rf"--collector\.{group}\b", text)
        assert re.search(rf"--no-collector\.{group} {re.escape(group.meaning)} \(default: ", text)
        assert from_flags(f"--collector.{group}").collectors == {group: True}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--url", "test:///default"], {"default": "test:///default"}),
        (
            ["--libvirt.uri", "qemu+unix:///session?socket=/run/s"],
            {"default": "qemu+unix:///session?socket=/run/s"},
        ),
        (
            ["--libvirt.uri", "a=qemu+tls://a/system", "--libvirt.uri", "b=test:///default"],
            {"a": "qemu+tls://a/system", "b": "test:///default"},
        ),
        (
            ["--libvirt.uri", "b=qemu+unix:///session?socket=/run/b", "--url", "qemu:///system"],
            {"default": "qemu:///system", "b": "qemu+unix:///session?socket=/run/b"},
        ),
    ],
)
def test_hosts_are_named_by_flags(arguments, expected):
    settings = from_flags(*arguments)
    assert settings.uris == expected
    assert list(settings.uris) == list(expected)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--url", "test:///a", "--url", "test:///b"], "only one can be without a name"),
        (["--url", "a=test:///a", "--url", "a=test:///b"], "name of another target"),
        (["--url", "=test:///a"], "must be a name"),
        (["--url", "default=test:///a", "--url", "test:///b"], "is the name of `url`"),
        (["--collector.disable-defaults"], "no collector is switched on"),
        (["--web.systemd-socket", "--web.listen-address", ":1"], "exclude each other"),
        (["--compat.names", "inovex,nagios"], "nagios"),
        (["--domain.include", "("], "regular expression"),
        (["--probe.allow", "a" * 2000], "at most 1000"),
        (["--web.max-requests", "-1"], "max_requests"),
        (["--web.listen-address", "x"], "HOST:PORT"),
    ],
)
def test_flags_that_are_wrong_or_contradict_say_so(arguments, words):
    with pytest.raises(ConfigError) as caught:
        from_flags(*arguments)
    assert words in "; ".join(caught.value.faults)


def test_the_rest_of_the_flags():
    settings = from_flags(
        *("--compat.names=inovex, kumina", "--domain.include", "web-.*", "--domain.exclude=.*-old"),
        *("--web.listen-address", ":9177", "--web.listen-address", "unix:/run/c.sock"),
        *("--web.config.file", "web.yml", "--web.max-requests=7", "--probe.allow", "qemu.*"),
        *("--libvirt.timeout", "3", "--libvirt.shards", "4"),
    )
    assert settings.compat_names == {NameSet.INOVEX, NameSet.KUMINA}
    assert settings.domain_include is not None
    assert settings.domain_include.fullmatch("web-1")
    assert settings.domain_exclude is not None
    assert settings.domain_exclude.fullmatch("a-old")
    assert settings.addresses == (Address("", 9177), Address(path="/run/c.sock"))
    assert settings.web_config_file == Path("web.yml")
    assert (settings.max_requests, settings.timeout_seconds, settings.shards) == (7, 3.0, 4)


def test_the_file_and_the_environment_say_the_same(tmp_path):
    file = tmp_path / "collector.yaml"
    file.write_text(
        "targets: {b: 'qemu+tls://b/system', a: 'test:///default'}\n"
        "collectors: {block: false, perf: true}\n"
        "listen_address: ['[::1]:1', ':2']\n"
        "compat_names: [tinkoff]\n"
    )
    settings = from_flags(path=file)
    assert list(settings.uris.items()) == [("b", "qemu+tls://b/system"), ("a", "test:///default")]
    assert settings.groups == (DEFAULT_GROUPS | {Group.PERF}) - {Group.BLOCK}
    assert settings.addresses == (Address("::1", 1), Address("", 2))
    assert settings.compat_names == {NameSet.TINKOFF}
    environ = {
        "VIRTSCALE_COLLECTOR_LISTEN_ADDRESS": "127.0.0.1:3",
        "VIRTSCALE_COLLECTOR_URL": "test:///default",
        "VIRTSCALE_COLLECTOR_COLLECTORS": "{cpu: false}",
        "VIRTSCALE_COLLECTOR_SYSTEMD_SOCKET": "false",
    }
    settings = from_flags(environ=environ)
    assert settings.addresses == (Address("127.0.0.1", 3),)
    assert settings.groups == DEFAULT_GROUPS - {Group.CPU}


@pytest.mark.parametrize(
    ("key", "value", "fix"),
    [
        ("url", "qemu", "libvirt URI such as"),
        ("url", "", "libvirt URI such as"),
        ("listen_address", "9177", "HOST:PORT"),
        ("listen_address", "h:99999", "up to 65535"),
        ("listen_address", [], "at least 1"),
        ("timeout_seconds", "0", "greater than or equal to 0.1"),
        ("timeout_seconds", "soon", "valid number"),
        ("hedge_after_seconds", "-1", "greater than"),
        ("uri", "qemu:///system", "known keys: "),
        ("targets", {"a": "x"}, "libvirt URI such as"),
        ("targets", {"a b": "test:///default"}, "must be a name"),
        ("collectors", {"disk": True}, "'state'"),
        ("compat_names", ["x"], "'inovex', 'tinkoff' or 'kumina'"),
        ("domain_include", "[", "regular expression"),
    ],
)
def test_a_fault_names_the_key_and_the_fix(key, value, fix):
    with pytest.raises(ConfigError) as caught:
        check(CollectorSettings, {key: value}, source="flags")
    (sentence,) = caught.value.faults
    assert key in sentence
    assert fix in sentence


def test_all_faults_are_told_at_once():
    with pytest.raises(ConfigError) as caught:
        from_flags(
            "--url", "x", "--domain.include", "(", "--compat.names", "y", "--libvirt.shards=0"
        )
    assert len(caught.value.faults) == 4


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "collector", *arguments],
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


def test_a_wrong_web_config_file_is_told_by_the_check(tmp_path):
    file = tmp_path / "web.yml"
    file.write_text("tls_server_config: {cert_file: none.pem, key_file: none.key}\n")
    checked = run("--web.config.file", str(file), "--check-config")
    assert checked.returncode == 2
    assert checked.stderr.count("No such file") == 2
    assert "tls_server_config.cert_file" in checked.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["--url", "nonsense", "--check-config"],
        ["--config", "/nowhere.yaml"],
        ["--listen-address", "x"],
        ["--logfile", "/nowhere/at/all.log"],
        ["--no-such-flag"],
        ["--web.config.file", "/nowhere.yml"],
    ],
)
def test_a_wrong_start_ends_with_a_sentence_and_code_2(arguments):
    ended = run(*arguments)
    assert ended.returncode == 2
    first = re.split(r"[-.]", arguments[0].removeprefix("--"))[0]
    assert first in ended.stderr or "unknown" in ended.stderr
    assert "Traceback" not in ended.stderr
