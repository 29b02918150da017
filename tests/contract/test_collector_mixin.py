"""Alerts, rules and dashboards for the collector alone, on a real host. See also test_alerts.py."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import libvirt
import pytest
import requests
import yaml

from grafana.filling import Window, filled
from grafana.prometheus_api import Prometheus
from grafana.verdicts import EMPTY, faults
from grafana.written import boards
from tests.contract.hypervisor_libvirtd import PrivateLibvirtd
from tests.free_ports import free_ports

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "prometheus" / "collector"
RULES = [
    rule
    for path in sorted(FOLDER.glob("*.yml"))
    for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
PROGRAMS = ("libvirtd", "qemu-system-x86_64", "prometheus")
MISSING = [one for one in PROGRAMS if shutil.which(one) is None]


# Reads its first sector again and again, so that CPU and disk have something to show.
BUSY_SECTOR = bytes.fromhex("b80102 b90100 ba8000 bb007e cd13 ebf0").ljust(510, b"\0") + b"\x55\xaa"
DOMAIN = """
<domain type='qemu'>
  <name>busy</name><title>busy one</title><memory unit='MiB'>16</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features>
  <devices>
    <disk type='file' device='disk'><driver name='qemu' type='raw' cache='none'/>
      <source file='{disk}'/><target dev='vda' bus='virtio'/></disk>
    <interface type='user'><model type='virtio'/></interface>
    <memballoon model='virtio'/>
  </devices>
</domain>
"""
CONFIGURATION = """
global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}
rule_files: ["{rules}/*.yml"]
scrape_configs:
  - job_name: libvirt
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""
# What such a host need not have: a guest that tells its memory and writes, jobs, pools, trouble,
# cells, an interface that the host can see (QEMU's user-mode network is none), vCPUs that halt.
MAY_BE_EMPTY = re.compile(
    r"memory_stats_(?!rss)|_job_info_|storage_pool|control_state|== 0|flush_|write_time|numa_cell"
    r"|interface_stats|vcpu_halted"
)


RECENT_SECONDS = 15


class Site:
    """A domain at work, the collector and a Prometheus that scrapes it."""

    def __init__(self):
        self.daemon = PrivateLibvirtd()
        disk = self.daemon.root / "home" / "busy.img"
        disk.write_bytes(BUSY_SECTOR.ljust(1 << 20, b"\0"))
        disk.chmod(0o666)
        connection = libvirt.open(self.daemon.uri)
        connection.createXML(DOMAIN.format(disk=disk))
        connection.close()
        self.folder = Path(tempfile.mkdtemp(prefix="vs-prometheus-"))
        scraped, asked = free_ports(), free_ports()
        self.url = f"http://127.0.0.1:{asked}/api/v1"
        self._processes = [
            self._start(
                *(sys.executable, "-m", "collector", "--url", self.daemon.uri),
                *("--listen-address", f"127.0.0.1:{scraped}"),
            )
        ]
        configuration = self.folder / "prometheus.yml"
        configuration.write_text(CONFIGURATION.format(rules=FOLDER, port=scraped))
        self._processes.append(
            self._start(
                *("prometheus", f"--config.file={configuration}", "--log.level=error"),
                f"--storage.tsdb.path={self.folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{asked}",
            )
        )

    def _start(self, *command):
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT}:{ROOT / 'proto'}"},
            stderr=subprocess.DEVNULL,
        )

    def ask(self, expression):
        """The series that an expression has had within the last seconds.

        Not at one instant: on a busy machine a scrape may come too late, which is not the matter.
        """
        now = time.time()
        asked = {"query": expression, "start": now - RECENT_SECONDS, "end": now, "step": 1}
        found = requests.get(f"{self.url}/query_range", params=asked, timeout=5).json()
        assert found["status"] == "success", f"{expression}: {found}"
        assert "warnings" not in found, f"{expression}: {found}"
        return found["data"]["result"]

    def wait_for(self, expression):
        end = time.monotonic() + 40
        while True:
            try:
                if self.ask(expression):
                    return
            except (requests.RequestException, ValueError):
                pass
            assert time.monotonic() < end, f"nothing came of {expression}"
            time.sleep(0.1)

    def close(self):
        for process in self._processes:
            process.terminate()
            process.wait(20)
        self.daemon.close()
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture(scope="module")
def site():
    made = Site()
    try:
        made.wait_for("rate(libvirt_domain_block_stats_read_requests_total[15s]) > 0")
        made.wait_for("rate(libvirt_domain_vcpu_time_seconds_total[15s]) > 0")
        # Charts are asked for at whole seconds: the newest scrape is in none of them.
        made.wait_for("count_over_time(libvirt_domain_info_vstate[15s]) >= 5")
        yield made
    finally:
        made.close()


@pytest.fixture
def asked(site):
    client = Prometheus(site.url.removesuffix("/api/v1"))
    yield client
    client.close()


def recently():
    """The last seconds; a rate's window is some scrapes longer than on a site of its own."""
    now = time.time()
    return Window(now - RECENT_SECONDS, now, 1, scrape_seconds=4)


@pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")
@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", ["host", "domain"])
def test_every_query_of_a_dashboard_brings_what_it_should(asked, name):
    board = boards()[name]
    chosen = asked.chosen(board, recently())
    wrong = []
    for panel in board.panels:
        for target in panel.targets:
            window = recently()
            answer = asked.range(filled(target.expr, window, chosen), window)
            for fault in faults(panel, target, answer, window):
                if fault != EMPTY or not MAY_BE_EMPTY.search(target.expr):
                    wrong.append((panel.title, target.legend, fault))
    assert not wrong


@pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")
@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", ["host", "domain"])
def test_every_choice_of_a_dashboard_finds_something(asked, name):
    board, window = boards()[name], recently()
    chosen = asked.chosen(board, window)
    assert len(chosen) >= 2
    assert all(chosen.values())


@pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")
@pytest.mark.timeout(120)
def test_no_alert_fires_on_a_host_that_is_well_and_every_rule_is_evaluated(site):
    for rule in RULES:
        site.ask(rule["expr"])
    groups = requests.get(f"{site.url}/rules", timeout=5).json()["data"]["groups"]
    shown = [rule for group in groups for rule in group["rules"]]
    assert len(shown) == len(RULES)
    assert not [rule["lastError"] for rule in shown if rule.get("lastError")]
