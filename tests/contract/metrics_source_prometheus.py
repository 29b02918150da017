"""A real Prometheus that scrapes what a test says, for the contract of the metrics source."""

import http.server
import math
import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import requests

from tests.free_ports import free_ports

_CONFIG = """
global: {{scrape_interval: 200ms, scrape_timeout: 200ms, evaluation_interval: 200ms}}
scrape_configs:
  - job_name: test
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


class Exposition(http.server.ThreadingHTTPServer):
    """Serves `series`: name -> values, one series per value; or a content type and a body."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.series = {}
        self.answer = None
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def text(self):
        lines = []
        for name, values in self.series.items():
            for number, value in enumerate(values):
                shown = "NaN" if math.isnan(value) else repr(float(value))
                lines.append(f'{name}{{number="{number}"}} {shown}\n')
        return "".join(lines)


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        plain = "text/plain; version=0.0.4", self.server.text().encode()
        content_type, body = self.server.answer or plain
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


class RealPrometheus:
    def __init__(self, *, past=None):
        """`past`: the samples of before of an instance, as OpenMetrics with times."""
        self.exposition = Exposition()
        self.root = Path(tempfile.mkdtemp(prefix="vs-prometheus-"))
        config = self.root / "prometheus.yml"
        config.write_text(_CONFIG.format(port=self.exposition.server_address[1]))
        if past is not None:
            instance = f"127.0.0.1:{self.exposition.server_address[1]}"
            (self.root / "past").write_text(past(instance))
            blocks = ("tsdb", "create-blocks-from", "openmetrics", "--quiet")
            subprocess.run(
                ["promtool", *blocks, self.root / "past", self.root / "data"], check=True
            )
        port = free_ports()
        self.url = f"http://127.0.0.1:{port}"
        self._process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={config}",
                f"--storage.tsdb.path={self.root / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--log.level=error",
            ],
            stderr=subprocess.DEVNULL,
        )
        self.until(lambda: requests.get(f"{self.url}/-/ready", timeout=1).ok)

    def shows(self, name, count):
        answer = requests.get(f"{self.url}/api/v1/query", params={"query": name}, timeout=1)
        return len(answer.json()["data"]["result"]) == count

    def until(self, condition, seconds=20.0):
        end = time.monotonic() + seconds
        while True:
            try:
                if condition():
                    return
            except requests.RequestException:
                pass
            assert time.monotonic() < end, "Prometheus does not come to it"
            time.sleep(0.05)

    def stop(self):
        self._process.terminate()
        self._process.wait(20)

    def close(self):
        self.stop()
        self.exposition.shutdown()
        self.exposition.server_close()
        shutil.rmtree(self.root, ignore_errors=True)
