"""How long things took in a recorded run: what its simulation is told. Pure."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.recording import Recording
from scaler.simulator.production import START_CALL_SECONDS

_LEAST_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Times:
    """In seconds."""

    lengths: tuple[float, ...]
    """Of each job, while it filled a slot."""
    waits: tuple[float, ...]
    """Of each job, from its acceptance until it filled a slot."""
    boots: tuple[float, ...]
    """From the decision to the worker's Hello."""
    boot_work: tuple[float, ...]
    """What of it a boot would take with a CPU of its own, after the simulator's start call."""
    shutdowns: tuple[float, ...]
    """From the power button to off, as the scaler saw it."""


def measured_times(recording: Recording) -> Times:
    """What the recording says."""
    begins = _begins(recording)
    jobs = recording.jobs
    ends = [max(_LEAST_SECONDS, job.done - at) for job, at in zip(jobs, begins, strict=True)]
    boots = _boots(recording)
    at_work = [(at, at + seconds) for at, seconds in zip(begins, ends, strict=True)]
    return Times(
        lengths=tuple(ends),
        waits=tuple(at - job.arrived for job, at in zip(jobs, begins, strict=True)),
        boots=tuple(hello - decided for decided, hello in boots),
        boot_work=tuple(_work([*at_work, *boots], recording.cores, *boot) for boot in boots),
        shutdowns=_shutdowns(recording),
    )


def _begins(recording: Recording) -> list[float]:
    """When each job began to fill a slot.

    A worker of one slot begins with a job when it is there, the one before it is done, and its
    session has begun. (That it was leased at once is assumed: a worker never stands idle beside a
    job that waits.)
    """
    begins = [0.0] * len(recording.jobs)
    free_at: dict[str, float] = {}
    order = sorted(range(len(recording.jobs)), key=lambda place: recording.jobs[place].done)
    for place in order:
        job = recording.jobs[place]
        sessions = [one for one in recording.hellos.get(job.worker, ()) if one <= job.done]
        free = free_at.get(job.worker, float("-inf"))
        begins[place] = max([job.arrived, free, *sessions[-1:]])
        free_at[job.worker] = job.done
    return begins


def _boots(recording: Recording) -> list[tuple[float, float]]:
    """(decision, Hello) of each start that ended with one."""
    found: list[tuple[float, float]] = []
    for moment, action in _actions(recording, "start"):
        later = _actions(recording, "start", action["domain"])
        until = min((one for one, _ in later if one > moment), default=float("inf"))
        sessions = recording.hellos.get(action["domain"], ())
        hello = next((one for one in sessions if moment < one < until), None)
        if hello is not None:
            found.append((moment, hello))
    return found


def _work(busy: Sequence[tuple[float, float]], cores: int, decided: float, hello: float) -> float:
    """Seconds of a CPU that a boot got: `busy` are the spans in which somebody asked for one."""
    begin = decided + START_CALL_SECONDS
    asked = [(start, end) for start, end in busy if start < hello and end > begin]
    moments = sorted({begin, hello, *(one for span in asked for one in span)})
    inside = [one for one in moments if begin <= one <= hello]
    work = 0.0
    for start, end in itertools.pairwise(inside):
        others = sum(one <= start < other for one, other in asked)
        work += (end - start) * min(1.0, cores / max(1, others))
    return max(_LEAST_SECONDS, work)


def _shutdowns(recording: Recording) -> tuple[float, ...]:
    found: list[float] = []
    for entry in recording.entries:
        if entry["type"] == "result" and entry["action"] == "shutdown":
            settled = _actions(recording, "settle", entry["domain"])
            off = next((moment for moment, _ in settled if moment > entry["time"]), None)
            if off is not None:
                found.append(off - entry["time"])
    return tuple(found)


def _actions(
    recording: Recording, kind: str, domain: str | None = None
) -> list[tuple[float, Mapping[str, Any]]]:
    return [
        (entry["time"], action)
        for entry in recording.entries
        if entry["type"] == "decision"
        for action in entry["actions"]
        if action["action"] == kind and domain in (None, action["domain"])
    ]
