"""Another policy over what was recorded: what it would have wanted of the pool as it was. Pure.

Open loop: the pool and its signals are the recorded ones whatever the policy wants. So it can tell
how a policy judges the situations that occurred. It cannot tell what would have come of it: a
machine started a minute earlier would have changed every signal afterwards.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from scaler import recorded_inputs, stabilization
from scaler.decision import Observation, Settings, State, wish
from scaler.entries import Entry
from scaler.pool import DomainState, PoolView
from scaler.readings import Reading, usable_value
from scaler.reasons import Reason
from scaler.turns import at_sample

GAP_SECONDS = 30.0
"""A silence so long means that nothing is known of the time between."""

_OUT = frozenset({"start", "resume", "restore", "cancel_drain"})
_INTERVENTIONS = ("alert_", "override_")
"""Reasons of what comes after the rules; they are not on trial, see `decision.wish`."""


@dataclass(frozen=True, slots=True)
class Situation:
    """One recorded turn. `at` is Unix time."""

    at: float
    pool: PoolView | None
    """None: the hypervisor did not answer."""
    readings: Mapping[str, Reading]
    desired: int | None
    """What the rules came to, without what alerts demanded and people ordered."""
    has_scaled_out: bool = False
    has_scaled_in: bool = False
    starts: int = 0
    is_first: bool = False
    """The scaler had just started: it remembered nothing."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A stretch of time in which both wanted different capacities."""

    since: float
    until: float
    recorded: int | None
    replayed: int | None
    reason: Reason
    """The replayed policy's, at its beginning."""


@dataclass(slots=True)
class Tally:
    """What one side wanted, summed up."""

    domain_seconds: float = 0.0
    rises: int = 0
    """Domains more that it wanted, each time it wanted more than the turn before."""
    peak: int = 0
    last: int | None = None

    def add(self, desired: int | None, seconds: float) -> None:
        """One turn, in force for so long."""
        if desired is None:
            return
        self.domain_seconds += desired * seconds
        self.rises += max(0, desired - (desired if self.last is None else self.last))
        self.peak = max(self.peak, desired)
        self.last = desired


class Point(NamedTuple):
    """From `at` on, until the next: domains that both sides wanted, and that were not off."""

    at: float
    recorded: int | None
    replayed: int | None
    active: int


@dataclass(slots=True)
class Comparison:
    """The whole result."""

    turns: int = 0
    seconds: float = 0.0
    seconds_apart: float = 0.0
    recorded: Tally = field(default_factory=Tally)
    replayed: Tally = field(default_factory=Tally)
    active_domain_seconds: float = 0.0
    """Domains in any state but off, as they really were."""
    starts: int = 0
    """Start actions that really were begun."""
    differences: list[Difference] = field(default_factory=list)
    unknown_signals: frozenset[str] = frozenset()
    """Signals that the policies need and that were not known in any turn."""
    course: list["Point"] = field(default_factory=list)
    """What was wished for and ran, at each change of it."""

    def as_data(self) -> dict[str, Any]:
        """For programs."""
        return {
            "turns": self.turns,
            "seconds": round(self.seconds, 3),
            "seconds_apart": round(self.seconds_apart, 3),
            "recorded": _tally(self.recorded),
            "replayed": _tally(self.replayed),
            "active_domain_hours": round(self.active_domain_seconds / 3600, 4),
            "starts": self.starts,
            "unknown_signals": sorted(self.unknown_signals),
            "differences": [
                {
                    "since": one.since,
                    "until": one.until,
                    "recorded": one.recorded,
                    "replayed": one.replayed,
                    "reason": one.reason.value,
                }
                for one in self.differences
            ],
        }


