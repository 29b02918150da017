"""How many jobs per second the dispatcher and a worker get through, beside other task queues.

Everything of ours is real: a dispatcher process with its store on disk (one fsync per group of
commits), a guest worker process with its hashing processes, a client in a process of its own.
"""

import argparse
import statistics
from typing import Any

from bench.rig import DispatcherProcess, Rig, WorkerProcess, wait_for_workers

_PROCESSES = ("client", "dispatcher", "worker")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the benchmark's flags."""
    parser.add_argument("--jobs", type=int, default=100_000, help="jobs per run (default 100,000)")
    parser.add_argument("--runs", type=int, default=3, help="runs per row (default 3)")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 64, 1000], help="batch sizes")
    parser.add_argument("--slots", type=int, default=2, help="slots of the worker (default 2)")
    parser.add_argument("--prefetch", type=int, default=512, help="of the worker (default 512)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Measures and prints."""
    for batch in arguments.batches:
        print(row(f"batches of {batch}", measure_ours(arguments, batch)), flush=True)
    return 0


def measure_ours(arguments: argparse.Namespace, batch: int) -> list[dict[str, Any]]:
    """The runs of one batch size, each on a fresh store."""
    jobs = min(arguments.jobs, 5_000 * batch)
    runs = []
    for _ in range(arguments.runs):
        with Rig() as rig:
            dispatcher = DispatcherProcess(rig)
            dispatcher.start()
            worker = WorkerProcess(
                rig, dispatcher.address, "bench-1", arguments.slots, arguments.prefetch
            )
            wait_for_workers(dispatcher, 1)
            before = dispatcher.rows_and_commits()
            request = {
                "address": dispatcher.address,
                "batch": batch,
                "jobs": jobs,
                "warmup": max(batch, jobs // 20),
                "window": max(4 * batch, 4_000),
                "start": 0,
                "watch": {"dispatcher": dispatcher.pid, "worker": worker.pid},
            }
            figures = rig.report("submitter", "bench.submitter", request, seconds=300)
            after = dispatcher.rows_and_commits()
            if before and after:
                figures["rows_per_commit"] = (after[0] - before[0]) / (after[1] - before[1])
            runs.append(figures)
    return runs


def row(name: str, runs: list[dict[str, Any]]) -> str:
    """One line of the table."""
    rates = sorted(each["jobs"] / each["seconds"] for each in runs)
    text = f"{name:28} {rates[0]:9,.0f} {statistics.median(rates):9,.0f} {rates[-1]:9,.0f} jobs/s"
    for process in _PROCESSES:
        used = [each["cpu_seconds"][process] / each["jobs"] * 1e6 for each in runs]
        text += f"  {process} {statistics.median(used):6.1f}"
    rows = [each["rows_per_commit"] for each in runs if "rows_per_commit" in each]
    return text + " us/job" + (f"  {statistics.median(rows):.0f} rows/commit" if rows else "")
