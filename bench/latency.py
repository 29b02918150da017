"""How long single submissions take, what happens under overload, and how soon losses are noticed.

Every latency counts from the instant at which an open-loop generator, in a process of its own,
meant to make the call; its own lateness is printed beside it. Generator, dispatcher and worker
share this machine.
"""

import argparse
import asyncio
import importlib.util
import os
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any

from bench import heartbeats, recovery
from bench.arrivals import Load, Seen, offer
from bench.disk import fdatasync_baseline
from bench.report import Figure, Goal, print_figures, print_rows, quantile, write_json
from bench.rig import Rig

ACK = Goal("durable ack p99, Poisson 1,000/s", "ms", 10, 5)
RESULT = Goal("result p99, Poisson 1,000/s", "ms", 15, 8)
SUSTAINED = Goal("single submits, sustained", "1/s", 2_500, 5_000, True)
CANCELLED = Goal("overload: calls ended with a bare CANCELLED", "calls", 0, 0)
RETRY_INFO = Goal("overload: refusals without RetryInfo", "calls", 0, 0)
SLOWDOWN = Goal("overload: p99 of accepted against normal", "x", 2, 2)
KILLED = Goal("worker killed: jobs leased again, p99", "ms", 100, 50)
FROZEN = Goal("worker frozen: jobs leased again, max after the lease time", "s", 1, 1)
HEARTBEAT = Goal("heartbeat lateness, all cores searching, p99", "ms", 50, 10)
PARTS = ("arrivals", "overload", "recovery", "heartbeats")
_NORMAL_RATE = 1_000.0
_LEASE_SECONDS = 10.0
_LONGEST_MICROSECONDS = 600_000_000
_QUEUE_LIMIT = 2_000
"""Small, so that a full queue, too, is met under overload."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the benchmark's flags."""
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="parts to run")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each rate (default 20)")
    parser.add_argument("--runs", type=int, default=3, help="runs at 1,000/s (default 3)")
    parser.add_argument(
        "--rates",
        type=float,
        nargs="+",
        default=[1_500.0, 2_500.0, 3_500.0, 5_000.0],
        help="calls per second of the sweep to the knee, after 1,000",
    )
    parser.add_argument("--overload-seconds", type=float, default=60.0, help="default 60")
    parser.add_argument("--kills", type=int, default=50, help="workers killed (default 50)")
    parser.add_argument("--slots", type=int, default=os.cpu_count() or 2, help="of the worker")
    parser.add_argument("--prefetch", type=int, default=None, help="of the worker")
    parser.add_argument("--seed", type=int, default=1, help="of the arrivals (default 1)")
    parser.add_argument("--quick", action="store_true", help="a smoke run of at most 20 s")
    parser.add_argument(
        "--hdr",
        type=Path,
        metavar="DIR",
        help="also write every distribution in HdrHistogram's form, for its plotter",
    )
    parser.add_argument("--json", type=Path, help="also write everything to this file")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Measures and prints; 1 when a floor was missed."""
    if arguments.quick:
        arguments.seconds, arguments.runs, arguments.rates = 1.0, 1, []
        arguments.overload_seconds, arguments.kills = 1.0, 2
    if arguments.hdr and importlib.util.find_spec("hdrh") is None:
        print(
            "--hdr: no package hdrhistogram here; run bench/setup once, then use"
            " .venv-bench/bin/python",
            file=sys.stderr,
        )
        return 2
    with Rig() as rig:
        print(fdatasync_baseline(rig.directory))
    figures: list[Figure] = []
    details: dict[str, Any] = {}
    if {"arrivals", "overload"} & set(arguments.only):
        figures += _arrivals(arguments, details)
    if "recovery" in arguments.only:
        figures += asyncio.run(_recovery(arguments, details))
    if "heartbeats" in arguments.only:
        figures += asyncio.run(_heartbeats(arguments, details))
    is_reached = print_figures(figures)
    write_json(arguments.json, figures, details)
    return 0 if is_reached or arguments.quick else 1


def _arrivals(arguments: argparse.Namespace, details: dict[str, Any]) -> list[Figure]:
    """Normal load, the sweep, and three times the rate that was sustained."""
    _print_head()
    warmup = min(1.0, arguments.seconds)

    def offered(rate: float, seed: int) -> Seen:
        load = Load(rate, arguments.seconds, warmup, seed=arguments.seed + seed)
        seen = offer(load, arguments.slots, arguments.prefetch)
        _print_seen(seen)
        if arguments.hdr:
            _write_distributions(arguments.hdr, f"{rate:.0f}-{seed}", seen)
        return seen

    normal = [offered(_NORMAL_RATE, number) for number in range(arguments.runs)]
    # The best run speaks of the dispatcher, the others of whoever else used the machine; all are
    # printed. A run whose generator was late comes last.
    best = min(normal, key=lambda seen: (seen.is_void, quantile(seen.acks, 0.99)))
    note = " (generator late)" if best.is_void else ""
    figures = [
        Figure(ACK, quantile(best.acks, 0.99), note),
        Figure(RESULT, quantile(best.results, 0.99), note),
    ]
    details["normal"] = [seen.summary() for seen in normal]
    sweep = []
    for number, rate in enumerate(arguments.rates):
        sweep.append(offered(rate, 100 + number))
        if not sweep[-1].is_sustained:
            break
    details["sweep"] = [seen.summary() for seen in sweep]
    sustained = [seen.load.rate for seen in (*normal, *sweep) if seen.is_sustained]
    capacity = max(sustained, default=_NORMAL_RATE)
    figures.append(Figure(SUSTAINED, max(sustained, default=0.0)))
    if "overload" in arguments.only:
        figures += _overload(arguments, capacity, best, details)
    return figures


def _overload(
    arguments: argparse.Namespace, capacity: float, normal: Seen, details: dict[str, Any]
) -> list[Figure]:
    print(f"\n3 times {capacity:,.0f}/s, at most {_QUEUE_LIMIT:,} unfinished jobs")
    _print_head()
    load = Load(3 * capacity, arguments.overload_seconds, 0.5, seed=7)
    seen = offer(load, arguments.slots, arguments.prefetch, max_unfinished_jobs=_QUEUE_LIMIT)
    _print_seen(seen)
    if arguments.hdr:
        _write_distributions(arguments.hdr, "overload", seen)
    details["overload"] = seen.summary()
    # What the dispatcher does is seen from the instant at which a call was really made.
    slowdown = quantile(seen.acks_from_send, 0.99) / quantile(normal.acks_from_send, 0.99)
    return [
        Figure(CANCELLED, seen.codes.get("CANCELLED", 0)),
        Figure(RETRY_INFO, seen.refused_without_retry_info),
        Figure(SLOWDOWN, slowdown),
    ]


def _write_distributions(folder: Path, name: str, seen: Seen) -> None:
    """One .hgrm file each for acknowledgements and results, in milliseconds."""
    from hdrh.histogram import HdrHistogram

    folder.mkdir(parents=True, exist_ok=True)
    for kind, samples in (("ack", seen.acks), ("result", seen.results)):
        histogram = HdrHistogram(1, _LONGEST_MICROSECONDS, 3)
        for milliseconds in samples:
            histogram.record_value(max(1, round(milliseconds * 1e3)))
        with (folder / f"{kind}-{name}.hgrm").open("wb") as file:
            histogram.output_percentile_distribution(file, 1e3)


_COLUMNS = (
    "{:>8} {:>8} | {:>7} {:>7} {:>7} {:>7} | {:>7} {:>7} {:>7} {:>7} | {:>7} {:>5} {:>6} {:>6}  {}"
)


def _print_head() -> None:
    names = ("p50", "p99", "p99.9", "max")
    print(
        "\nsingle SubmitJobs calls; milliseconds from the intended instant: durable ack, result;"
        "\ngenerator lateness p99; cores used by dispatcher, worker, and others on this machine"
    )
    head = _COLUMNS.format(
        "offered", "answered", *names, *names, "late", "disp", "worker", "others", "codes"
    )
    print(head, flush=True)


def _print_seen(seen: Seen) -> None:
    acks, results = (
        [f"{quantile(samples, share):.1f}" for share in (0.5, 0.99, 0.999, 1)]
        for samples in (seen.acks, seen.results)
    )
    notes = " ".join(f"{code} {count}" for code, count in sorted(seen.codes.items()))
    if seen.missing_results:
        notes += f"; {seen.missing_results} results missing"
    if seen.is_void:
        notes += "; VOID: the generator was late"
    if seen.rows_per_commit:
        notes += f"; {seen.rows_per_commit:.1f} rows/commit"
    print(
        _COLUMNS.format(
            f"{seen.load.rate:,.0f}",
            f"{seen.answered_per_second:,.0f}",
            *acks,
            *results,
            f"{quantile(seen.lateness, 0.99):.2f}",
            f"{seen.cpu_shares['dispatcher']:.2f}",
            f"{seen.cpu_shares['worker']:.2f}",
            f"{seen.cpu_shares['others']:.2f}",
            notes,
        ),
        flush=True,
    )


async def _recovery(arguments: argparse.Namespace, details: dict[str, Any]) -> list[Figure]:
    lease = 1.0 if arguments.quick else _LEASE_SECONDS
    kill = partial(
        recovery.measure,
        number=signal.SIGKILL,
        rounds=arguments.kills,
        victims=1,
        patience=30.0,
    )
    with Rig() as rig:
        killed = await kill(rig)
    with Rig() as rig:
        at_once = await kill(rig, reconnect_grace_seconds=0)
    with Rig() as rig:
        frozen = await recovery.measure(
            rig,
            number=signal.SIGSTOP,
            rounds=1 if arguments.quick else 2,
            victims=2 if arguments.quick else 4,
            patience=lease + 30,
            lease_ttl_seconds=lease,
            heartbeat_interval_seconds=lease / 5,
        )
    details["recovery"] = {
        "killed_milliseconds": killed,
        "killed_without_grace_milliseconds": at_once,
        "frozen_milliseconds": frozen,
        "lease_seconds": lease,
    }
    print("\nfrom the signal until the jobs are leased to another worker, milliseconds")
    rows: list[tuple[str, ...]] = [("", "losses", "p50", "p99", "max")]
    for name, took in (
        ("kill -9, defaults", killed),
        ("kill -9, reconnect_grace_seconds: 0", at_once),
        (f"SIGSTOP, lease_ttl_seconds: {lease:g}", frozen),
    ):
        shares = (f"{quantile(took, share):,.1f}" for share in (0.5, 0.99, 1))
        rows.append((name, str(len(took)), *shares))
    print_rows(rows)
    return [
        Figure(KILLED, quantile(killed, 0.99)),
        Figure(FROZEN, frozen[-1] / 1e3 - lease),
    ]


async def _heartbeats(arguments: argparse.Namespace, details: dict[str, Any]) -> list[Figure]:
    interval = 0.1
    with Rig() as rig:
        found = await heartbeats.measure(
            rig,
            slots=os.cpu_count() or 1,
            interval=interval,
            seconds=2.0 if arguments.quick else 30.0,
        )
    late, control = found.lateness, found.control
    details["heartbeat_lateness_milliseconds"] = late
    details["heartbeat_control_milliseconds"] = control
    print(
        f"\nheartbeats every {interval * 1e3:.0f} ms while all cores search, and a bare timer"
        " beside them for comparison: late by milliseconds"
    )
    rows: list[tuple[str, ...]] = [("", "count", "p50", "p99", "max")]
    for name, took in (("heartbeats", late), ("bare timer", control)):
        shares = (f"{quantile(took, share):,.2f}" for share in (0.5, 0.99, 1))
        rows.append((name, str(len(took)), *shares))
    print_rows(rows)
    return [Figure(HEARTBEAT, quantile(late, 0.99))]
