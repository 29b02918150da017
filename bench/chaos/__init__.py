"""Proof of no loss: a real dispatcher and real workers under random faults, judged from outside.

The judge (`bench.chaos.book`, `bench.chaos.wire`) shares no code with what it judges: it knows the
wire contract virtscale.v1, the hash formats and, at the very end, the SQLite file.
"""

import argparse
import asyncio
import json
import secrets
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the flags of `python -m bench chaos`."""
    add = parser.add_argument
    add("--jobs", type=int, default=1_000_000, help="jobs to submit (default 1,000,000)")
    add("--faults", type=int, default=1000, help="faults to do meanwhile (default 1,000)")
    add("--seed", type=int, help="repeats the schedule of faults of a run (default: random)")
    add("--seconds", type=float, help="length of the faulty phase (default 0.35 s per fault)")
    add("--workers", type=int, default=3, help="worker processes (default 3)")
    add("--only", action="append", default=[], metavar="KIND", help="only this kind; repeatable")
    add("--keep", type=Path, metavar="DIR", help="leave logs there")
    add("--json", type=Path, metavar="FILE", help="also write the figures to this file")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs, prints the table; 1 when a promise was broken."""
    from bench.chaos import report
    from bench.chaos.run import Plan, chaos

    seed = secrets.randbelow(1_000_000) if arguments.seed is None else arguments.seed
    print(f"chaos --seed {seed}", flush=True)
    plan = Plan(
        jobs=arguments.jobs,
        faults=arguments.faults,
        seed=seed,
        seconds=arguments.seconds or arguments.faults * 0.35,
        workers=arguments.workers,
        kinds=arguments.only,
        keep=arguments.keep,
    )
    try:
        found = report.figures(asyncio.run(chaos(plan)))
    except asyncio.CancelledError:
        return 130
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")
    print(report.text(found))
    return 0 if found["passed"] else 1
