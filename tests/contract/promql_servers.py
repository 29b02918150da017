"""A real Prometheus and a real VictoriaMetrics that get the same samples over remote write."""

import math
import re
import shutil
import struct
import subprocess
import tempfile
import time
from pathlib import Path

import requests

from tests.free_ports import free_ports

STALE = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]
"""The NaN by which Prometheus says that a series has ended."""


def parse_series(text):
    """The labels of a series in PromQL's notation, its name among them."""
    name, _, inner = text.strip().partition("{")
    labels = dict(re.findall(r'(\w+)\s*=\s*"([^"]*)"', inner))
    return labels | ({"__name__": name.strip()} if name else {})


_ITEM = re.compile(r"(_|NaN|-?[\d.]+(?:e[+-]?\d+)?)([+-][\d.]+)?(?:x(\d+))?")


def parse_values(text):
    """Promtool's notation (`1x3 _x2 5+1x9 stale`) as a list, None where there is no sample."""
    values = []
    for item in text.split():
        if item == "stale":
            values.append(STALE)
            continue
        start, step, count = _ITEM.fullmatch(item).groups()
        if start == "_":
            values += [None] * int(count or 1)
            continue
        first, times = float(start), int(count or 0) + 1
        values += [first + float(step or 0) * number for number in range(times)]
    return values


MOMENT = "_timestamp_seconds"


def samples(name, values, begin, interval):
    """Pairs of Unix seconds and value.

    What is a moment by its name is one since the begin, which is 0 for promtool.
    """
    shift = begin if MOMENT in name else 0
    return [
        (begin + number * interval, value + shift if shift else value)
        for number, value in enumerate(parse_values(values))
        if value is not None
    ]


class Server:
    """`write` series, `evaluate` expressions; times are Unix seconds."""

    lookback_seconds = 300

    def __init__(self, command, write_path):
        self.root = Path(tempfile.mkdtemp(prefix="vs-promql-"))
        self.url = f"http://127.0.0.1:{free_ports()}"
        self._write_path = write_path
        self._session = requests.Session()
        self._session.trust_env = False
        address = self.url.removeprefix("http://")
        with (self.root / "log").open("wb") as log:
            self._process = subprocess.Popen(command(self.root, address), stdout=log, stderr=log)
        end = time.monotonic() + 30
        while not self._is_up():
            assert time.monotonic() < end, (self.root / "log").read_text()[-3000:]
            time.sleep(0.02)

    def _is_up(self):
        try:
            return self._session.get(f"{self.url}/-/ready", timeout=1).ok
        except requests.RequestException:
            return False

    def write(self, series):
        """`series`: pairs of labels and of samples, which are pairs of Unix seconds and a value."""
        self.send(snappy(write_request(series)))

    def send(self, encoded):
        answer = self._session.post(
            self.url + self._write_path,
            data=encoded,
            headers={
                "Content-Encoding": "snappy",
                "Content-Type": "application/x-protobuf",
                "X-Prometheus-Remote-Write-Version": "0.1.0",
            },
            timeout=30,
        )
        assert answer.status_code in (200, 204), answer.text
        self.settle()

    def settle(self):
        """Returns when what was written can be asked for."""

    def evaluate(self, expression, at):
        """Labels, as a sorted tuple, to value."""
        asked = {"query": expression, "time": at, "step": self.lookback_seconds}
        return {key: values[0][1] for key, values in self._ask("query", asked).items()}

    def evaluate_range(self, expression, begin, end, step):
        """Labels, as a sorted tuple, to pairs of Unix seconds and value."""
        asked = {"query": expression, "start": begin, "end": end, "step": step}
        return self._ask("query_range", asked)

    def _ask(self, what, asked):
        url = f"{self.url}/api/v1/{what}"
        # VictoriaMetrics would otherwise move begin and end to multiples of the step.
        answer = self._session.post(url, data=asked | {"nocache": "1"}, timeout=30).json()
        assert answer["status"] == "success", (asked["query"], answer)
        found = {}
        for one in answer["data"]["result"]:
            values = one.get("values") or [one["value"]]
            found[tuple(sorted(one["metric"].items()))] = [
                (float(when), float(value)) for when, value in values
            ]
        return found

    def close(self):
        self._process.terminate()
        self._process.wait(20)
        self._session.close()
        shutil.rmtree(self.root, ignore_errors=True)


class Prometheus(Server):
    def __init__(self):
        super().__init__(self._command, "/api/v1/write")

    @staticmethod
    def _command(root, address):
        (root / "prometheus.yml").write_text("global: {}\n")
        return [
            "prometheus",
            f"--config.file={root / 'prometheus.yml'}",
            f"--storage.tsdb.path={root / 'data'}",
            "--storage.tsdb.retention.time=100y",
            # Samples of years in one block, or what is older than two hours would be refused.
            "--storage.tsdb.min-block-duration=20y",
            "--storage.tsdb.max-block-duration=20y",
            f"--web.listen-address={address}",
            "--web.enable-remote-write-receiver",
            "--log.level=warn",
        ]


class VictoriaMetrics(Server):
    def __init__(self, *options):
        super().__init__(lambda *where: [*self._command(*where), *options], "/api/v1/write")

    @staticmethod
    def _command(root, address):
        return [
            "victoria-metrics",
            f"-storageDataPath={root / 'data'}",
            "-retentionPeriod=100y",
            f"-httpListenAddr={address}",
            "-loggerLevel=WARN",
        ]

    def settle(self):
        assert self._session.get(f"{self.url}/internal/force_flush", timeout=10).ok


def write_request(series):
    """Prometheus's WriteRequest, encoded; it has too few fields for a schema of its own."""
    encoded = bytearray()
    for labels, samples in series:
        body = bytearray()
        for name, value in sorted(labels.items()):
            label = _text(1, name) + _text(2, value)
            body += b"\x0a" + _varint(len(label)) + label
        for when, value in samples:
            stamp = _varint(round(when * 1000))
            sample = b"\x09" + struct.pack("<d", value) + b"\x10" + stamp
            body += b"\x12" + _varint(len(sample)) + sample
        encoded += b"\x0a" + _varint(len(body)) + body
    return bytes(encoded)


def snappy(data):
    """Snappy's block format without any compression: literals of up to 64 KiB."""
    encoded = bytearray(_varint(len(data)))
    for begin in range(0, len(data), 1 << 16):
        part = data[begin : begin + (1 << 16)]
        encoded += b"\xf4" + struct.pack("<H", len(part) - 1) + part
    return bytes(encoded)


def _text(field, text):
    raw = text.encode()
    return bytes([field << 3 | 2]) + _varint(len(raw)) + raw


def _varint(number):
    if number <= 0x7F:
        return number.to_bytes()
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return encoded


def is_close(one, other, share):
    """True when two values differ by no more than a share of the larger; NaN is like NaN."""
    if math.isnan(one) or math.isnan(other):
        return math.isnan(one) and math.isnan(other)
    return abs(one - other) <= share * max(abs(one), abs(other)) + 1e-9
