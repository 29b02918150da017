"""A real Prometheus that holds what a test says was, at times that the test says."""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import requests

from tests.free_ports import free_ports

START = 1_700_000_000
"""Within a block of Prometheus's, so that a few minutes from here are one."""


class RecordedPrometheus:
    """`series`: values of one a second from START on, by what selects it; None is no sample."""

    def __init__(self, series: Mapping[str, Sequence[float | None]]) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="vs-recorded-"))
        if series:
            self._record(series)
        configuration = self.root / "prometheus.yml"
        configuration.write_text("global: {scrape_interval: 1m}\n")
        port = free_ports()
        self.url = f"http://127.0.0.1:{port}"
        self._process = subprocess.Popen(
            [
                *("prometheus", f"--config.file={configuration}", "--log.level=error"),
                *(f"--storage.tsdb.path={self.root / 'data'}", "--storage.tsdb.retention.time=90y"),
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stderr=subprocess.DEVNULL,
        )
        self._wait()

    def _record(self, series: Mapping[str, Sequence[float | None]]) -> None:
        lines = [
            f"{name} {value} {START + second}\n"
            for name, values in series.items()
            for second, value in enumerate(values)
            if value is not None
        ]
        text = self.root / "samples"
        text.write_text("".join(lines) + "# EOF\n")
        command = ["promtool", "tsdb", "create-blocks-from", "openmetrics"]
        subprocess.run(
            [*command, str(text), str(self.root / "data")], check=True, stdout=subprocess.DEVNULL
        )

    def _wait(self) -> None:
        end = time.monotonic() + 30
        while True:
            try:
                if requests.get(f"{self.url}/-/ready", timeout=1).ok:
                    return
            except requests.RequestException:
                pass
            assert time.monotonic() < end, "Prometheus does not begin"
            time.sleep(0.05)

    def close(self) -> None:
        """Ends it and removes what it held."""
        self._process.terminate()
        self._process.wait(20)
        shutil.rmtree(self.root, ignore_errors=True)
