"""No job is lost or run twice because real guests are scaled in while they work.

Pulses of jobs, on a policy that looks at the queue alone: it wants domains while jobs wait, and
none of them when the last one has begun. So scale-ins meet domains with a job in their hands.
"""

import argparse
import contextlib
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from virtscale.v1 import fleet_pb2, job_pb2

from bench.live_stack import LiveStack, busy_job, running_stack, until
from bench.numbers import is_hash_of, number_at
from bench.report import Figure, Goal, print_figures, print_rows, write_json

_JOB_SECONDS = 2.0
_FEED_SECONDS = 0.3
_SPARE = 2
"""Jobs that wait beyond one for each domain, so that a scrape seldom finds too few."""
_PULSE_SECONDS = 180.0
_END_SECONDS = 180.0
_FLUSH_SECONDS = 6.0
"""The decision store is written a little behind."""
_UNFINISHED = ("ready", "leased")
_REQUEUED = 'virtscale_dispatcher_requeued_total{reason="'
_HARMLESS = ("released", "not_received")
"""Why a lease's job may go back without anybody having begun it."""
POLICIES = """\
# Domains for the jobs that wait; those at work count for nothing.
policies:
  - kind: target
    name: queue
    measure: total
    target: 1
    signal:
      query: >-
        sum(virtscale_dispatcher_jobs{state="ready"})
        + on () sum(virtscale_dispatcher_prefetched_jobs)
      freshness: max(timestamp(virtscale_dispatcher_jobs_accepted_total))
scale_out: {window_seconds: 0, cooldown_seconds: 0, step: 100}
scale_in: {window_seconds: 1, cooldown_seconds: 0, step: 100}
"""


@dataclass
class ScaleIns:
    """What the scaler's decision log tells of its scale-ins."""

    begun: int = 0
    """Domains drained because they were too many."""
    finished: int = 0
    """Of those, shut down."""
    at_work: int = 0
    """Of those, with a job in their hands when it was decided."""
    returned: int = 0
    """Taken back because the demand came back."""
    refused: int = 0
    """The worker had become busier than decided upon."""
    held: Counter[int] = field(default_factory=Counter)
    """Finished ones, by leases of the domain when it was decided."""


def count_scale_ins(entries: Sequence[Mapping[str, Any]]) -> ScaleIns:
    """Counts in entries of the decision log, the oldest first."""
    found = ScaleIns()
    draining: dict[str, int] = {}
    for entry in entries:
        if entry["type"] == "result":
            is_refused = entry["action"] == "drain" and entry["outcome"] == "refused"
            if is_refused and draining.pop(entry["domain"], None) is not None:
                found.refused += 1
            continue
        for action in entry.get("actions", ()):
            name = action["domain"]
            if action["action"] == "drain" and action["reason"] == "scale_in":
                found.begun += 1
                draining[name] = _leases(entry, name)
            elif action["action"] == "cancel_drain" and draining.pop(name, None) is not None:
                found.returned += 1
            elif action["action"] == "shutdown" and name in draining:
                leases = draining.pop(name)
                found.finished += 1
                found.at_work += leases > 0
                found.held[leases] += 1
    return found


def _leases(entry: Mapping[str, Any], name: str) -> int:
    """What the domain's worker held when it was decided."""
    workers = (entry.get("inputs") or {}).get("workers") or ()
    return next((int(one["leases"]) for one in workers if one["id"] == name), 0)


@dataclass(frozen=True)
class Account:
    """What became of the jobs."""

    accepted: int
    lost: int
    """Not done, or gone."""
    wrong: int
    """Done, with a hash that is not the number's."""
    attempts: Mapping[str, int]
    """Failed attempts by cause."""
    requeued: Mapping[str, int]
    """Leases whose job went back, by reason."""

    @property
    def run_twice(self) -> int:
        """Jobs that may have been begun more than once."""
        back = sum(count for why, count in self.requeued.items() if why not in _HARMLESS)
        return max(back, sum(self.attempts.values()))


