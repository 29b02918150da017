"""How many jobs per second the dispatcher and a worker get through, beside other task queues.

Everything of ours is real: a dispatcher process with its store on disk (one fsync per group of
commits), a guest worker process with its hashing processes, a client in a process of its own. Runs
of ours and of the peers take turns, so that a slow minute of the machine falls on all of them.
"""

import argparse
import contextlib
import statistics
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from bench import growth
from bench.disk import fdatasync_baseline
from bench.peers.roster import PEERS, UPPER_BOUND, Peer
from bench.postgresql import PostgresqlServer
from bench.report import Figure, Goal, print_figures, print_rows, write_json
from bench.rig import DispatcherProcess, Rig, WorkerProcess, free_port, wait_for_workers

RATE = Goal("submit -> hash -> stored -> result, batched", "jobs/s", 25_000, 60_000, True)
RESIDENT = Goal("resident memory with 1,000,000 queued jobs, most", "MB", 250, 120)
RESTART = Goal("restart after kill -9 with 1,000,000 jobs", "s", 2, 1)
FLATNESS = Goal("time per job, longest queue against 10,000", "x", 1.5, 1.2)
_MILLION = 1_000_000
_WINDOW_BATCHES = 8
_POSTGRESQL = " on PostgreSQL"
_PROCESSES = ("client", "dispatcher", "worker")
Figures = dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the benchmark's flags."""
    parser.add_argument("--jobs", type=int, default=100_000, help="jobs per run (default 100,000)")
    parser.add_argument("--runs", type=int, default=3, help="runs per row (default 3)")
    parser.add_argument(
        "--batches", type=int, nargs="+", default=[1, 64, 1000], help="batch sizes (1 64 1000)"
    )
    parser.add_argument("--slots", type=int, default=2, help="slots of the worker (default 2)")
    parser.add_argument("--prefetch", type=int, default=512, help="of the worker (default 512)")
    parser.add_argument(
        "--postgresql", action="store_true", help="also with the store in a PostgreSQL server"
    )
    parser.add_argument("--no-peers", action="store_true", help="leave the peers out")
    parser.add_argument(
        "--growth",
        type=int,
        default=_MILLION,
        metavar="JOBS",
        help="queue length to grow to (default 1,000,000; 10,000,000 takes longer); 0: none",
    )
    parser.add_argument("--quick", action="store_true", help="a smoke run of seconds, no peers")
    parser.add_argument("--json", type=Path, help="also write everything to this file")
    parser.add_argument("--svg", type=Path, help="also plot the queue's growth to this file")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Measures and prints; 1 when a floor was missed."""
    if arguments.quick:
        arguments.jobs, arguments.runs, arguments.batches = 2_000, 1, [64]
        arguments.no_peers, arguments.growth = True, 2_000
    with Rig() as rig:
        print(fdatasync_baseline(rig.directory))
    with contextlib.ExitStack() as exits:
        server = None
        if arguments.postgresql:
            server = PostgresqlServer(free_port())
            exits.callback(server.remove)
            server.start()
        runs = _take_turns(arguments, server)
    best, figures = _show_rates(arguments, runs)
    grown: Figures = {}
    if arguments.growth:
        with Rig() as rig:
            grown = growth.measure(rig, arguments.growth, arguments.slots, arguments.prefetch)
        growth.show(grown)
        figures += _growth_figures(grown)
        if arguments.svg:
            growth.write_svg(arguments.svg, grown)
    is_reached = print_figures(figures)
    write_json(arguments.json, figures, {"runs": runs, "growth": grown, "best_peer": best})
    # A smoke run is too short to judge anything by.
    return 0 if is_reached or arguments.quick else 1


def _take_turns(
    arguments: argparse.Namespace, server: PostgresqlServer | None
) -> dict[str, list[Figures]]:
    """All runs by row."""
    rows: dict[str, Callable[[], Figures]] = {}
    for batch in arguments.batches:
        rows[_name(batch)] = partial(measure_ours, arguments, batch)
        if server is not None:
            rows[_name(batch, _POSTGRESQL)] = partial(measure_ours, arguments, batch, server=server)
    rows["virtscale, worker's default prefetch"] = partial(
        measure_ours, arguments, max(arguments.batches), has_default_prefetch=True
    )
    peers = {peer.name: peer for peer in (*PEERS, UPPER_BOUND) if not arguments.no_peers}
    for peer in peers.values():
        if faults := peer.missing():
            print(f"NOT RUN: {peer.name}: {'; '.join(faults)}", file=sys.stderr, flush=True)
            continue
        rows[peer.name] = partial(_measure_peer, peer)
    runs: dict[str, list[Figures]] = {name: [] for name in rows}
    for turn in range(arguments.runs):
        for name, measure in rows.items():
            print(f"run {turn + 1} of {arguments.runs}: {name}", file=sys.stderr, flush=True)
            try:
                runs[name].append(measure())
            except SystemExit as error:
                # Ours must work; a peer's failure must not cost the figures of all others.
                if name not in peers:
                    raise
                print(f"FAILED: {name}: {error}", file=sys.stderr, flush=True)
    return {name: each for name, each in runs.items() if each}


def _name(batch: int, store: str = "") -> str:
    return f"virtscale{store}, batches of {batch:,}"


def _measure_peer(peer: Peer) -> Figures:
    with Rig() as rig:
        return peer.measure(rig, peer.jobs)


def measure_ours(
    arguments: argparse.Namespace,
    batch: int,
    *,
    has_default_prefetch: bool = False,
    server: PostgresqlServer | None = None,
) -> Figures:
    """One run of one batch size, on a fresh store."""
    jobs = min(arguments.jobs, 20_000 if has_default_prefetch else 5_000 * batch)
    with Rig() as rig:
        settings = {} if server is None else {"database": server.new_schema()}
        dispatcher = DispatcherProcess(rig, **settings)
        dispatcher.start()
        prefetch = None if has_default_prefetch else arguments.prefetch
        worker = WorkerProcess(rig, dispatcher.address, "bench-1", arguments.slots, prefetch)
        wait_for_workers(dispatcher, 1)
        before = dispatcher.rows_and_commits()
        request = {
            "address": dispatcher.address,
            "batch": batch,
            "jobs": jobs,
            "warmup": max(batch, jobs // 20),
            "window": max(_WINDOW_BATCHES * batch, 4_000),
            "start": 0,
            "watch": {"dispatcher": dispatcher.pid, "worker": worker.pid},
        }
        figures: Figures = rig.report("submitter", "bench.submitter", request, seconds=600)
        after = dispatcher.rows_and_commits()
        if before and after:
            figures["rows_per_commit"] = (after[0] - before[0]) / (after[1] - before[1])
        return figures


def _rate(figures: Figures) -> float:
    return float(figures["jobs"] / figures["seconds"])


def _show_rates(
    arguments: argparse.Namespace, runs: dict[str, list[Figures]]
) -> tuple[str, list[Figure]]:
    """Prints the comparison; returns the best peer's name and the figure."""
    medians = {name: statistics.median(map(_rate, each)) for name, each in runs.items()}
    ours = max(medians[_name(batch)] for batch in arguments.batches)
    synced = {peer.name: peer.is_synced for peer in (*PEERS, UPPER_BOUND)}
    rows = [("", "fsync", "min", "median", "max", "ours/this", *(f"{p} us" for p in _PROCESSES))]
    rows[0] = (*rows[0], "rows/commit", "others")
    for name, each in runs.items():
        rates = sorted(map(_rate, each))
        commits = [one["rows_per_commit"] for one in each if "rows_per_commit" in one]
        rows.append(
            (
                name,
                "yes" if synced.get(name, True) else "no",
                *(f"{rate:,.0f}" for rate in (rates[0], medians[name], rates[-1])),
                f"{ours / medians[name]:.2f}",
                *(_cpu(each, process) for process in _PROCESSES),
                f"{statistics.median(commits):.0f}" if commits else "-",
                f"{statistics.median(one['others'] for one in each):.2f}",
            )
        )
    print(
        "\njobs per second (every answer checked), CPU us per job by process;"
        " others: cores that the rest of this machine used meanwhile"
    )
    print_rows(rows)
    for batch in arguments.batches:
        if (on_postgresql := medians.get(_name(batch, _POSTGRESQL))) is not None:
            compared = on_postgresql / medians[_name(batch)]
            print(f"PostgreSQL / SQLite, batches of {batch:,}: {compared:.2f}")
    peers = [peer.name for peer in PEERS if peer.name in medians]
    best = max(peers, key=medians.__getitem__, default="")
    ratio = f"{ours / medians[best]:.1f}x {best}" if best else ""
    return best, [Figure(RATE, ours, ratio)]


def _cpu(runs: list[Figures], process: str) -> str:
    used = [
        each["cpu_seconds"][process] / each["jobs"] * 1e6
        for each in runs
        if process in each["cpu_seconds"]
    ]
    return f"{statistics.median(used):.1f}" if used else "-"


def _growth_figures(grown: Figures) -> list[Figure]:
    points = {point["queued"]: point for point in grown["points"]}
    figures = []
    if _MILLION in points:
        most = points[_MILLION]["resident_bytes"]
        if max(points) == _MILLION:
            most = max(most, grown["restart"]["resident_bytes"])
        figures.append(Figure(RESIDENT, most / 1e6))
    if max(points) == _MILLION:
        figures.append(Figure(RESTART, grown["restart"]["serving_seconds"]))
    if 10_000 in points and max(points) > 10_000:
        ratio = points[max(points)]["us_per_job"] / points[10_000]["us_per_job"]
        figures.append(Figure(FLATNESS, ratio))
    return figures
