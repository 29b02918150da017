"""One open-loop run against a fresh dispatcher: generators, a watcher, and what they saw."""

import json
import math
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

from bench.report import quantile
from bench.rig import DispatcherProcess, Rig, WorkerProcess, wait_for_workers, wait_until
from bench.usage import CpuMeter

MOST_LATENESS_MILLISECONDS = 1.0
"""Above this p99 a generator says more about itself than about the dispatcher."""
_RATE_PER_GENERATOR = 10_000.0
"""One process makes so many calls per second without being late, if the machine has room."""
_SETTLE_SECONDS = 20.0
_FINAL = ("done", "failed", "cancelled")


@dataclass(frozen=True)
class Load:
    """What is offered."""

    rate: float
    """Calls per second, one job each."""
    seconds: float
    warmup_seconds: float = 1.0
    """Offered before, at the same rate, and not counted."""
    deadline: float = 10.0
    """Of each call, in seconds."""
    seed: int = 1


@dataclass(frozen=True)
class Seen:
    """What came of a run. Latencies are ordered, in milliseconds from the intended instant."""

    load: Load
    codes: dict[str, int]
    refused_without_retry_info: int
    acks: list[float]
    acks_from_send: list[float]
    results: list[float]
    missing_results: int
    lateness: list[float]
    answered_per_second: float
    cpu_shares: dict[str, float]
    """Cores used by each process, and by the rest of the machine: `others`."""
    rows_per_commit: float | None

    @property
    def is_void(self) -> bool:
        """Whether the generator itself was too late to believe the latencies."""
        return not self.lateness or quantile(self.lateness, 0.99) > MOST_LATENESS_MILLISECONDS

    @property
    def is_sustained(self) -> bool:
        """Whether every call was accepted, every result came, and nothing piled up."""
        return (
            set(self.codes) == {"OK"}
            and self.missing_results == 0
            and quantile(self.acks, 0.99) <= 50
            and quantile(self.results, 0.99) <= 250
            and self.answered_per_second >= 0.95 * self.load.rate
        )

    def summary(self) -> dict[str, Any]:
        """Everything but the samples, for a program to read."""
        spread = {
            name: {
                "p50": quantile(samples, 0.5),
                "p99": quantile(samples, 0.99),
                "p99.9": quantile(samples, 0.999),
                "max": samples[-1] if samples else None,
            }
            for name, samples in (
                ("ack", self.acks),
                ("ack_from_send", self.acks_from_send),
                ("result", self.results),
                ("lateness", self.lateness),
            )
        }
        return {
            "rate": self.load.rate,
            "seconds": self.load.seconds,
            "codes": self.codes,
            "refused_without_retry_info": self.refused_without_retry_info,
            "missing_results": self.missing_results,
            "answered_per_second": self.answered_per_second,
            "is_void": self.is_void,
            "cpu_shares": self.cpu_shares,
            "rows_per_commit": self.rows_per_commit,
            "milliseconds": spread,
        }


def offer(load: Load, slots: int, prefetch: int | None, **settings: Any) -> Seen:
    """Starts a dispatcher and a worker, offers the load, and ends them."""
    with Rig() as rig:
        dispatcher = DispatcherProcess(rig, **settings)
        dispatcher.start()
        worker = WorkerProcess(rig, dispatcher.address, "bench-1", slots, prefetch)
        wait_for_workers(dispatcher, 1)
        return _offer(rig, dispatcher, worker, load)


def _offer(rig: Rig, dispatcher: DispatcherProcess, worker: WorkerProcess, load: Load) -> Seen:
    ready, stop, arrived = (rig.directory / name for name in ("ready", "stop", "arrived.json"))
    asked = {"address": dispatcher.address, "ready": str(ready), "stop": str(stop)}
    watcher = rig.python("watcher", "-m", "bench.watcher", json.dumps(asked), arrived)
    wait_until(lambda: ready.exists() or watcher.poll() is not None, "the watcher is live")
    before = dispatcher.rows_and_commits()
    watch = {"dispatcher": dispatcher.pid, "worker": worker.pid, "watcher": watcher.pid}
    counted_from, shares, rows = _generate(rig, dispatcher.address, watch, load)
    after = dispatcher.rows_and_commits()
    _settle(dispatcher)
    stop.touch()
    wait_until(lambda: watcher.poll() is not None, "the watcher ends")
    if watcher.returncode != 0:
        raise SystemExit(f"the watcher ended:\n{rig.tail('watcher')}")
    commits = (after[1] - before[1]) if before and after else 0
    return judge(
        load,
        [row for row in rows if row["due"] >= counted_from],
        json.loads(arrived.read_text()),
        shares,
        (after[0] - before[0]) / commits if before and after and commits else None,
    )


