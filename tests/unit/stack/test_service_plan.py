import stat
import sys
from pathlib import Path

import pytest
import yaml

from servicekit.lifecycle import StartError
from stack import service_plan
from stack.paths import StateDirectory
from stack.settings import UpSettings

SETTINGS = UpSettings(port_base=21000, min=2, max=3, vcpus=2, pool="lab", loglevel="debug")


@pytest.fixture
def state(tmp_path):
    made = StateDirectory(tmp_path)
    made.create()
    return made


@pytest.fixture
def bin_directory(tmp_path, monkeypatch):
    """Stand-ins for the servers, first in the PATH."""
    directory = tmp_path / "bin"
    directory.mkdir()
    for name in ("prometheus", "prometheus-alertmanager"):
        path = directory / name
        path.write_text("#!/bin/sh\n", encoding="utf-8")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(directory))
    return directory


def config_of(service):
    path = Path(service.command[service.command.index("--config") + 1])
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def options_of(service):
    return dict(zip(service.command[4::2], service.command[5::2], strict=True))


def test_the_dispatcher_gets_its_ports_store_and_keys(state):
    service = service_plan.dispatcher(state, SETTINGS)
    assert service.command[:4] == (sys.executable, "-P", "-m", "dispatcher")
    assert options_of(service)["--listen-address"] == "127.0.0.1:21001"
    assert options_of(service)["--loglevel"] == "debug"
    assert config_of(service) == {
        "listen": "127.0.0.1:21000",
        "listen_workers": "127.0.0.1:21006",
        "worker_tls": {
            "certificate": str(state.root / "secrets" / "tls" / "dispatcher.pem"),
            "key": str(state.root / "secrets" / "tls" / "dispatcher.key"),
            "client_ca": str(state.root / "secrets" / "tls" / "ca.pem"),
        },
        "tokens_file": str(state.root / "secrets" / "tls" / "tokens"),
        "database": str(state.root / "dispatcher" / "dispatcher.db"),
        "join_key_file": str(state.root / "secrets" / "join.key"),
        "pepper_file": str(state.root / "secrets" / "pepper"),
        "number_formats": ["in"],
    }


def test_the_dispatcher_is_told_how_long_results_are_kept(state):
    settings = SETTINGS.model_copy(update={"results_kept_seconds": 86400.0})
    config = config_of(service_plan.dispatcher(state, settings))
    assert config["results_kept_seconds"] == 86400.0
    assert "results_kept_count" not in config


def test_the_collector_reads_the_pool_s_libvirt(state):
    service = service_plan.collector(state, SETTINGS, "test:///default")
    assert config_of(service) == {"url": "test:///default"}
    assert options_of(service)["--listen-address"] == "127.0.0.1:21003"


@pytest.mark.parametrize(
    ("policy", "kinds"),
    [
        ("both", ["reference", "backlog"]),
        ("reference", ["reference"]),
        ("backlog", ["backlog"]),
    ],
)
def test_the_scaler_gets_pool_sources_and_policies(state, policy, kinds):
    settings = SETTINGS.model_copy(update={"policy": policy})
    config = config_of(service_plan.scaler(state, settings, "test:///default"))
    assert (config["pool"], config["min"], config["max"]) == ("lab", 2, 3)
    assert config["prometheus_url"] == "http://127.0.0.1:21004"
    assert config["dispatcher"] == "127.0.0.1:21000"
    assert [one["kind"] for one in config["policies"]] == kinds
    slots = [one["slots_per_domain"] for one in config["policies"] if one["kind"] == "backlog"]
    assert slots in ([], [2.0])


def test_the_scaler_is_told_of_policies_of_one_s_own(state):
    settings = SETTINGS.model_copy(update={"policies_file": Path("mine.yaml")})
    config = config_of(service_plan.scaler(state, settings, "test:///default"))
    assert config["policies_file"] == str(Path("mine.yaml").absolute())
    config = config_of(service_plan.scaler(state, SETTINGS, "test:///default"))
    assert "policies_file" not in config


def test_the_files_rendered_are_accepted_by_the_services(state):
    from collector.config import CollectorSettings
    from dispatcher.config import DispatcherSettings
    from scaler.config import ScalerConfig
    from servicekit.config import load

    for service, settings in (
        (service_plan.dispatcher(state, SETTINGS), DispatcherSettings),
        (service_plan.collector(state, SETTINGS, "test:///default"), CollectorSettings),
        (service_plan.scaler(state, SETTINGS, "test:///default"), ScalerConfig),
    ):
        path = Path(service.command[service.command.index("--config") + 1])
        load(settings, path=path, environ={}, prefix="X_", flags={})


