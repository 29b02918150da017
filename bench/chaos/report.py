"""The table at the end of a run, and the same as JSON."""

import statistics
from typing import Any

from bench.chaos.run import Outcome


def figures(outcome: Outcome) -> dict[str, Any]:
    """Everything measured, for a program."""
    book, faults = outcome.book, outcome.faults
    requeued = dict(sorted(outcome.client.requeued.items()))
    finals = max(1, len(book.finals))
    return {
        "passed": outcome.is_passed,
        "seed": outcome.plan.seed,
        "jobs": len(book.ids),
        "faults": sum(faults.done.values()),
        "seconds": round(outcome.seconds, 1),
        "settle_seconds": round(outcome.settle_seconds, 1),
        "lost": book.broken["acknowledged and missing"] + book.broken["never finished"],
        "stored_twice": book.broken["result shown twice"] + book.broken["final state changed"],
        "broken": dict(book.broken),
        "examples": book.examples,
        "outcomes": dict(book.outcomes()),
        "faults_by_kind": dict(sorted(faults.done.items())),
        "faults_without_effect": dict(sorted(faults.missed.items())),
        "leases_given_back": requeued,
        "executions_per_job": round(1 + sum(requeued.values()) / finals, 4),
        "recovery_seconds": {
            kind: {
                "times": len(found),
                "p50": round(statistics.median(found), 3),
                "p99": round(_quantile(found, 0.99), 3),
            }
            for kind, found in sorted(faults.recoveries.items())
        },
        "answers": dict(sorted(faults.answers.items())),
        "client_codes": dict(sorted(outcome.client.codes.items())),
        "scrapes": book.scrapes,
        "scrapes_failed": outcome.client.failed_scrapes,
        "dispatcher_starts": outcome.dispatcher.starts,
        "dispatcher_starts_failed": outcome.dispatcher.failed_starts,
        "worker_starts": outcome.worker_starts,
        "remarks": outcome.remarks,
    }


def text(found: dict[str, Any]) -> str:
    """The same for a person."""
    lines = [
        f"seed {found['seed']}: {found['jobs']:,} jobs, {found['faults']} faults in "
        f"{found['seconds']:g} s, settled {found['settle_seconds']:g} s after the last fault",
        "",
        "faults          " + _pairs(found["faults_by_kind"]),
    ]
    if found["faults_without_effect"]:
        lines.append("met nothing     " + _pairs(found["faults_without_effect"]))
    lines += [
        "jobs            " + _pairs(found["outcomes"]),
        "given back      " + _pairs(found["leases_given_back"]),
        f"executions/job  {found['executions_per_job']:g} (1 + leases given back per job)",
        f"scrapes         {found['scrapes']} added up or are told below; "
        f"{found['scrapes_failed']} without an answer",
        f"starts          dispatcher {found['dispatcher_starts']} "
        f"({found['dispatcher_starts_failed']} failed), workers {found['worker_starts']}",
        "answers         " + _pairs(found["answers"]),
        "client saw      " + _pairs(found["client_codes"]),
        "recovery, s     "
        + "; ".join(_recovery(*each) for each in found["recovery_seconds"].items()),
    ]
    lines += [f"REMARK          {remark}" for remark in found["remarks"]]
    lines += [f"BROKEN          {what}: {times}" for what, times in found["broken"].items()]
    lines += [f"  {example}" for example in found["examples"]]
    verdict = "PASS" if found["passed"] else "FAIL"
    lines += [
        "",
        f"{verdict}: {found['lost']} lost, {found['stored_twice']} stored twice, "
        f"{sum(found['broken'].values())} promises broken (--seed {found['seed']})",
    ]
    return "\n".join(lines)


def _pairs(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items()) or "none"


def _recovery(kind: str, found: dict[str, float]) -> str:
    return f"{kind} p50 {found['p50']:g} p99 {found['p99']:g} of {found['times']:g}"


def _quantile(values: list[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]
