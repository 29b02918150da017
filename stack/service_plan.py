"""How each service is started: its command line, its configuration file, its environment."""

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

import stack
from servicekit.lifecycle import StartError
from stack import site_secrets
from stack.listeners import HOST
from stack.paths import StateDirectory
from stack.settings import UpSettings
from stack.supervisor import Service

_PROMETHEUS_RETENTION = "7d"
_PROMETHEUS = ("prometheus", "prometheus")
_ALERTMANAGER = ("prometheus-alertmanager", "prometheus-alertmanager", "alertmanager")
_ALERTS_PATH = "/api/v1/alerts"
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR", "SSL_CERT_FILE", "VIRTSCALE_STATE")


def source_root() -> Path:
    """The directory that holds the packages: a checkout or site-packages."""
    return Path(stack.__file__).resolve().parent.parent


def environment(state: StateDirectory) -> dict[str, str]:
    """What every child sees: nothing of the caller's that could change its behaviour."""
    import virtscale

    passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    api_root = str(Path(next(iter(virtscale.__path__))).resolve().parent)
    return {
        "LANG": "C.UTF-8",
        **passed,
        "HOME": str(state.root),
        "USER": os.environ.get("USER", "virtscale"),
        "PYTHONPATH": os.pathsep.join(dict.fromkeys((str(source_root()), api_root))),
        "PYTHONUNBUFFERED": "1",
        # libvirt forks for some URIs (ssh, a session daemon); gRPC's handlers would end that child.
        "GRPC_ENABLE_FORK_SUPPORT": "0",
        "XDG_RUNTIME_DIR": str(state.run),
        "XDG_CONFIG_HOME": str(state.of("libvirt") / "config"),
        "XDG_CACHE_HOME": str(state.of("libvirt") / "cache"),
        "XDG_DATA_HOME": str(state.of("libvirt") / "data"),
    }


def dispatcher(state: StateDirectory, settings: UpSettings) -> Service:
    """The dispatcher, on loopback: guests reach it through user-mode networking.

    They reach every port of the loopback that way, so clients must show tokens even here.
    """
    site = site_secrets.of(state).site
    server = site.pair("server")
    config: dict[str, Any] = {
        "listen": f"{HOST}:{settings.port('dispatcher_port')}",
        "listen_workers": f"{HOST}:{settings.port('dispatcher_workers_port')}",
        "worker_tls": {
            "certificate": str(server.certificate),
            "key": str(server.key),
            "client_ca": str(site.ca.certificate),
        },
        "tokens_file": str(site.tokens),
        "database": str(state.of("dispatcher") / "dispatcher.db"),
        "join_key_file": str(state.secrets / "join.key"),
        "pepper_file": str(state.secrets / "pepper"),
        "number_formats": list(settings.number_formats),
    }
    for name in ("results_kept_seconds", "results_kept_count"):
        if (limit := getattr(settings, name)) is not None:
            config[name] = limit
    return _own("dispatcher", state, settings, config, settings.port("dispatcher_metrics_port"))


def collector(state: StateDirectory, settings: UpSettings, uri: str) -> Service:
    """The collector, read-only on the pool's libvirt."""
    return _own("collector", state, settings, {"url": uri}, settings.port("collector_port"))


def scaler(state: StateDirectory, settings: UpSettings, uri: str) -> Service:
    """The scaler of one pool."""
    backlog = {"kind": "backlog", "slots_per_domain": float(settings.vcpus)}
    policies = {
        "both": [{"kind": "reference", "fallback": True}, backlog],
        "reference": [{"kind": "reference"}],
        "backlog": [backlog],
    }
    config = {
        "libvirt_uri": uri,
        "pool": settings.pool,
        "min": settings.min,
        "max": settings.max,
        "prometheus_url": f"http://{HOST}:{settings.port('prometheus_port')}",
        "dispatcher": f"{HOST}:{settings.port('dispatcher_port')}",
        "dispatcher_token_file": str(site_secrets.of(state).token_file(site_secrets.SCALER)),
        "state_dir": str(state.of("scaler")),
        "control_token_file": str(site_secrets.of(state).token_file(site_secrets.CONTROL)),
        "policies": policies[settings.policy],
        # Half the scaler's own default: to start a guest again costs seconds here, not minutes.
        "scale_in": {"window_seconds": 15.0},
        # What prometheus/rules/scaling.yml has alerts for.
        "alerts": [
            {"name": "pool-behind", "match": {"alertname": "VirtscalePoolBehind"}, "raise": 1},
            {
                "name": "queue-long",
                "match": {"alertname": "VirtscaleQueueLong"},
                "floor": min(2, settings.max),
            },
            {
                "name": "workers-lost",
                "match": {"alertname": "VirtscaleWorkersLost"},
                "block_scale_in": True,
            },
        ],
        "alert_source": {
            "token_file": str(site_secrets.of(state).token_file(site_secrets.ALERTS)),
            "alertmanager_url": f"http://{HOST}:{settings.port('alertmanager_port')}",
        },
        "standby": {
            "paused": settings.standby_paused,
            "saved": settings.standby_saved,
            "refill_seconds": 10.0,
        },
    }
    if settings.policies_file is not None:
        config["policies_file"] = str(settings.policies_file.absolute())
    if settings.url is None:
        saves = state.of("libvirt") / "config" / "libvirt" / "qemu" / "save"
        config["host"] = {"save_directory": str(saves)}
    return _own("scaler", state, settings, config, settings.port("scaler_port"))