def take_account(
    numbers: Mapping[str, str], jobs: Mapping[str, job_pb2.Job], requeued: Mapping[str, int]
) -> Account:
    """Of the numbers by their job's id, and what the dispatcher says of them."""
    attempts: Counter[str] = Counter()
    lost = wrong = 0
    for job_id, number in numbers.items():
        job = jobs.get(job_id)
        if job is None or job.state != job_pb2.JOB_STATE_DONE:
            lost += 1
        elif not is_hash_of(job.result.hash, number):
            wrong += 1
        if job is not None:
            for one in job.attempt_history:
                name = job_pb2.AttemptCause.Name(one.cause)
                attempts[name.removeprefix("ATTEMPT_CAUSE_").lower()] += 1
    return Account(len(numbers), lost, wrong, attempts, requeued)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the benchmark's flags."""
    parser.add_argument(
        "--scale-ins", type=int, default=100, help="with a job in hand (default 100)"
    )
    parser.add_argument("--max", type=int, default=4, help="domains at most (default 4)")
    parser.add_argument("--seed", type=int, default=1, help="of lengths and pauses (default 1)")
    parser.add_argument("--state", type=Path, help="the stack's state directory")
    parser.add_argument("--json", type=Path, help="also write the counts to this file")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Scales in so often; 1 when a job was lost, run twice or hashed wrongly."""
    random = Random(arguments.seed)
    with _policies_file() as path:
        flags = ("--min", "1", "--max", str(arguments.max), "--policies-file", str(path))
        with running_stack(arguments.state, *flags) as stack:
            pulses = _Pulses(stack, arguments.max, random)
            scale_ins = pulses.run(arguments.scale_ins)
            account = pulses.account()
    rows = [("scale-ins by the scaler's decision log", "")]
    rows += [
        ("begun", f"{scale_ins.begun}"),
        ("finished: drained and shut down", f"{scale_ins.finished}"),
        ("taken back, the demand returned", f"{scale_ins.returned}"),
        ("refused, the worker had become busier", f"{scale_ins.refused}"),
    ]
    rows += [
        (f"finished, of a domain with {leases} leases", f"{count}")
        for leases, count in sorted(scale_ins.held.items())
    ]
    rows += [(f"leases given back: {why}", f"{count}") for why, count in account.requeued.items()]
    rows += [(f"failed attempts: {why}", f"{count}") for why, count in account.attempts.items()]
    print_rows(rows)
    figures = [
        Figure(
            Goal("scale-ins of domains at work", "", float(arguments.scale_ins), None, True),
            scale_ins.at_work,
        ),
        Figure(Goal("jobs", "", None, None), account.accepted),
        Figure(Goal("jobs lost", "", 0.0, None), account.lost),
        Figure(Goal("jobs run twice", "", 0.0, None), account.run_twice),
        Figure(Goal("wrong hashes", "", 0.0, None), account.wrong),
    ]
    is_reached = print_figures(figures)
    details = {
        "scale_ins": {**vars(scale_ins), "held": dict(scale_ins.held)},
        "requeued": dict(account.requeued),
        "attempts": dict(account.attempts),
    }
    write_json(arguments.json, figures, details)
    return 0 if is_reached else 1


@contextlib.contextmanager
def _policies_file() -> Iterator[Path]:
    """A copy that the stack's own user may read, too."""
    with tempfile.TemporaryDirectory(prefix="virtscale-bench-") as folder:
        Path(folder).chmod(0o755)
        path = Path(folder) / "policies.yaml"
        path.write_text(POLICIES)
        path.chmod(0o644)
        yield path


class _Pulses:
    """Jobs until every domain works, then none until the pool has shrunk."""

    def __init__(self, stack: LiveStack, most: int, random: Random) -> None:
        self._stack = stack
        self._most = most
        self._random = random
        self._numbers: dict[str, str] = {}
        self._began = time.time()
        self._requeued = _requeued(stack.dispatcher_metrics())

    def run(self, wanted: int) -> ScaleIns:
        """Pulses until so many domains at work were scaled in."""
        told = 0
        while True:
            self._pulse()
            found = count_scale_ins(self._stack.decisions(self._began))
            if found.at_work >= told + 10 or found.at_work >= wanted:
                told = found.at_work
                minutes = (time.time() - self._began) / 60
                print(
                    f"{told} scale-ins at work, {len(self._numbers)} jobs, {minutes:.1f} min",
                    flush=True,
                )
            if found.at_work >= wanted:
                until("the pool is at rest", self._is_at_rest, _END_SECONDS, every=0.5)
                time.sleep(_FLUSH_SECONDS)
                return count_scale_ins(self._stack.decisions(self._began))

    def _is_at_rest(self) -> bool:
        """Every job is final and all domains but one are off."""
        samples = self._stack.dispatcher_metrics()
        held = sum(samples[f'virtscale_dispatcher_jobs{{state="{one}"}}'] for one in _UNFINISHED)
        return held == 0 and self._stack.status()["active"] == 1

    def account(self) -> Account:
        """What became of every job."""
        jobs = self._stack.jobs([*self._numbers])
        after = _requeued(self._stack.dispatcher_metrics())
        return take_account(self._numbers, jobs, after - self._requeued)

    def _pulse(self) -> None:
        """Feeds until all domains work; then the queue runs dry and the pool shrinks."""
        end = time.monotonic() + _PULSE_SECONDS
        while time.monotonic() < end:
            workers = self._stack.workers().values()
            ready = [one for one in workers if one.state == fleet_pb2.WORKER_STATE_READY]
            if len(ready) == self._most and all(one.leases for one in ready):
                break
            waiting = self._waiting()
            if waiting < self._most + _SPARE:
                self._submit(self._most + _SPARE - waiting)
            time.sleep(_FEED_SECONDS)
        else:
            raise SystemExit(f"not within {_PULSE_SECONDS:.0f} s: {self._most} domains at work")
        self._drain()
        # Now and then the next pulse meets domains that drain, that shut down, or a pool at rest.
        time.sleep(self._random.uniform(0.0, 5.0))

    def _drain(self) -> None:
        """Returns when a domain is being drained or none is too many."""

        def has_begun() -> bool:
            return bool(self._stack.status()["desired"] == 1)

        until("the pool is too large", has_begun, _END_SECONDS, every=0.3)

    def _waiting(self) -> int:
        samples = self._stack.dispatcher_metrics()
        ready = samples['virtscale_dispatcher_jobs{state="ready"}']
        return int(ready + samples["virtscale_dispatcher_prefetched_jobs"])

    def _submit(self, count: int) -> None:
        first = len(self._numbers)
        numbers = [number_at(first + place) for place in range(count)]
        lengths = [self._random.uniform(0.5, 1.5) * _JOB_SECONDS for _ in numbers]
        ids = self._stack.submit(list(map(busy_job, numbers, lengths)))
        self._numbers.update(zip(ids, numbers, strict=True))


def _requeued(samples: Mapping[str, float]) -> Counter[str]:
    return Counter(
        {
            name.removeprefix(_REQUEUED).partition('"')[0]: int(value)
            for name, value in samples.items()
            if name.startswith(_REQUEUED)
        }
    )
