"""What the client processes of all peers share: the request, the stop watch, the check."""

import json
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from bench.numbers import check_answers, numbers
from bench.usage import CpuMeter

Round = Callable[[list[str]], Iterable[tuple[str, str]]]
"""Hashes these numbers, wherever; returns each with its `digest:salt`."""


def request() -> dict[str, Any]:
    """What the benchmark asked this process for."""
    return dict(json.loads(sys.argv[1]))


def measure(asked: dict[str, Any], work: Round) -> None:
    """Runs a warm-up and the measured round, checks every answer, writes the figures."""
    jobs, warmup = asked["jobs"], asked["warmup"]
    check_answers(work(list(numbers(jobs, warmup))))
    measured = list(numbers(0, jobs))
    meter = CpuMeter(asked["watch"] | {"client": int(Path("/proc/self").readlink().name)})
    began = time.perf_counter()
    answers = work(measured)
    seconds = time.perf_counter() - began
    used, others = meter.seconds(), meter.others() / seconds
    if check_answers(answers) != jobs:
        raise SystemExit("not every number was answered")
    Path(sys.argv[2]).write_text(
        json.dumps({"jobs": jobs, "seconds": seconds, "cpu_seconds": used, "others": others})
    )
