"""How much of a core a guest worker turns into hashes, beside the libraries alone; and its memory.

One slot, fed by a scripted dispatcher. Rates are per second of CPU time, which a busy machine does
not falsify; what was seen on the wall clock is printed as well.
"""

import argparse
import statistics
from pathlib import Path
from typing import Any

from bench.raw_hashing import ARGON2_COST
from bench.report import Figure, Goal, print_figures, print_rows, write_json
from bench.rig import Rig, WorkerProcess, free_port

ARGON2ID = Goal("argon2id: worker's hashes per CPU second / library's", "ratio", 0.95, 1, True)
SHA256 = Goal("sha256 batched: hashing process / library", "ratio", 0.75, 1, True)
SHA256_OTHERS = {
    "uuid4": Goal("the same against one by one with uuid4()", "ratio", None, None, True),
    "hashlib": Goal("the same against the bare digest, no salts", "ratio", None, None, True),
}
SHA256_WHOLE = Goal("sha256 batched: whole worker / library", "ratio", None, None, True)
MEMORY = Goal("resident memory of a worker with one slot, alone", "MB", 64, None)
PROPORTIONAL = Goal("the same, sum of PSS beside the other processes here", "MB", 64, None)
_PREFETCH = {"argon2id": 4, "legacy-sha256": 512}
_ARGON2_BYTES = ARGON2_COST["memory_kib"] * 1024
Figures = dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the benchmark's flags."""
    parser.add_argument("--runs", type=int, default=3, help="runs per profile (default 3)")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each run (default 8)")
    parser.add_argument("--quick", action="store_true", help="a smoke run of some seconds")
    parser.add_argument("--json", type=Path, help="also write everything to this file")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Measures and prints; 1 when a floor was missed."""
    if arguments.quick:
        arguments.runs, arguments.seconds = 1, 0.5
    profiles = ("argon2id", "legacy-sha256")
    runs: dict[str, list[Figures]] = {profile: [] for profile in profiles}
    for _ in range(arguments.runs):
        for profile in profiles:
            with Rig() as rig:
                runs[profile].append(_one_run(rig, profile, arguments.seconds))
    rows: list[tuple[str, ...]] = [
        ("", "library", "worker", "hashing", "stream", "jobs/s", "checked", "MB")
    ]
    rows += [_row(profile, each) for profile, each in runs.items()]
    print("CPU us per job: the library alone; the worker, of that its hashing process and stream")
    print_rows(rows)
    figures = [
        Figure(ARGON2ID, _ratio(runs["argon2id"], "worker")),
        Figure(SHA256, _ratio(runs["legacy-sha256"], "hashing")),
        *(
            Figure(goal, _ratio(runs["legacy-sha256"], "hashing", against))
            for against, goal in SHA256_OTHERS.items()
        ),
        Figure(SHA256_WHOLE, _ratio(runs["legacy-sha256"], "worker")),
        Figure(MEMORY, _megabytes(runs["legacy-sha256"], "alone_bytes")),
        Figure(PROPORTIONAL, _megabytes(runs["legacy-sha256"], "proportional_bytes")),
    ]
    is_reached = print_figures(figures)
    print(f"\nargon2id works in {_ARGON2_BYTES / 1e6:.0f} MB more per slot while it hashes")
    write_json(arguments.json, figures, {"runs": runs})
    return 0 if is_reached or arguments.quick else 1


def _one_run(rig: Rig, profile: str, seconds: float) -> Figures:
    """The library, then the worker, in the same half minute. CPU us per job by process."""
    asked = {"profile": profile, "seconds": seconds}
    raw = _raw(rig, profile, seconds)
    others = {
        name: _raw(rig, name, seconds / 2)
        for name in (SHA256_OTHERS if profile == "legacy-sha256" else ())
    }
    address = f"127.0.0.1:{free_port()}"
    worker = WorkerProcess(rig, address, "bench-1", 1, _PREFETCH[profile])
    more = {"address": address, "warmup": min(1.0, seconds), "worker": worker.pid}
    fed = rig.report("feeder", "bench.feeder", asked | more, seconds + 120)
    worker.kill()
    hashing, stream = (fed[f"{name}_cpu_seconds"] for name in ("hashing", "stream"))
    return {
        "library": raw,
        **others,
        "worker": (hashing + stream) / fed["jobs"] * 1e6,
        "hashing": hashing / fed["jobs"] * 1e6,
        "stream": stream / fed["jobs"] * 1e6,
        "jobs_per_second": fed["jobs"] / fed["seconds"],
        "checked": fed["checked"],
        "proportional_bytes": fed["proportional_bytes"],
        "alone_bytes": fed["alone_bytes"],
    }


def _raw(rig: Rig, profile: str, seconds: float) -> float:
    """CPU us per hash of the library alone."""
    asked = {"profile": profile, "seconds": seconds}
    raw = rig.report(f"raw-{profile}", "bench.raw_hashing", asked, seconds + 60)
    return float(raw["cpu_seconds"] / raw["jobs"] * 1e6)


def _median(runs: list[Figures], name: str) -> float:
    return float(statistics.median(each[name] for each in runs))


def _ratio(runs: list[Figures], name: str, against: str = "library") -> float:
    """The median of the runs' own ratios: library and worker of one run met the same machine."""
    return float(statistics.median(each[against] / each[name] for each in runs))


def _megabytes(runs: list[Figures], name: str) -> float:
    return _median(runs, name) / 1e6


def _row(profile: str, runs: list[Figures]) -> tuple[str, ...]:
    return (
        profile,
        *(f"{_median(runs, name):,.2f}" for name in ("library", "worker", "hashing", "stream")),
        f"{_median(runs, 'jobs_per_second'):,.0f}",
        f"{sum(each['checked'] for each in runs):,}",
        f"{_megabytes(runs, 'alone_bytes'):.1f}",
    )