def situations(entries: Iterable[Entry]) -> Iterator[Situation]:
    """Every turn of recorded runs, oldest first. Runs without their inputs are passed over."""
    is_first = False
    for entry in entries:
        is_first = is_first or bool(entry.body.get("started"))
        if entry.kind != "decision":
            continue
        try:
            pool = recorded_inputs.pool(entry.body)
        except ValueError:
            continue
        actions = () if entry.body.get("dry_run") else entry.body.get("actions", ())
        for number, sample in enumerate(entry.samples):
            told = at_sample(entry.body, sample)
            acted = actions if number == 0 else ()
            yield Situation(
                at=sample.time,
                pool=pool,
                readings={
                    name: recorded_inputs.reading(signal)
                    for name, signal in told["signals"].items()
                },
                desired=_own_wish(entry.body),
                has_scaled_out=any(one["action"] in _OUT for one in acted),
                has_scaled_in=any(one["reason"] == Reason.SCALE_IN.value for one in acted),
                starts=sum(one["action"] == "start" for one in acted),
                is_first=is_first,
            )
            is_first = False


def _own_wish(body: Mapping[str, Any]) -> int | None:
    for step in body.get("steps") or ():
        if str(step["reason"]).startswith(_INTERVENTIONS):
            return int(step["before"])
    desired: int | None = body.get("desired")
    return desired


def compare(recorded: Iterable[Situation], settings: Settings, since: float) -> Comparison:
    """Judges each situation by `settings`; those before `since` only fill the windows."""
    found = Comparison()
    state, before = State(), None
    known: set[str] = set()
    for now in recorded:
        if now.is_first or (before is not None and now.at - before[0].at > GAP_SECONDS):
            state = State()
        if before is not None:
            _count(found, *before, min(now.at - before[0].at, GAP_SECONDS), since)
        known |= {name for name, one in now.readings.items() if usable_value(one) is not None}
        state, desired, reason = _judge(settings, state, now)
        before = (now, desired, reason)
    if before is not None:
        _count(found, *before, 0.0, since)
    needed = {signal for policy in settings.policies for signal in policy.signals}
    found.unknown_signals = frozenset(needed - known)
    return found


def _judge(settings: Settings, state: State, now: Situation) -> tuple[State, int | None, Reason]:
    if now.pool is None:
        return state, None, Reason.HYPERVISOR_UNKNOWN
    ready = frozenset(one.name for one in now.pool.domains if one.state is DomainState.READY)
    if state.ready_names is not None and state.ready_names != ready:
        state = replace(state, ready_changed_at=now.at)
    state = replace(state, ready_names=ready)
    observation = Observation(domains=(), workers=None, readings=now.readings, wall=now.at)
    state, proposals, stabilised = wish(settings, state, now.pool, observation, now.at)
    memory = state.memory
    # Cooldowns run from what really was done to the pool.
    if now.has_scaled_out:
        count = max(1, now.starts)
        memory = stabilization.scaled(memory, out=True, now=now.at, domains=count)
    if now.has_scaled_in:
        memory = stabilization.scaled(memory, out=False, now=now.at)
    reason = Reason.STEADY
    wishes = [one for one in proposals if one.desired is not None]
    if stabilised.steps:
        reason = stabilised.steps[-1].reason
    elif wishes and stabilised.desired != now.pool.current:
        reason = max(wishes, key=lambda one: one.desired or 0).reason
    return replace(state, memory=memory), stabilised.desired, reason


def _count(
    found: Comparison,
    now: Situation,
    desired: int | None,
    reason: Reason,
    seconds: float,
    since: float,
) -> None:
    if now.at < since:
        return
    found.turns += 1
    found.seconds += seconds
    found.starts += now.starts
    found.recorded.add(now.desired, seconds)
    found.replayed.add(desired, seconds)
    active = 0 if now.pool is None else now.pool.active
    found.active_domain_seconds += active * seconds
    point = Point(now.at, now.desired, desired, active)
    if not found.course or found.course[-1][1:] != point[1:]:
        found.course.append(point)
    if desired == now.desired:
        return
    found.seconds_apart += seconds
    until = now.at + seconds
    last = found.differences[-1] if found.differences else None
    pair = (now.desired, desired)
    if last is not None and last.until == now.at and pair == (last.recorded, last.replayed):
        found.differences[-1] = replace(last, until=until)
    else:
        found.differences.append(Difference(now.at, until, now.desired, desired, reason))


def _tally(tally: Tally) -> dict[str, Any]:
    return {
        "domain_hours": round(tally.domain_seconds / 3600, 4),
        "rises": tally.rises,
        "peak": tally.peak,
    }
