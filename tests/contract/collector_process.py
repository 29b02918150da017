"""The collector as a process of its own."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class CollectorProcess:
    """Runs until `stop`; its log is read to learn where it listens."""

    def __init__(
        self,
        directory: Path,
        *arguments: str,
        before: Sequence[str] = (),
        descriptors: Sequence[int] = (),
        environ: dict[str, str] | None = None,
    ) -> None:
        """`before` is what starts it instead of the interpreter alone; `descriptors` are kept."""
        self.log = directory / f"collector-{time.monotonic_ns()}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*before, sys.executable, "-m", "collector", *arguments],
                cwd=ROOT,
                stderr=log,
                pass_fds=tuple(descriptors),
                env=os.environ | (environ or {}),
            )
        self.addresses = self._addresses()

    def get(self, path: str, timeout: float = 20.0, **headers: str) -> str:
        """Body of a page at the first address."""
        request = urllib.request.Request(f"http://{self.addresses[0]}{path}", headers=headers)
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return str(answer.read().decode())

    def until(self, path: str, pattern: str, seconds: float = 20.0) -> str:
        """Body of a page once it contains a line that matches."""
        deadline = time.monotonic() + seconds
        while True:
            body = self.get(path)
            if re.search(pattern, body, re.M):
                return body
            assert time.monotonic() < deadline, body + self.log.read_text()
            time.sleep(0.05)

    def stop(self) -> int:
        """Its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)

    def close(self) -> None:
        """Ends it if it runs."""
        if self.process.poll() is None:
            self.stop()

    def events(self) -> list[str]:
        """What it logged."""
        lines = self.log.read_text().splitlines()
        return [str(json.loads(line)["event"]) for line in lines if line.startswith("{")]

    def _addresses(self) -> list[str]:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            for line in self.log.read_text().splitlines():
                if '"collector.started"' in line:
                    return [str(one) for one in json.loads(line)["addresses"]]
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        raise AssertionError(f"did not start: {self.log.read_text()}")
