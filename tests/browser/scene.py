"""A real scaler process with a real Prometheus, and what it needs besides, for a browser.

The domains are those of libvirt's test driver, the workers and the queue those of a small stand-in
for the dispatcher, which a test can change while somebody looks.
"""

import math
import os
import subprocess
import sys
import threading
import time
from concurrent import futures
from pathlib import Path
from xml.sax.saxutils import escape

import grpc
import requests
import yaml
from google.protobuf import duration_pb2
from virtscale.v1 import fleet_pb2, fleet_pb2_grpc

from tests.contract.metrics_source_prometheus import RealPrometheus
from tests.free_ports import free_ports

TOKEN = "0123456789abcdef0123456789abcdef"
ALERTS_TOKEN = "fedcba9876543210fedcba9876543210"
EVIL = "vs-<img src=x onerror=alert(1)>&\"'"
PATIENCE_SECONDS = 20.0

_NODE = """<node><cpu><mhz>2000</mhz><model>test</model><active>4</active><nodes>1</nodes>
<sockets>1</sockets><cores>4</cores><threads>1</threads></cpu><memory>67108864</memory>
{domains}</node>"""
_DOMAIN = """<domain type='test' xmlns:t='http://libvirt.org/schemas/domain/test/1.0'>
<name>{name}</name><memory unit='MiB'>64</memory><vcpu>1</vcpu><os><type>hvm</type></os>
<metadata><v:domain xmlns:v='urn:virtscale:domain:1' pool='default'/></metadata>
<t:runstate>{state}</t:runstate></domain>"""
_RUNNING, _OFF = 1, 5


class Fleet(fleet_pb2_grpc.FleetServiceServicer):
    """Stands for the dispatcher. `workers` (name -> leases) and `ready` are the test's."""

    def __init__(self, workers):
        self.workers = dict(workers)
        self.ready = 3
        self.oldest_seconds = 2.5
        self.drained = []
        self.port = free_ports()
        self._server = grpc.server(futures.ThreadPoolExecutor(4))
        fleet_pb2_grpc.add_FleetServiceServicer_to_server(self, self._server)
        self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        self._server.start()

    def ListWorkers(self, request, context):
        return fleet_pb2.ListWorkersResponse(
            workers=[
                fleet_pb2.Worker(
                    worker_id=name,
                    state=fleet_pb2.WORKER_STATE_READY,
                    slots=1,
                    busy_slots=min(1, leases),
                    leases=leases,
                )
                for name, leases in sorted(self.workers.items())
            ]
        )

    def GetBacklog(self, request, context):
        answer = fleet_pb2.GetBacklogResponse(
            accepted=40 + self.ready, ready=self.ready, leased=2, done=38
        )
        if self.ready:
            answer.oldest_ready_age.CopyFrom(
                duration_pb2.Duration(
                    seconds=int(self.oldest_seconds), nanos=int(self.oldest_seconds % 1 * 1e9)
                )
            )
        return answer

    def CordonWorker(self, request, context):
        return fleet_pb2.CordonWorkerResponse(granted=True)

    def DrainWorker(self, request, context):
        self.drained.append(request.worker_id)
        self.workers.pop(request.worker_id, None)
        return fleet_pb2.DrainWorkerResponse(outcome=fleet_pb2.DRAIN_OUTCOME_DRAINED)

    def UncordonWorker(self, request, context):
        return fleet_pb2.UncordonWorkerResponse()

    def close(self):
        self._server.stop(None).wait()


def load_series(domains, moment):
    """Name and labels to value: what the collector's rules and the dispatcher would tell."""
    series = {}
    total = 0.0
    for place, name in enumerate(domains):
        cpu = 0.5 + 0.4 * math.sin(moment / 90 + place)
        total += cpu
        labels = f'pool="default",domain={_quoted(name)}'
        series[f"pool_domain:libvirt_domain_cpu_utilisation:avg5s{{{labels}}}"] = cpu
    mean = total / max(1, len(domains))
    series['pool:libvirt_domain_cpu_utilisation:avg5s{pool="default"}'] = mean
    waiting = max(0.0, 8 * math.sin(moment / 120))
    series['pool:virtscale_waiting_jobs:current{pool="default"}'] = waiting
    for limit, share in (("0.1", 0.3), ("1", 0.7), ("5", 1.0), ("+Inf", 1.0)):
        name = f'virtscale_dispatcher_job_wait_seconds_bucket{{le="{limit}"}}'
        series[name] = moment % 100_000 * share
    series['virtscale_dispatcher_job_service_seconds_count{kind="x"}'] = moment % 100_000 * 1.5
    return series


