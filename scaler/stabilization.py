"""From proposals to the desired capacity: combine, tolerate, wait, cool down, step, pace, bound.

Each stage may only change the number by appending a `Step` that says why. Bounds come last, so
they always hold.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter

from scaler.headroom import Headroom, with_headroom
from scaler.pool import PoolView
from scaler.reasons import Reason
from scaler.recommendation import Proposal


@dataclass(frozen=True, slots=True)
class Rate:
    """At most so many domains within so many seconds, whichever turns they fall into."""

    domains: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Limits:
    """How far and how fast the capacity of the pool may change."""

    min: int = 1
    max: int = 4
    out_window_seconds: float = 1.0
    in_window_seconds: float = 60.0
    out_cooldown_seconds: float = 0.0
    in_cooldown_seconds: float = 0.0
    out_step: int = 4
    in_step: int | None = None
    """None: all that are too many leave at once."""
    headroom: Headroom = field(default_factory=Headroom)
    out_rate: Rate | None = None
    in_rate: Rate | None = None


@dataclass(frozen=True, slots=True)
class Memory:
    """What stabilising remembers between turns. Lost at a restart, which only delays a scale-in."""

    history: tuple[tuple[float, int], ...] = ()
    """(when last, wanted capacity) of the last runs of turns that wanted the same, oldest first."""
    watching_since: float | None = None
    last_out_at: float | None = None
    last_in_at: float | None = None
    outs: tuple[float, ...] = ()
    """When each domain was started, as far back as a rate looks."""
    ins: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """One change of the number, or the reason why it was held."""

    reason: Reason
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Stabilised:
    """The desired capacity and how it came about. `recommended` is what the proposals add up to."""

    desired: int
    recommended: int
    steps: tuple[Step, ...]
    is_complete: bool
    """True when every proposal was known and fresh."""


def stabilise(
    memory: Memory, proposals: Sequence[Proposal], pool: PoolView, limits: Limits, now: float
) -> tuple[Memory, Stabilised]:
    """The desired capacity, and the memory for the next turn."""
    current = pool.current
    steps: list[Step] = []
    recommended = _combine(proposals, current, limits.headroom, steps)
    watching_since = now if memory.watching_since is None else memory.watching_since
    horizon = now - max(limits.out_window_seconds, limits.in_window_seconds)
    first = 0
    while first < len(memory.history) and memory.history[first][0] < horizon:
        first += 1
    history = _with_turn(memory.history[first:], now, recommended)
    memory = replace(memory, history=history, watching_since=watching_since)
    desired = _apply_window(memory, recommended, current, limits, now, steps)
    desired = _apply_cooldown(memory, desired, current, limits, now, steps)
    desired = _apply_step(desired, pool, limits, steps)
    memory = _forget(memory, limits, now)
    desired = _apply_rate(memory, desired, current, limits, steps)
    desired = _apply_bounds(desired, limits, steps)
    complete = all(proposal.is_complete for proposal in proposals)
    return memory, Stabilised(desired, recommended, tuple(steps), complete)


def _with_turn(
    history: tuple[tuple[float, int], ...], now: float, wish: int
) -> tuple[tuple[float, int], ...]:
    # A run of equal wishes lies in a window as long as its last one does.
    kept = history[:-1] if history and history[-1][1] == wish else history
    return (*kept, (now, wish))


def _since(history: tuple[tuple[float, int], ...], start: float) -> Iterator[int]:
    """Wishes since a moment."""
    return map(itemgetter(1), history[bisect_left(history, (start,)) :])


def scaled(memory: Memory, *, out: bool, now: float, domains: int = 1) -> Memory:
    """The memory after so many actions in a direction: its cooldown starts."""
    if out:
        return replace(memory, last_out_at=now, outs=(*memory.outs, *(now,) * domains))
    return replace(memory, last_in_at=now, ins=(*memory.ins, *(now,) * domains))


def _forget(memory: Memory, limits: Limits, now: float) -> Memory:
    """Without what no rate looks at any more."""
    if not memory.outs and not memory.ins:
        return memory
    return replace(
        memory,
        outs=_recent(memory.outs, limits.out_rate, now),
        ins=_recent(memory.ins, limits.in_rate, now),
    )


def _recent(moments: tuple[float, ...], rate: Rate | None, now: float) -> tuple[float, ...]:
    if rate is None:
        return ()
    return tuple(moment for moment in moments if now - moment < rate.seconds)


def _combine(
    proposals: Sequence[Proposal], current: int, headroom: Headroom, steps: list[Step]
) -> int:
    """The safest rule: out by the highest known wish, in only when all policies know and agree."""
    unspared, proposals = proposals, with_headroom(proposals, headroom)
    lows = _known(proposal.low for proposal in proposals)
    highs = _known(proposal.high for proposal in proposals)
    wishes = _known(proposal.desired for proposal in proposals)
    if not wishes:
        steps.append(Step(Reason.NO_SIGNAL, current, current))
        return current
    wanted = max(wishes)
    _held(max(_known(one.desired for one in unspared)), wanted, Reason.HEADROOM, steps)
    if current < max(lows):
        return wanted
    if current > max(highs):
        if all(proposal.is_complete for proposal in proposals):
            return max(highs)
        steps.append(Step(Reason.SIGNAL_UNKNOWN, wanted, current))
        return current
    if wanted != current:
        steps.append(Step(Reason.WITHIN_TOLERANCE, wanted, current))
    return current


def _known(values: Iterable[int | None]) -> list[int]:
    return [value for value in values if value is not None]


def _apply_window(
    memory: Memory, wanted: int, current: int, limits: Limits, now: float, steps: list[Step]
) -> int:
    """Out: the lowest wish of the out window. In: the highest wish of the in window, once full."""
    if wanted > current:
        start = now - limits.out_window_seconds
        lowest = min(_since(memory.history, start))
        return _held(wanted, max(current, lowest), Reason.OUT_WINDOW, steps)
    if wanted < current:
        assert memory.watching_since is not None
        if now - memory.watching_since < limits.in_window_seconds:
            return _held(wanted, current, Reason.IN_WINDOW_FILLING, steps)
        start = now - limits.in_window_seconds
        highest = max(_since(memory.history, start))
        return _held(wanted, min(current, highest), Reason.IN_WINDOW, steps)
    return wanted


def _apply_cooldown(
    memory: Memory, wanted: int, current: int, limits: Limits, now: float, steps: list[Step]
) -> int:
    """Out waits after a scale-out, in waits after a scale in either direction."""
    if wanted > current and _is_within(memory.last_out_at, limits.out_cooldown_seconds, now):
        return _held(wanted, current, Reason.OUT_COOLDOWN, steps)
    if wanted < current and (
        _is_within(memory.last_in_at, limits.in_cooldown_seconds, now)
        or _is_within(memory.last_out_at, limits.in_cooldown_seconds, now)
    ):
        return _held(wanted, current, Reason.IN_COOLDOWN, steps)
    return wanted


def _is_within(moment: float | None, seconds: float, now: float) -> bool:
    return moment is not None and now - moment < seconds


def _apply_step(wanted: int, pool: PoolView, limits: Limits, steps: list[Step]) -> int:
    current = pool.current
    if wanted > current:
        return _held(wanted, min(wanted, current + limits.out_step), Reason.OUT_STEP, steps)
    if wanted < current and limits.in_step is not None:
        # Domains that are leaving use up the step: a pool shrinks no faster than they go.
        room = max(0, limits.in_step - pool.leaving)
        return _held(wanted, max(wanted, current - room), Reason.IN_STEP, steps)
    return wanted


def _apply_rate(
    memory: Memory, wanted: int, current: int, limits: Limits, steps: list[Step]
) -> int:
    if wanted > current and limits.out_rate is not None:
        left = max(0, limits.out_rate.domains - len(memory.outs))
        return _held(wanted, min(wanted, current + left), Reason.OUT_RATE, steps)
    if wanted < current and limits.in_rate is not None:
        left = max(0, limits.in_rate.domains - len(memory.ins))
        return _held(wanted, max(wanted, current - left), Reason.IN_RATE, steps)
    return wanted


def _apply_bounds(wanted: int, limits: Limits, steps: list[Step]) -> int:
    if wanted < limits.min:
        return _held(wanted, limits.min, Reason.MIN, steps)
    return _held(wanted, min(wanted, limits.max), Reason.MAX, steps)


def _held(before: int, after: int, reason: Reason, steps: list[Step]) -> int:
    if before != after:
        steps.append(Step(reason, before, after))
    return after