def test_prometheus_scrapes_this_run_s_ports(state, bin_directory):
    service = service_plan.prometheus(state, SETTINGS)
    assert service.command[0] == str(bin_directory / "prometheus")
    assert "--web.listen-address=127.0.0.1:21004" in service.command
    home = state.of("prometheus")
    document = yaml.safe_load((home / "prometheus.yml").read_text(encoding="utf-8"))
    targets = {
        job["job_name"]: job["static_configs"][0]["targets"] for job in document["scrape_configs"]
    }
    assert targets == {
        "collector": ["127.0.0.1:21003"],
        "dispatcher": ["127.0.0.1:21001"],
        "scaler": ["127.0.0.1:21002"],
        "prometheus": ["127.0.0.1:21004"],
        "alertmanager": ["127.0.0.1:21005"],
    }
    (manager,) = document["alerting"]["alertmanagers"]
    assert manager["static_configs"] == [{"targets": ["127.0.0.1:21005"]}]
    folders = ("rules", "collector")
    assert document["rule_files"] == [str(home / folder / "*.yml") for folder in folders]
    for folder in folders:
        ours = service_plan.source_root() / "prometheus" / folder
        names = {path.name for path in ours.glob("*.yml")}
        assert names == {path.name for path in (home / folder).glob("*.yml")} != set()


def test_a_rule_that_was_removed_does_not_stay_behind(state, bin_directory):
    old = state.of("prometheus") / "rules" / "old.yml"
    old.parent.mkdir()
    old.write_text("groups: []\n", encoding="utf-8")
    service_plan.prometheus(state, SETTINGS)
    assert not old.exists()


def test_alertmanager_runs_alone(state, bin_directory):
    service = service_plan.alertmanager(state, SETTINGS)
    assert service.command[0] == str(bin_directory / "prometheus-alertmanager")
    assert "--web.listen-address=127.0.0.1:21005" in service.command
    assert "--cluster.listen-address=" in service.command


def test_a_webhook_is_sent_to_this_run_s_scaler(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    (source / "alertmanager.yml").write_text(
        "receivers:\n- name: s\n  webhook_configs:\n  - url: http://127.0.0.1:9182/api/v1/alerts\n"
        "  - url: https://chat.example.org/hook\n",
        encoding="utf-8",
    )
    token = tmp_path / "token"
    path = service_plan.render_alertmanager(source, tmp_path, SETTINGS, token)
    (receiver,) = yaml.safe_load(path.read_text(encoding="utf-8"))["receivers"]
    assert receiver["webhook_configs"] == [
        {
            "url": "http://127.0.0.1:21002/api/v1/alerts",
            "http_config": {"authorization": {"credentials_file": str(token)}},
        },
        {"url": "https://chat.example.org/hook"},
    ]


def test_alertmanager_and_the_scaler_share_a_token(state, bin_directory):
    service = service_plan.alertmanager(state, SETTINGS)
    path = next(one.partition("=")[2] for one in service.command if "--config.file=" in one)
    document = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    (hook,) = next(one for one in document["receivers"] if one["name"] == "scaler")[
        "webhook_configs"
    ]
    scaler = config_of(service_plan.scaler(state, SETTINGS, "test:///default"))
    shown = hook["http_config"]["authorization"]["credentials_file"]
    assert shown == scaler["alert_source"]["token_file"]
    assert hook["url"] == "http://127.0.0.1:21002/api/v1/alerts"


def test_the_scaler_has_a_rule_for_every_alert_that_is_sent_to_it(state):
    rules = yaml.safe_load(
        (service_plan.source_root() / "prometheus" / "rules" / "scaling.yml").read_text("utf-8")
    )
    sent = {one["alert"] for group in rules["groups"] for one in group["rules"]}
    scaler = config_of(service_plan.scaler(state, SETTINGS, "test:///default"))
    assert {one["match"]["alertname"] for one in scaler["alerts"]} == sent
    lonely = config_of(
        service_plan.scaler(state, SETTINGS.model_copy(update={"min": 1, "max": 1}), "test:///x")
    )
    assert [one["floor"] for one in lonely["alerts"] if "floor" in one] == [1]


def test_a_configuration_that_is_missing_says_what_to_run(tmp_path):
    with pytest.raises(StartError, match=r"prometheus\.yml: No such file .* \./run"):
        service_plan.render_prometheus(tmp_path, tmp_path, SETTINGS)


def test_a_missing_program_names_its_package():
    with pytest.raises(StartError, match=r"no-such-program .*apt-get install some-package"):
        service_plan.program("some-package", "no-such-program")


def test_children_see_nothing_of_the_caller_s_that_could_change_them(state, monkeypatch):
    for name in ("PYTHONSTARTUP", "LD_PRELOAD", "LIBVIRT_DEFAULT_URI", "HTTP_PROXY"):
        monkeypatch.setenv(name, "/somewhere")
    monkeypatch.setenv("TZ", "Europe/Berlin")
    seen = service_plan.environment(state)
    assert not {"PYTHONSTARTUP", "LD_PRELOAD", "LIBVIRT_DEFAULT_URI", "HTTP_PROXY"} & set(seen)
    assert seen["TZ"] == "Europe/Berlin"
    assert seen["HOME"] == str(state.root)
    assert seen["XDG_RUNTIME_DIR"] == str(state.run)