def prometheus(state: StateDirectory, settings: UpSettings) -> Service:
    """The real Prometheus with the repository's configuration and this run's ports."""
    home = state.of("prometheus")
    config = render_prometheus(source_root() / "prometheus", home, settings)
    return Service(
        "prometheus",
        (
            program(*_PROMETHEUS),
            f"--config.file={config}",
            f"--storage.tsdb.path={home / 'data'}",
            f"--storage.tsdb.retention.time={_PROMETHEUS_RETENTION}",
            f"--web.listen-address={HOST}:{settings.port('prometheus_port')}",
            "--web.enable-lifecycle",
            "--log.level=warn",
        ),
        environment(state),
        stop_seconds=15.0,
    )


def alertmanager(state: StateDirectory, settings: UpSettings) -> Service:
    """The real Alertmanager, alone: no cluster port."""
    home = state.of("alertmanager")
    token = site_secrets.of(state).token_file(site_secrets.ALERTS)
    config = render_alertmanager(source_root() / "prometheus", home, settings, token)
    return Service(
        "alertmanager",
        (
            program(*_ALERTMANAGER),
            f"--config.file={config}",
            f"--storage.path={home / 'data'}",
            f"--web.listen-address={HOST}:{settings.port('alertmanager_port')}",
            "--cluster.listen-address=",
            "--log.level=warn",
        ),
        environment(state),
        stop_seconds=5.0,
    )


def need_programs() -> None:
    """Looks for the servers before anything is built or started.

    Raises:
        StartError: when one is missing; names the package.

    """
    program(*_PROMETHEUS)
    program(*_ALERTMANAGER)


def program(package: str, *names: str) -> str:
    """Path of an installed program; also looks where distributions hide servers.

    Raises:
        StartError: when it is missing; names the package.

    """
    path = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin"
    for name in names:
        found = shutil.which(name, path=path)
        if found:
            return found
    raise StartError(
        f"the program {names[0]} is not installed; install the package {package} "
        f"(Debian, Ubuntu: apt-get install {package}), or let ./run do it"
    )


def render_prometheus(source: Path, target: Path, settings: UpSettings) -> Path:
    """Copies Prometheus' configuration and rules with this run's ports; returns the main file."""
    document = _load(source / "prometheus.yml")
    ports = {
        "collector": settings.port("collector_port"),
        "dispatcher": settings.port("dispatcher_metrics_port"),
        "scaler": settings.port("scaler_port"),
        "prometheus": settings.port("prometheus_port"),
        "alertmanager": settings.port("alertmanager_port"),
    }
    for job in document.get("scrape_configs", []):
        port = ports.get(job.get("job_name"))
        if port is not None:
            job["static_configs"] = [
                {**(job.get("static_configs") or [{}])[0], "targets": [f"{HOST}:{port}"]}
            ]
    managers = document.get("alerting", {}).get("alertmanagers", [])
    for manager in managers:
        manager["static_configs"] = [{"targets": [f"{HOST}:{ports['alertmanager']}"]}]
    document["rule_files"] = [
        _copy_rules(source, target, pattern) for pattern in document.get("rule_files", [])
    ]
    return _dump(target / "prometheus.yml", document)


def _copy_rules(source: Path, target: Path, pattern: str) -> str:
    """Copies files such as `rules/*.yml`; returns the same pattern for the copies."""
    copies = target / pattern
    copies.parent.mkdir(parents=True, exist_ok=True)
    for old in copies.parent.glob(copies.name):
        old.unlink()
    for rule in sorted(source.glob(pattern)):
        (copies.parent / rule.name).write_text(rule.read_text(encoding="utf-8"), encoding="utf-8")
    return str(copies)


def render_alertmanager(source: Path, target: Path, settings: UpSettings, token: Path) -> Path:
    """Copies Alertmanager's configuration with this run's scaler and its token; returns the file.

    Other webhooks stay as they are, and are not shown the token.
    """
    document = _load(source / "alertmanager.yml")
    for receiver in document.get("receivers", []):
        for hook in receiver.get("webhook_configs", []):
            path = urlsplit(str(hook.get("url", ""))).path
            if path == _ALERTS_PATH:
                hook["url"] = f"http://{HOST}:{settings.port('scaler_port')}{path}"
                hook["http_config"] = {"authorization": {"credentials_file": str(token)}}
    return _dump(target / "alertmanager.yml", document)


def _own(
    name: str, state: StateDirectory, settings: UpSettings, config: Mapping[str, Any], port: int
) -> Service:
    path = _dump(state.configs / f"{name}.yaml", dict(config))
    return Service(
        name,
        (
            sys.executable,
            # Without -P the state directory's own folders would be looked at as packages.
            *("-P", "-m", name),
            *("--config", str(path)),
            *("--listen-address", f"{HOST}:{port}"),
            *("--loglevel", settings.loglevel),
            *("--logformat", "json"),
        ),
        environment(state),
    )


def _load(path: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StartError(
            f"{path}: {error.strerror}; the installation is incomplete, run ./run again"
        ) from None
    return dict(document or {})


def _dump(path: Path, document: Mapping[str, Any]) -> Path:
    temporary = path.with_suffix(".new")
    temporary.write_text(yaml.safe_dump(dict(document), sort_keys=False), encoding="utf-8")
    temporary.replace(path)
    return path
