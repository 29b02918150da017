"""A real Alertmanager, a real Prometheus without targets, and a real scaler that hears of alerts.

The scaler's domains are those of libvirt's test driver, in its own process.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import requests
import trustme
import yaml

from scaler.decision_store import DecisionFile
from scaler.entries import FAR
from tests.free_ports import free_ports

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "vst_contract_token"
_DOMAIN = """
<domain type='test' xmlns:test='http://libvirt.org/schemas/domain/test/1.0'>
  <name>{name}</name><memory unit='MiB'>64</memory><vcpu>1</vcpu><os><type>hvm</type></os>
  <metadata><virtscale:domain xmlns:virtscale='urn:virtscale:domain:1' pool='web'/></metadata>
  <test:runstate>5</test:runstate>
</domain>
"""


class Scene:
    """The three processes in one temporary directory."""

    def __init__(self, *, shown_token=TOKEN, rule=None, **source):
        """`rule`: an alert that Prometheus fires, without telling Alertmanager."""
        self.root = Path(tempfile.mkdtemp(prefix="vs-alerts-"))
        first = free_ports(3)
        self.ports = dict(
            zip(("scaler", "prometheus", "alertmanager"), range(first, first + 3), strict=True)
        )
        self._processes = {}
        self._began = {}
        authority = trustme.CA()
        certificate = authority.issue_cert("127.0.0.1")
        self.ca = self.root / "ca.pem"
        authority.cert_pem.write_to_path(str(self.ca))
        certificate.cert_chain_pems[0].write_to_path(str(self.root / "server.pem"))
        certificate.private_key_pem.write_to_path(str(self.root / "server.key"))
        (self.root / "token").write_text(TOKEN)
        (self.root / "shown").write_text(shown_token)
        self._write_configurations(source)
        if rule is not None:
            self.set_rules({"alert": rule, "expr": "vector(1)"})
        self.start("prometheus", ["prometheus", *self._prometheus_options()])
        self.start("alertmanager", ["prometheus-alertmanager", *self._alertmanager_options()])
        self.start_scaler()

    def _write_configurations(self, source):
        names = [f"vs-{number}" for number in range(1, 5)]
        domains = "".join(_DOMAIN.format(name=name) for name in names)
        (self.root / "node.xml").write_text(f"<node>{domains}</node>")
        every = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        rule_files = [str(self.root / "rules.yml")]
        self._dump("prometheus.yml", {"global": every, "rule_files": rule_files})
        hook = {
            "url": f"https://127.0.0.1:{self.ports['scaler']}/api/v1/alerts",
            "send_resolved": True,
            "http_config": {
                "authorization": {"credentials_file": str(self.root / "shown")},
                "tls_config": {"ca_file": str(self.ca)},
            },
        }
        route = {
            "receiver": "scaler",
            "group_by": ["alertname"],
            "group_wait": "100ms",
            "group_interval": "1s",
            "repeat_interval": "1h",
        }
        receivers = [{"name": "scaler", "webhook_configs": [hook]}]
        self._dump("alertmanager.yml", {"route": route, "receivers": receivers})
        policy = {"kind": "backlog", "demand": {"query": "vector(0)"}}
        policy["demand_average"] = {"query": "vector(0)"}
        scaler = {
            "pool": "web",
            "libvirt_uri": f"test://{self.root}/node.xml",
            "prometheus_url": f"http://127.0.0.1:{self.ports['prometheus']}",
            "dispatcher": "127.0.0.1:9",
            "state_dir": str(self.root / "state"),
            "listen_address": f"127.0.0.1:{self.ports['scaler']}",
            "tls": {
                "certificate": str(self.root / "server.pem"),
                "key": str(self.root / "server.key"),
            },
            "policies": [policy],
            "tick_seconds": 0.2,
            "scale_in": {"window_seconds": 1, "cooldown_seconds": 0, "step": 4},
            "alerts": [{"name": "more", "match": {"alertname": "Busy"}, "raise": 2}],
            "alert_source": {"token_file": str(self.root / "token"), **source},
        }
        self._dump("scaler.yaml", scaler)

    def _prometheus_options(self):
        return [
            f"--config.file={self.root / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.root / 'prometheus'}",
            f"--web.listen-address=127.0.0.1:{self.ports['prometheus']}",
            "--log.level=error",
        ]

    def _alertmanager_options(self):
        return [
            f"--config.file={self.root / 'alertmanager.yml'}",
            f"--storage.path={self.root / 'alertmanager'}",
            f"--web.listen-address=127.0.0.1:{self.ports['alertmanager']}",
            "--cluster.listen-address=",
            "--log.level=warn",
        ]

    def start(self, name, command):
        with (self.root / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                command,
                env={"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT}:{ROOT / 'proto'}"},
                cwd=self.root,
                stdout=log,
                stderr=log,
            )

    def start_scaler(self):
        command = [sys.executable, "-m", "scaler", "--config", str(self.root / "scaler.yaml")]
        self.start("scaler", command)
        self.until(lambda: self.status() is not None)

    def kill_scaler(self):
        process = self._processes.pop("scaler")
        process.send_signal(signal.SIGKILL)
        process.wait(20)

    def set_rules(self, *rules):
        self._dump("rules.yml", {"groups": [{"name": "scaling", "rules": list(rules)}]})
        if "prometheus" in self._processes:
            self._processes["prometheus"].send_signal(signal.SIGHUP)

    def ask_alertmanager(self):
        """From its next start on the scaler asks Alertmanager."""
        document = yaml.safe_load((self.root / "scaler.yaml").read_text())
        document["alert_source"]["alertmanager_url"] = self.alertmanager
        self._dump("scaler.yaml", document)

    @property
    def alertmanager(self):
        return f"http://127.0.0.1:{self.ports['alertmanager']}"

    @property
    def scaler(self):
        return f"https://127.0.0.1:{self.ports['scaler']}"

    def tell(self, *, ends_at=None, name="Busy"):
        """What Prometheus tells Alertmanager; `ends_at` in the past resolves."""
        began = self._began.setdefault(name, time.time())
        alert = {"labels": {"alertname": name, "pool": "web"}, "startsAt": _stamp(began)}
        if ends_at is not None:
            alert["endsAt"] = _stamp(max(began, ends_at) + 0.001)
        self.until(
            lambda: (
                requests.post(
                    f"{self.alertmanager}/api/v2/alerts", json=[alert], timeout=5
                ).raise_for_status()
                is None
            )
        )

    def ask(self, path):
        return requests.get(f"{self.scaler}{path}", verify=str(self.ca), timeout=5)

    def status(self):
        answer = self.ask("/api/v1/status")
        return answer.json() if answer.ok else None

    def desired(self):
        return self.status()["desired"]

    def metric(self, line):
        return any(one.startswith(line) for one in self.ask("/metrics").text.splitlines())

    def until(self, condition, seconds=30.0):
        end = time.monotonic() + seconds
        while True:
            try:
                if condition():
                    return
            except requests.RequestException:
                pass
            assert time.monotonic() < end, self._logs()
            time.sleep(0.05)

    def _logs(self):
        return "\n".join(
            f"{path.name}: {path.read_text()[-3000:]}" for path in self.root.glob("*.log")
        )

    def _dump(self, name, document):
        (self.root / name).write_text(yaml.safe_dump(document))

    def records(self):
        history = DecisionFile(self.root / "state" / "decisions.db")
        return [entry.body for entry in history.stream(0.0, FAR)]

    def close(self):
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            process.wait(20)
        shutil.rmtree(self.root, ignore_errors=True)


def _stamp(wall):
    return datetime.fromtimestamp(wall, UTC).isoformat()
