"""Exporters of libvirt's statistics as processes, asked as Prometheus asks."""

import gzip
import http.client
import re
import shutil
import subprocess
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from bench.rig import PROGRAMS, Rig, free_port, is_listening, kill_group, wait_until
from bench.usage import cpu_clock, resident_bytes

DEBIANS = "prometheus-libvirt-exporter"
"""Program and Debian package."""
TIMEOUT_SECONDS = 10.0
"""Prometheus' own default."""
_HEADERS = {
    "Accept": "application/openmetrics-text;version=1.0.0,application/openmetrics-text;"
    "version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
    "Accept-Encoding": "gzip",
}
_SAMPLE = re.compile(r'^([a-zA-Z_:][\w:]*)(\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\})? (\S+)', re.M)
_DOMAIN = re.compile(r'[{,]domain="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class Answer:
    """What one scrape brought."""

    seconds: float
    """From connecting to the last byte."""
    status: int
    """Of HTTP; 0 when it was given up."""
    text: str = ""
    bytes_sent: int = 0
    """As they travelled."""

    def samples(self) -> dict[str, float]:
        """Every sample by its name and labels."""
        return {name + labels: float(value) for name, labels, value in _SAMPLE.findall(self.text)}

    def families(self) -> set[str]:
        """Names of metrics that have a sample, but the process's own."""
        return {name for name, _, _ in _SAMPLE.findall(self.text) if name.startswith("libvirt_")}

    def is_up(self) -> bool:
        """Whether it says that libvirt answered."""
        return self.samples().get("libvirt_up") == 1

    def domains_with(self, family: str, value: float | None = None) -> set[str]:
        """Domains that have a sample of this name (and value)."""
        found = set()
        for name, labels, text in _SAMPLE.findall(self.text):
            if name == family and (value is None or float(text) == value):
                found |= set(_DOMAIN.findall(labels))
        return found

    def complete(self) -> set[str]:
        """Domains with all counters of their CPU and disks."""
        return self.domains_with("libvirt_domain_info_cpu_time_seconds_total") & self.domains_with(
            "libvirt_domain_block_stats_read_bytes_total"
        )


class Exporter:
    """One exporter that serves `/metrics`."""

    def __init__(self, name: str, process: "subprocess.Popen[bytes]", port: int) -> None:
        self.name = name
        self.port = port
        self._process = process

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def is_alive(self) -> bool:
        """Whether its process has not ended."""
        return self._process.poll() is None

    def end(self) -> None:
        """Ends it."""
        kill_group(self._process)

    def cpu(self) -> float:
        """CPU seconds so far."""
        return cpu_clock(self.pid)

    def footprint(self) -> dict[str, int]:
        """Resident bytes, threads and open files."""
        folder = Path(f"/proc/{self.pid}")
        return {
            "resident_bytes": resident_bytes(self.pid),
            "threads": sum(1 for _ in (folder / "task").iterdir()),
            "files": sum(1 for _ in (folder / "fd").iterdir()),
        }

    def scrape(
        self,
        groups: Iterable[str] = (),
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
        patience_seconds: float | None = None,
    ) -> Answer:
        """Asks once; gives up after `patience_seconds` (twice the timeout)."""
        query = urlencode([("collect[]", group) for group in groups])
        path = f"/metrics?{query}" if query else "/metrics"
        headers = {**_HEADERS, "X-Prometheus-Scrape-Timeout-Seconds": f"{timeout_seconds:g}"}
        patience = 2 * timeout_seconds if patience_seconds is None else patience_seconds
        began = time.perf_counter()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=patience)
        try:
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException):
            return Answer(time.perf_counter() - began, 0)
        finally:
            connection.close()
        seconds = time.perf_counter() - began
        raw = gzip.decompress(body) if response.headers["Content-Encoding"] == "gzip" else body
        return Answer(seconds, response.status, raw.decode(), len(body))


def start_ours(rig: Rig, uri: str, *flags: str, name: str = "collector") -> Exporter:
    """`python -m collector`, listening."""
    port = free_port()
    process = rig.python(
        name,
        *("-m", "collector", "--url", uri, "--listen-address", f"127.0.0.1:{port}"),
        *("--loglevel", "warning", *flags),
    )
    return _listening(rig, Exporter(name, process, port))


def start_debians(rig: Rig, uri: str, name: str = "debian") -> Exporter:
    """Debian's exporter, listening."""
    port = free_port()
    process = rig.spawn(
        name,
        shutil.which(DEBIANS, path=PROGRAMS) or DEBIANS,
        *("--libvirt.uri", uri, "--web.listen-address", f"127.0.0.1:{port}"),
    )
    return _listening(rig, Exporter(name, process, port))


def _listening(rig: Rig, exporter: Exporter) -> Exporter:
    def is_up() -> bool:
        if not exporter.is_alive():
            raise SystemExit(f"{exporter.name} ended:\n{rig.tail(exporter.name)}")
        return is_listening(exporter.port)

    wait_until(is_up, f"{exporter.name} listens")
    return exporter


def missing_families(
    theirs: Answer, ours: Answer, other_names: Mapping[str, str] | None = None
) -> list[str]:
    """What the other exporter gives and ours does not; `other_names` maps theirs to ours."""
    known = ours.families()
    names = other_names or {}
    return sorted(name for name in theirs.families() if names.get(name, name) not in known)
