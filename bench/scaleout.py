"""How fast real, cold guests come to help: `./run` for real, beside the reference rule.

The peer is the reference program's rule (mean CPU over 30 s above 80 %, one domain at a time) in
the same stack, on the same machine, in the same call, so that the ratio speaks of the decision and
not of the machine. What the reference program itself needed is in docs/PARITY.md (62-67 s).
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import wakes

ROOT = Path(__file__).resolve().parents[1]
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_SERVICES = {
    "libvirtd": "libvirtd",
    "dispatcher": "-m dispatcher",
    "collector": "-m collector",
    "scaler": "-m scaler",
    "prometheus": "prometheus.yml",
    "alertmanager": "alertmanager.yml",
}
_BUSY_GUEST_RATIO = 0.6
_SAMPLE_SECONDS = 1.0

LIMITS: dict[str, float] = {
    "first scale-out, s": 15.0,
    "start to Hello, idle, s": 6.5,
    "start to Hello, other guest busy, s": 10.0,
    "host services, share of a core": 0.15,
    "./run to first hash, s": 20.0,
}
"""What must hold for the default policies, by the name of the figure."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the benchmark's flags."""
    parser.add_argument("--runs", type=int, default=3, help="stack runs per policy (default 3)")
    parser.add_argument("--seconds", type=int, default=75, help="length of a run (default 75)")
    parser.add_argument("--no-peer", action="store_true", help="leave the reference rule out")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    wakes.add_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs the stack `--runs` times per policy and prints the figures; 1 when a limit is missed."""
    if arguments.tier:
        return wakes.run(arguments)
    ours = [_one_run(arguments.seconds, ()) for _ in range(arguments.runs)]
    peer: list[dict[str, float]] = []
    if not arguments.no_peer:
        # The reference rule needs its 30 s window and then a boot: give it twice the time.
        peer = [
            _one_run(arguments.seconds * 2, ("--policy", "reference", "--shape", "steady"))
            for _ in range(arguments.runs)
        ]
    missed = _print_table(ours, peer)
    if arguments.json:
        arguments.json.write_text(json.dumps({"virtscale": ours, "reference rule": peer}, indent=2))
    return 1 if missed else 0


def _print_table(ours: list[dict[str, float]], peer: list[dict[str, float]]) -> list[str]:
    missed = []
    header = f"{'figure':38} {'min':>7} {'median':>7} {'max':>7} {'limit':>7}"
    print(f"{header} {'reference':>10} {'ratio':>6}")
    for name, limit in LIMITS.items():
        values = [figures[name] for figures in ours if name in figures]
        if not values:
            missed.append(name)
            print(f"{name:38} not measured")
            continue
        row = f"{name:38} {min(values):7.2f} {statistics.median(values):7.2f} {max(values):7.2f}"
        row += f" {limit:7.2f}"
        theirs = [figures[name] for figures in peer if name in figures]
        if theirs and name == "first scale-out, s":
            median = statistics.median(theirs)
            row += f" {median:10.2f} {median / statistics.median(values):5.1f}x"
        if statistics.median(values) > limit:
            missed.append(name)
            row += "  MISSED"
        print(row)
    return missed


def _one_run(seconds: int, extra: tuple[str, ...]) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        summary = Path(folder) / "summary.json"
        began = time.time()
        process = subprocess.Popen(
            [ROOT / "run", "--for", str(seconds), "--summary", str(summary), *extra],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        shares = _watch_services(lambda: process.poll() is None)
        errors = process.stderr.read() if process.stderr else ""
        if not summary.exists():
            raise SystemExit(f"the stack did not run:\n{errors}")
        return _figures(json.loads(summary.read_text()), shares, began)


def _figures(summary: dict[str, Any], shares: list[float], began: float) -> dict[str, float]:
    figures: dict[str, float] = {}
    hellos = summary.get("start_to_hello_seconds") or []
    if hellos:
        figures["start to Hello, idle, s"] = hellos[0]
    if len(hellos) > 1:
        figures["start to Hello, other guest busy, s"] = hellos[1]
    if summary.get("first_scale_out_seconds") is not None:
        figures["first scale-out, s"] = summary["first_scale_out_seconds"]
    if summary.get("first_result_unix_seconds") is not None:
        figures["./run to first hash, s"] = summary["first_result_unix_seconds"] - began
    if shares:
        figures["host services, share of a core"] = statistics.mean(shares)
    return figures


@dataclass
class _Usage:
    services: float = 0.0
    guests: dict[int, float] = field(default_factory=dict)


def _watch_services(is_running: Callable[[], bool]) -> list[float]:
    """Share of one core that the services used, for each second in which two guests were busy."""
    shares = []
    before, at = _usage(), time.monotonic()
    while is_running():
        time.sleep(_SAMPLE_SECONDS)
        now, then = _usage(), at
        at = time.monotonic()
        busy = [
            pid
            for pid, seconds in now.guests.items()
            if seconds - before.guests.get(pid, seconds) > _BUSY_GUEST_RATIO * (at - then)
        ]
        used = now.services - before.services
        if len(busy) >= 2 and used >= 0:
            shares.append(used / (at - then))
        before = now
    return shares


def _usage() -> _Usage:
    """CPU seconds used so far by the stack's services, and by each guest."""
    usage = _Usage()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError, ValueError, IndexError):
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            is_guest = "guest=" in command and "qemu" in command
            if not is_guest and not any(mark in command for mark in _SERVICES.values()):
                continue
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            seconds = (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND
            if is_guest:
                usage.guests[int(entry.name)] = seconds
            else:
                usage.services += seconds
    return usage
