"""How long from the decision to scale out to the first job on the new domain, by tier.

Real guests in the real stack: one domain serves, a second waits in the tier that is measured. A
burst of jobs calls for it; when the burst is done the scaler scales in, and the next wake begins
once the second domain is back where it was.
"""

import argparse
import contextlib
import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from virtscale.v1 import job_pb2

from bench.live_stack import LiveStack, busy_job, running_stack, until
from bench.report import quantile

TIERS = ("paused", "saved", "cold")
LIMITS = {"paused": 0.25, "saved": 2.0, "cold": 6.5}
"""Seconds from the decision to the first lease on the new domain, at the 95th percentile."""
_ACTIONS = {"paused": "resume", "saved": "restore", "cold": "start"}
_WAITING = {"paused": "standby_paused", "saved": "standby_saved", "cold": "off"}
_POLL_SECONDS = 0.002
_JOBS = {"paused": 12, "saved": 24, "cold": 36}
"""More than one domain does until the second is there, also on a busy machine."""
_JOB_SECONDS = 1.5
_FROZEN_SECONDS = {"paused": 15.0, "saved": 4.0, "cold": 0.0}
"""How long a domain has waited at least. A paused one keeps its connection: past the lease time."""
_SOON_IN = "scale_in: {window_seconds: 5, cooldown_seconds: 1}\n"
"""Shortens the way back to where the next wake begins, which is not measured."""


@dataclass
class _Wake:
    """Moments of one scale-out, as seconds after its decision."""

    submitted: float
    acted: float
    hello: float
    leased: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the flags of a measurement by tier."""
    parser.add_argument(
        "--tier", choices=TIERS, help="decision to first lease with a domain waiting in this tier"
    )
    parser.add_argument("--wakes", type=int, default=20, help="with --tier: wakes (default 20)")
    parser.add_argument("--state", type=Path, help="with --tier: the stack's state directory")


def run(arguments: argparse.Namespace) -> int:
    """Measures one tier and prints the figures; 1 when its limit is missed."""
    tier: str = arguments.tier
    wakes: list[_Wake] = []
    with _running_stack(tier, arguments.state) as stack:
        for turn in range(arguments.wakes):
            wakes.append(_one_wake(stack, tier, turn))
            print(_line(turn, wakes[-1]), flush=True)
    figures = {
        "first job queued to decision, s": [-one.submitted for one in wakes],
        "decision to libvirt's answer, s": [one.acted for one in wakes],
        "decision to Hello, s": [one.hello for one in wakes if one.hello > 0],
        f"decision to first lease, {tier}, s": [one.leased for one in wakes],
        "first job queued to first lease, s": [one.leased - one.submitted for one in wakes],
    }
    print(f"{'figure':38} {'p50':>7} {'p95':>7} {'max':>7}   n")
    for name, values in figures.items():
        if values:
            p50, p95 = quantile(sorted(values), 0.5), quantile(sorted(values), 0.95)
            print(f"{name:38} {p50:7.3f} {p95:7.3f} {max(values):7.3f} {len(values):3}")
    if arguments.json:
        arguments.json.write_text(json.dumps({"tier": tier, **figures}, indent=2))
    reached = quantile(sorted(one.leased for one in wakes), 0.95)
    print(f"limit {LIMITS[tier]} s at p95: {'held' if reached <= LIMITS[tier] else 'MISSED'}")
    return 0 if reached <= LIMITS[tier] else 1


def _line(turn: int, wake: _Wake) -> str:
    return (
        f"wake {turn + 1}: queued {wake.submitted:+.3f} s, libvirt {wake.acted:+.3f} s, "
        f"Hello {wake.hello:+.3f} s, lease {wake.leased:+.3f} s"
    )


def _one_wake(stack: LiveStack, tier: str, turn: int) -> _Wake:
    def waiting() -> str | None:
        states = _states(stack)
        spare = [name for name, state in states.items() if state == _WAITING[tier]]
        serving = [name for name, state in states.items() if state == "ready"]
        return spare[0] if len(spare) == 1 and len(serving) == 1 else None

    until("a domain serves and another waits", waiting, 180, every=0.5)
    # Not in the moment it was frozen: what goes wrong only later must be able to go wrong here.
    time.sleep(_FROZEN_SECONDS[tier])
    name = until("a domain serves and another waits", waiting, 180, every=0.5)
    submitted = time.time()
    stack.submit(_burst(turn, _JOBS[tier]))

    def leased() -> float | None:
        worker = stack.workers().get(name)
        return time.time() if worker is not None and worker.leases else None

    at = until(f"{name} gets a job", leased, 60, every=_POLL_SECONDS)
    connected = stack.workers()[name].connected_at
    return _moments(stack, name, tier, submitted, at, connected.seconds + connected.nanos / 1e9)


def _moments(
    stack: LiveStack, name: str, tier: str, submitted: float, leased: float, hello: float
) -> _Wake:
    kind = _ACTIONS[tier]

    def entries() -> list[dict[str, Any]] | None:
        found = stack.entries(submitted)
        done = [one for one in found if one.get("domain") == name and one.get("action") == kind]
        return found if done else None

    found = until(f"{kind} {name} is in the decision log", entries, 30, every=0.1)
    decided = next(
        one["time"]
        for one in found
        if any((each["domain"], each["action"]) == (name, kind) for each in one.get("actions", ()))
    )
    acted = next(one["time"] for one in found if one.get("action") == kind)
    return _Wake(submitted - decided, acted - decided, hello - decided, leased - decided)


def _states(stack: LiveStack) -> dict[str, str]:
    return {domain["name"]: domain["state"] for domain in stack.status()["domains"]}


def _burst(turn: int, count: int) -> list[job_pb2.JobSpec]:
    numbers = (f"KA-{1 + turn % 99:02d}-UT-{1 + index:04d}" for index in range(count))
    return [busy_job(number, _JOB_SECONDS) for number in numbers]


@contextlib.contextmanager
def _running_stack(tier: str, state: Path | None) -> Iterator[LiveStack]:
    """`./run` with two domains, one of them in the tier."""
    flags = ["--min", "1", "--max", "2"]
    if tier != "cold":
        flags += [f"--standby-{tier}", "1"]
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as policies:
        policies.write(_SOON_IN)
        policies.flush()
        # The stack may run as another user.
        Path(policies.name).chmod(0o644)
        with running_stack(state, *flags, "--policies-file", policies.name) as stack:
            yield stack