def _quoted(name):
    text = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def past(domains, now, instance):
    """Ten minutes of it as OpenMetrics with times, as if that instance had been scraped."""
    found = {}
    scraped = f'{{job="test",instance="{instance}",'
    for moment in range(int(now) - 660, int(now) - 2, 5 if len(domains) < 100 else 30):
        for name, value in load_series(domains, moment).items():
            line = f"{name.replace('{', scraped, 1)} {value:.4f} {moment}\n"
            found.setdefault(name, []).append(line)
    families = {}
    for name, lines in found.items():
        families.setdefault(name.partition("{")[0], []).extend(lines)
    told = [f"# TYPE {family} gauge\n{''.join(lines)}" for family, lines in families.items()]
    return "".join(told) + "# EOF\n"


class Scene:
    """`running` and `off` are names of domains."""

    def __init__(
        self, folder, running, off=(), *, token=True, signals=True, has_past=True, **settings
    ):
        self.folder = Path(folder)
        self.running = list(running)
        self.fleet = Fleet({name: place % 3 for place, name in enumerate(self.running)})
        before = (lambda one: past(self.running, time.time(), one)) if has_past else None
        self.prometheus = RealPrometheus(past=before)
        self.prometheus.exposition.text = self._exposition
        self.port = free_ports()
        self.address = f"127.0.0.1:{self.port}"
        self.url = f"http://{self.address}"
        self.log = self.folder / "scaler.log"
        self.token_file = self._secret("control.token", TOKEN)
        domains = [
            *(_DOMAIN.format(name=escape(name), state=_RUNNING) for name in self.running),
            *(_DOMAIN.format(name=escape(name), state=_OFF) for name in off),
        ]
        (self.folder / "node.xml").write_text(_NODE.format(domains="".join(domains)))
        query = f"vector({len(self.running)})" if signals else "nothing"
        config = {
            "libvirt_uri": f"test://{self.folder / 'node.xml'}",
            "prometheus_url": self.prometheus.url,
            "dispatcher": f"127.0.0.1:{self.fleet.port}",
            "state_dir": str(self.folder / "state"),
            "listen_address": self.address,
            "logfile": str(self.log),
            "min": 1,
            "max": len(self.running) + len(off),
            "policies": [
                {
                    **{"kind": "target", "name": "load", "target": 1, "measure": "total"},
                    "signal": {"query": query},
                }
            ],
            "saturation": None,
            "alerts": [{"name": "behind", "match": {"alertname": "Behind"}, "raise": 1}],
            "alert_source": {"token_file": str(self._secret("alerts.token", ALERTS_TOKEN))},
            **({"control_token_file": str(self.token_file)} if token else {}),
            **settings,
        }
        self.config = self.folder / "scaler.yaml"
        self.config.write_text(yaml.safe_dump(config))
        self.process = None
        try:
            self.start()
        except BaseException:
            self.close()
            raise

    def _secret(self, name, text):
        path = self.folder / name
        path.write_text(text + "\n")
        path.chmod(0o600)
        return path

    def _exposition(self):
        told = load_series(self.running, time.time())
        return "".join(f"{name} {value:.4f}\n" for name, value in told.items())

    def start(self):
        command = (sys.executable, "-m", "scaler", "--config", str(self.config))
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, env=dict(os.environ))
        self.until(lambda: self.get("/api/v1/status").ok, "the first turn")

    def stop(self):
        self.process.terminate()
        assert self.process.wait(PATIENCE_SECONDS) == 0

    def get(self, path, **options):
        return requests.get(f"{self.url}{path}", timeout=10, **options)

    def status(self):
        return self.get("/api/v1/status").json()

    def overrides(self):
        return self.get("/api/v1/overrides").json()["overrides"]

    def fire(self, alert="Behind", **labels):
        """As Alertmanager tells of an alert."""
        body = {
            "version": "4",
            "truncatedAlerts": 0,
            "alerts": [
                {
                    "status": "firing",
                    "labels": {"alertname": alert, **labels},
                    "annotations": {},
                    "startsAt": "2026-01-01T00:00:00Z",
                    "endsAt": "0001-01-01T00:00:00Z",
                    "fingerprint": "00112233aabbccdd",
                }
            ],
        }
        answer = requests.post(
            f"{self.url}/api/v1/alerts",
            json=body,
            headers={"Authorization": f"Bearer {ALERTS_TOKEN}"},
            timeout=10,
        )
        assert answer.ok, answer.text

    def until(self, condition, what):
        deadline = time.monotonic() + PATIENCE_SECONDS
        pause = threading.Event()
        while time.monotonic() < deadline:
            try:
                if condition():
                    return
            except (requests.RequestException, OSError):
                pass
            assert self.process.poll() is None, f"the scaler ended: {self._logged()}"
            pause.wait(0.05)
        raise AssertionError(f"not in time: {what}\n{self._logged()}")

    def _logged(self):
        return self.log.read_text()[-3000:] if self.log.exists() else "nothing was logged"

    def close(self):
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(PATIENCE_SECONDS)
        self.fleet.close()
        self.prometheus.close()
