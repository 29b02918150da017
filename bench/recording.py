"""A run of the real stack, as it was: jobs, domains that served, boots and shutdowns.

Times are seconds into the trace. A recording is plain JSON, so that it can be judged again.
"""

import contextlib
import json
import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

import grpc
from virtscale.v1 import fleet_pb2, job_pb2

from bench.live_stack import LiveStack, busy_job, until
from bench.numbers import check_answers, number_at
from scaler import policy_file
from scaler.config import ScalerConfig
from scaler.simulator.traces import Trace
from scaler.simulator.workload import Workload
from servicekit import config as configuration

_LOOK_SECONDS = 0.2
_LONGEST_END_SECONDS = 300.0
_SETTLE_SECONDS = 60.0
"""The pool at its minimum before the trace: longer than any window of the default rules."""
_SAME_SESSION_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Served:
    """One job."""

    arrived: float
    done: float
    worker: str
    service_seconds: float
    """CPU time inside the guest, as its worker told."""
    attempts: int


@dataclass(frozen=True, slots=True)
class Seen:
    """The pool from a moment on."""

    moment: float
    ready: int
    """Domains whose worker takes jobs: the supply."""
    active: int
    desired: int


@dataclass(frozen=True)
class Recording:
    """Everything that a simulation of the same run needs, and what really came of it."""

    trace: Trace
    jobs: tuple[Served, ...]
    course: tuple[Seen, ...]
    hellos: Mapping[str, tuple[float, ...]]
    """Begins of the workers' sessions, by domain."""
    entries: tuple[Mapping[str, Any], ...]
    """Actions and their results, from the scaler's decision log, with `time` into the trace."""
    config: Mapping[str, Any]
    """What the scaler decided by."""
    cores: int
    """CPUs of the host."""

    @property
    def settings(self) -> ScalerConfig:
        """The configuration of the scaler that ran."""
        return configuration.check(ScalerConfig, dict(self.config), source="the recording")

    def as_dict(self) -> dict[str, Any]:
        """As plain data."""
        values: dict[str, Any] = {
            one.name: getattr(self, one.name) for one in fields(self) if one.name != "trace"
        }
        for name in ("jobs", "course"):
            values[name] = [asdict(each) for each in values[name]]
        return {"trace": asdict(self.trace), **values}

    @classmethod
    def read(cls, path: Path) -> Self:
        """From a file that `bench fidelity --json` wrote.

        Raises:
            SystemExit: it holds none.

        """
        try:
            return cls.of(json.loads(path.read_text(encoding="utf-8"))["recording"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SystemExit(f"{path} holds no recording of this benchmark: {error!r}") from None

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """From plain data."""
        trace = values["trace"]
        steps = {name: tuple(trace[name]) for name in ("moments", "rates", "jumps")}
        return cls(
            trace=Trace(**{**trace, **steps}),
            jobs=tuple(Served(**each) for each in values["jobs"]),
            course=tuple(Seen(**each) for each in values["course"]),
            hellos={name: tuple(each) for name, each in values["hellos"].items()},
            entries=tuple(values["entries"]),
            config=values["config"],
            cores=values["cores"],
        )


class _Watcher:
    """Looks at the pool several times a second and keeps what changed."""

    def __init__(self, stack: LiveStack) -> None:
        self._stack = stack
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.seen: list[Seen] = []
        self.hellos: dict[str, list[float]] = {}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(_LOOK_SECONDS):
            with contextlib.suppress(OSError, grpc.RpcError):
                self._look()

    def _look(self) -> None:
        now, workers = time.time(), self._stack.workers()
        status = self._stack.status()
        ready = sum(one.state == fleet_pb2.WORKER_STATE_READY for one in workers.values())
        for name, worker in workers.items():
            if worker.HasField("connected_at"):
                self._keep_hello(name, _seconds(worker.connected_at))
        found = Seen(now, ready, status["active"], status["desired"])
        last = self.seen[-1] if self.seen else None
        if last is None or (last.ready, last.active, last.desired) != (
            *(found.ready, found.active, found.desired),
        ):
            self.seen.append(found)

    def _keep_hello(self, name: str, moment: float) -> None:
        # Told as an age, so the same session begins a little differently each time.
        known = self.hellos.setdefault(name, [])
        if not known or moment - known[-1] > _SAME_SESSION_SECONDS:
            known.append(moment)


def record(stack: LiveStack, workload: Workload) -> Recording:
    """Submits the jobs at their moments and returns what happened.

    Raises:
        SystemExit: a job was lost, done twice or wrongly.

    """
    config = configuration.load(
        ScalerConfig, path=stack.scaler_config, environ={}, prefix="", flags={}
    )
    config = policy_file.effective(config)

    def is_at_rest() -> bool:
        status = stack.status()
        return bool(status["ready"] == status["active"] == config.min)

    until("the pool is at its minimum", is_at_rest, 300, every=0.5)
    with _Watcher(stack) as watcher:
        time.sleep(_SETTLE_SECONDS)
        start = time.time()
        ids = _submit(stack, workload, start)
        _wait(stack, ids)
        end = start + workload.trace.length_seconds
        time.sleep(max(0.0, end - time.time()))
    jobs = stack.jobs(ids)
    check_answers(
        (number_at(index), jobs[job_id].result.hash)
        for index, job_id in enumerate(ids)
        if job_id in jobs
    )
    served = [_served(jobs[job_id], start) for job_id in ids if job_id in jobs]
    if len(served) != len(ids):
        raise SystemExit(f"{len(ids) - len(served)} accepted jobs are gone: the run does not count")
    return Recording(
        trace=workload.trace,
        jobs=tuple(served),
        course=_course(watcher.seen, start),
        hellos={
            name: tuple(round(one - start, 3) for one in each)
            for name, each in watcher.hellos.items()
        },
        entries=tuple(_short(stack.entries(start), start)),
        config=config.model_dump(mode="json", by_alias=True),
        cores=len(os.sched_getaffinity(0)),
    )


def _submit(stack: LiveStack, workload: Workload, start: float) -> list[str]:
    ids: list[str] = []
    moments = zip(workload.arrivals, workload.lengths, strict=True)
    for index, (moment, seconds) in enumerate(moments):
        time.sleep(max(0.0, start + moment - time.time()))
        ids += stack.submit([busy_job(number_at(index), seconds)])
    return ids


def _wait(stack: LiveStack, ids: Sequence[str]) -> None:
    def are_done() -> bool:
        return all(
            job.state in (job_pb2.JOB_STATE_DONE, job_pb2.JOB_STATE_FAILED)
            for job in stack.jobs(ids).values()
        )

    until("every job is final", are_done, _LONGEST_END_SECONDS, every=2.0)


def _served(job: job_pb2.Job, start: float) -> Served:
    if job.state != job_pb2.JOB_STATE_DONE:
        raise SystemExit(f"a job failed: {job.failure.message}; the run does not count")
    result = job.result
    return Served(
        arrived=round(_seconds(job.accepted_at) - start, 4),
        done=round(_seconds(result.completed_at) - start, 4),
        worker=result.worker_id,
        service_seconds=round(_seconds(result.service_time), 4),
        attempts=job.attempts,
    )


def _seconds(moment: Any) -> float:
    return float(moment.seconds + moment.nanos / 1e9)


def _course(seen: Sequence[Seen], start: float) -> tuple[Seen, ...]:
    """What was seen since the trace began, as steps; the first is what held then."""
    shifted = [
        Seen(round(one.moment - start, 3), one.ready, one.active, one.desired) for one in seen
    ]
    before = [one for one in shifted if one.moment <= 0][-1:]
    first = [Seen(0.0, one.ready, one.active, one.desired) for one in before]
    return tuple([*first, *(one for one in shifted if one.moment > 0)])


def _short(entries: Sequence[Mapping[str, Any]], start: float) -> list[Mapping[str, Any]]:
    """What was done and how it ended, and what held the capacity; times into the trace."""
    found: list[Mapping[str, Any]] = []
    for entry in entries:
        moment = round(entry["time"] - start, 3)
        if entry["type"] == "result":
            found.append({**entry, "time": moment})
        elif entry["type"] == "decision":
            kept = {name: entry[name] for name in ("type", "reason", "desired", "actions", "steps")}
            found.append({**kept, "time": moment, "limits": entry["limits"]})
    return found
