"""The figures of a run, and whether it went well."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stack.journal import Journal
from stack.run_record import RunRecord


@dataclass(frozen=True)
class Outcome:
    """What the end of the run found."""

    lost: int
    """Acknowledged jobs without a stored, verifying result."""
    duplicated: int
    domains_left_running: int
    stopped_early: bool
    """Interrupted: open jobs are durable and go on with the next run."""


@dataclass(frozen=True)
class Facts:
    """What the record and the journal cannot know. Durations in seconds since `up` began."""

    elapsed_seconds: float
    began_at: float
    services_cpu_seconds: Mapping[str, float]
    restarts: Mapping[str, int]
    own_cpu_seconds: float
    acceleration: str
    image_generation: str
    stop_reason: str


def build(journal: Journal, record: RunRecord, outcome: Outcome, facts: Facts) -> dict[str, Any]:
    """The summary as a JSON document."""
    first_start = record.starts[0].called_at if record.starts else None
    total_cpu = sum(facts.services_cpu_seconds.values())
    return {
        "submitted": journal.submitted,
        "completed": journal.completed,
        "failed": journal.failed,
        "lost": outcome.lost,
        "duplicated": outcome.duplicated,
        "peak_domains": record.peak_domains,
        "domains_left_running": outcome.domains_left_running,
        "first_scale_out_seconds": _rounded(
            record.first_scale_out_seconds(journal.first_queued_at)
        ),
        "scale_outs": record.scale_outs,
        "scale_ins": record.scale_ins,
        "elapsed_seconds": _rounded(facts.elapsed_seconds),
        "open": max(0, journal.submitted - journal.completed - journal.failed - outcome.lost),
        "stopped_early": outcome.stopped_early,
        "stop_reason": facts.stop_reason,
        "first_start_call_seconds": _since(facts.began_at, first_start),
        "first_result_seconds": _since(facts.began_at, journal.first_result_at),
        "first_result_unix_seconds": _rounded(journal.first_result_at),
        "start_to_hello_seconds": [
            _rounded(start.hello_seconds)
            for start in record.starts
            if start.hello_seconds is not None
        ],
        "domains_lost": record.lost_domains,
        "latency_p50_seconds": _rounded(journal.latency_seconds(0.5)),
        "latency_p99_seconds": _rounded(journal.latency_seconds(0.99)),
        "services_cpu_ratio": _rounded(total_cpu / max(facts.elapsed_seconds, 1e-9)),
        "services_cpu_ratio_two_busy": _rounded(record.two_busy_cpu_ratio),
        "services_cpu_seconds": {
            name: _rounded(seconds) for name, seconds in facts.services_cpu_seconds.items()
        },
        "up_cpu_seconds": _rounded(facts.own_cpu_seconds),
        "service_restarts": {name: count for name, count in facts.restarts.items() if count},
        "acceleration": facts.acceleration,
        "image_generation": facts.image_generation,
    }


class SummaryFile:
    """Opened before privileges are dropped: its directory may be the caller's alone."""

    def __init__(self, path: str) -> None:
        """Opens the file without emptying it: a refused start must not cost an old summary."""
        self.path = path
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def write(self, document: dict[str, Any]) -> None:
        """Replaces the file's content."""
        data = (json.dumps(document, indent=2) + "\n").encode()
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, data, 0)
        os.fsync(self._descriptor)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _since(began_at: float, at: float | None) -> float | None:
    return None if at is None else round(max(0.0, at - began_at), 3)


def is_good(document: dict[str, Any]) -> bool:
    """Nothing lost, nothing stored twice, nothing left running; open jobs only when interrupted."""
    is_finished = document["submitted"] == document["completed"] + document["failed"]
    return bool(
        document["lost"] == 0
        and document["duplicated"] == 0
        and document["domains_left_running"] == 0
        and (is_finished or document["stopped_early"])
    )


def sentence(document: dict[str, Any]) -> str:
    """The figures for a person."""
    text = (
        f"{document['submitted']} jobs submitted, {document['completed']} completed, "
        f"{document['failed']} failed, {document['lost']} lost, "
        f"{document['duplicated']} duplicated; {document['scale_outs']} scale-outs, "
        f"{document['scale_ins']} scale-ins, at most {document['peak_domains']} domains, "
        f"{document['domains_left_running']} left running; {document['elapsed_seconds']:.0f} s"
    )
    if document["open"]:
        text += f"; {document['open']} jobs are stored and go on with the next run"
    return text
