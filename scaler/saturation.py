"""Recognises scale-outs that do not help, because the host has no CPU time left to give. Pure.

More domains on a saturated host share what there is: each job takes longer, none is done sooner.
Whether that is so is seen afterwards: a scale-out is useless when the throughput has not risen by a
fair part of the growth in domains, while the domains wait for the host's CPUs.
"""

from dataclasses import dataclass, replace

from scaler.pool import PoolView
from scaler.readings import Reading, usable_value
from scaler.reasons import Reason
from scaler.stabilization import Stabilised, Step

HOST_PRESSURE = "host_pressure"
THROUGHPUT = "throughput"


@dataclass(frozen=True, slots=True)
class SaturationSettings:
    """When a scale-out counts as useless. Times in seconds."""

    pressure_ratio: float = 0.2
    """Share of the time in which runnable work waits for a CPU, 0 to 1; from here on saturated."""
    gain_ratio: float = 0.25
    """Least growth of the throughput, relative to that of the domains, that is worth it."""
    settle_seconds: float = 40.0
    """From the last new domain's Hello to the judgement: what the throughput is averaged over."""
    retry_seconds: float = 300.0
    """So long is scaling out withheld; then one more may show whether it helps now."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """The pool before it grew."""

    ready: int
    throughput: float


@dataclass(frozen=True, slots=True)
class Withheld:
    """A verdict: more than `cap` domains are of no use."""

    cap: int
    since: float


@dataclass(frozen=True, slots=True)
class Saturation:
    """What is remembered from turn to turn. Lost at a restart: the next scale-out is judged."""

    ready: int = 0
    ready_since: float | None = None
    throughput: float | None = None
    """Last known while as many domains were ready."""
    baseline: Baseline | None = None
    """A growth that is not judged yet started here."""
    withheld: Withheld | None = None


def observe(
    settings: SaturationSettings,
    memory: Saturation,
    pool: PoolView,
    pressure: Reading | None,
    throughput: Reading | None,
    now: float,
) -> Saturation:
    """The memory after a turn. Without both signals nothing is judged and nothing withheld."""
    waiting = None if pressure is None else usable_value(pressure)
    done = None if throughput is None else usable_value(throughput)
    memory = _follow(memory, pool, now)
    if waiting is None:
        return replace(memory, withheld=None, baseline=None, throughput=done)
    if _is_over(settings, memory, waiting, now):
        memory = replace(memory, withheld=None)
    if done is None:
        return memory
    if memory.baseline is not None:
        return _judge(settings, memory, memory.baseline, pool, waiting, done, now)
    return replace(memory, throughput=done)


def withhold(memory: Saturation, stabilised: Stabilised, pool: PoolView, least: int) -> Stabilised:
    """The desired capacity without what is of no use; never below `least` or what there is."""
    if memory.withheld is None or stabilised.desired <= pool.current:
        return stabilised
    desired = max(min(stabilised.desired, memory.withheld.cap), pool.current, least)
    if desired >= stabilised.desired:
        return stabilised
    step = Step(Reason.HOST_SATURATED, stabilised.desired, desired)
    return replace(stabilised, desired=desired, steps=(*stabilised.steps, step))


def _follow(memory: Saturation, pool: PoolView, now: float) -> Saturation:
    """Notes when the number of ready domains changes, and what was before it grew."""
    if pool.ready == memory.ready:
        return memory
    baseline = memory.baseline
    if pool.ready < memory.ready:
        baseline = None
    elif baseline is None and memory.ready > 0 and memory.throughput:
        baseline = Baseline(memory.ready, memory.throughput)
    return replace(memory, ready=pool.ready, ready_since=now, throughput=None, baseline=baseline)


def _is_over(settings: SaturationSettings, memory: Saturation, waiting: float, now: float) -> bool:
    withheld = memory.withheld
    return withheld is not None and (
        waiting < settings.pressure_ratio or now - withheld.since >= settings.retry_seconds
    )


def _judge(
    settings: SaturationSettings,
    memory: Saturation,
    baseline: Baseline,
    pool: PoolView,
    waiting: float,
    done: float,
    now: float,
) -> Saturation:
    since = now if memory.ready_since is None else memory.ready_since
    if now - since < settings.settle_seconds:
        return memory
    growth = pool.ready / baseline.ready - 1
    gain = done / baseline.throughput - 1
    memory = replace(memory, baseline=None, throughput=done)
    if waiting >= settings.pressure_ratio and gain < settings.gain_ratio * growth:
        return replace(memory, withheld=Withheld(pool.ready, now))
    return memory