def _generate(
    rig: Rig, address: str, watch: dict[str, int], load: Load
) -> tuple[float, dict[str, float], list[dict[str, Any]]]:
    """Runs as many generators as the rate needs: Poisson processes add up to one.

    Returns the end of the warm-up, the cores that each process used, and a row per call.
    """
    count = math.ceil(load.rate / _RATE_PER_GENERATOR)
    seconds = load.warmup_seconds + load.seconds
    begin_at = time.monotonic() + 1.0 + 0.3 * count + 3e-5 * load.rate * seconds
    generators = []
    for number in range(count):
        asked = {
            "address": address,
            "rate": load.rate / count,
            "begin_at": begin_at,
            "seconds": seconds,
            "seed": load.seed * 1_000 + number,
            "start": number * 10_000_000,
            "deadline": load.deadline,
        }
        path = rig.directory / f"generator-{number}.json"
        name = f"generator-{number}"
        process = rig.python(name, "-m", "bench.generator", json.dumps(asked), path)
        generators.append((name, process, path))
    time.sleep(max(0.0, begin_at - time.monotonic()))
    meter = CpuMeter(watch)
    began = time.monotonic()
    rows: list[dict[str, Any]] = []
    generating = 0.0
    for name, process, path in generators:
        patience = seconds + load.deadline + 30
        wait_until(lambda process=process: process.poll() is not None, name, patience)  # type: ignore[misc]
        if process.returncode != 0:
            raise SystemExit(f"{name} failed:\n{rig.tail(name)}")
        found = json.loads(path.read_text())
        rows += found["rows"]
        generating += found["cpu_seconds"]
    took = time.monotonic() - began
    shares = {name: used / took for name, used in meter.seconds().items()}
    shares["generators"] = generating / took
    shares["others"] = max(0.0, (meter.others() - generating) / took)
    return begin_at + load.warmup_seconds, shares, rows


def _settle(dispatcher: DispatcherProcess) -> None:
    """Waits until every accepted job is final, or for some seconds: the rest counts as missing."""
    deadline = time.monotonic() + _SETTLE_SECONDS
    while time.monotonic() < deadline:
        samples = dispatcher.metrics()
        final = sum(samples[f'virtscale_dispatcher_jobs{{state="{state}"}}'] for state in _FINAL)
        if final >= samples["virtscale_dispatcher_jobs_accepted_total"]:
            time.sleep(0.3)  # the last results are on their way to the watcher
            return
        time.sleep(0.1)


def judge(
    load: Load,
    rows: list[dict[str, Any]],
    arrived: dict[str, float],
    shares: dict[str, float],
    rows_per_commit: float | None,
) -> Seen:
    """What the rows of the calls and the arrivals of the results come to."""
    accepted = [row for row in rows if row["code"] == "OK"]
    exhausted = [row for row in rows if row["code"] == "RESOURCE_EXHAUSTED"]
    came = [(row, arrived[row["job_id"]]) for row in accepted if row["job_id"] in arrived]
    last = max((row["answered"] for row in accepted), default=0.0)
    first = min((row["due"] for row in rows), default=0.0)
    return Seen(
        load=load,
        codes=dict(Counter(row["code"] for row in rows)),
        refused_without_retry_info=sum(not row["has_retry_info"] for row in exhausted),
        acks=sorted((row["answered"] - row["due"]) * 1e3 for row in accepted),
        acks_from_send=sorted((row["answered"] - row["sent"]) * 1e3 for row in accepted),
        results=sorted((at - row["due"]) * 1e3 for row, at in came),
        missing_results=len(accepted) - len(came),
        lateness=sorted((row["sent"] - row["due"]) * 1e3 for row in rows),
        answered_per_second=len(accepted) / max(last - first, 1e-9),
        cpu_shares=shares,
        rows_per_commit=rows_per_commit,
    )
