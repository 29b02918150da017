"""A turn of the loop as it is kept: a full record, and what changes from turn to turn. Pure.

Turns with equal keys say the same. Of a run of them the first is kept in full, of each other only
its sample: when it was, the values of its signals and until when it was held.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from scaler.choices import choices
from scaler.decision import Decision, Observation, Settings, State
from scaler.holding import Held, holds, latest
from scaler.readings import Known, Partial, Reading, Stale
from scaler.recorded_inputs import compact, compact_age, inputs, shape
from scaler.records import decision_record, fingerprint
from scaler.shadows import Verdict


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn with everything it was made from. `state` is the one after it."""

    decision: Decision
    state: State
    observation: Observation
    settings: Settings
    wall: float
    """Seconds since the Unix epoch."""
    verdicts: tuple[Verdict, ...] = ()
    """What the shadows would have wanted."""
    is_dry_run: bool = False


class Sample(NamedTuple):
    """What is kept of every turn."""

    time: float
    """Seconds since the Unix epoch."""
    until: float | None
    """When the last cause ends that holds the capacity."""
    values: Mapping[str, tuple[float | None, float | None]]
    """Value and age in seconds of each signal; None where its kind has none."""


def record(turn: Turn) -> dict[str, Any]:
    """The turn in full."""
    decision, now = turn.decision, turn.decision.at
    held = holds(decision, turn.state, turn.settings)
    told = decision_record(decision, turn.wall)
    return {
        **told,
        "signals": {name: _compact(signal) for name, signal in told["signals"].items()},
        "config": turn.settings.digest,
        "dry_run": turn.is_dry_run,
        "held": [{"reason": one.reason.value, "until": _wall(one.until, turn)} for one in held],
        "windows": _windows(turn),
        "choices": choices(decision),
        "shadows": [
            {"shadow": one.shadow, "desired": one.desired, "reason": one.reason.value}
            for one in turn.verdicts
        ],
        "inputs": inputs(turn.observation, decision.pool, now),
    }


def sample(turn: Turn) -> Sample:
    """The turn as one of a run."""
    held: tuple[Held, ...] = holds(turn.decision, turn.state, turn.settings)
    until = _wall(latest(held), turn)
    values = {name: _values(one) for name, one in sorted(turn.decision.readings.items())}
    return Sample(round(turn.wall, 3), until, values)


def key(turn: Turn) -> tuple[object, ...] | None:
    """Equal keys in a row belong to one run. None: the turn stands alone."""
    decision = turn.decision
    if decision.incidents or (decision.plan.actions and not turn.is_dry_run):
        return None
    stabilised = decision.stabilised
    return (
        fingerprint(decision_record(decision, turn.wall)),
        tuple((one.policy, one.reason, one.desired) for one in decision.proposals),
        () if stabilised is None else (stabilised.recommended, stabilised.steps),
        decision.plan.actions,
        tuple((one.shadow, one.desired, one.reason) for one in turn.verdicts),
        decision.hold,
        turn.settings.digest,
        shape(turn.observation),
    )


def at_sample(record: Mapping[str, Any], sample: Sample) -> dict[str, Any]:
    """The record of a turn within a run: the first one's, with what was different."""
    signals = {
        name: _replaced(signal, sample.values.get(name, (None, None)))
        for name, signal in record["signals"].items()
    }
    held = list(record.get("held", ()))
    if held and sample.until is not None:
        timed = [one for one in held if one["until"] is not None] or held[-1:]
        held = [{**one, "until": sample.until} if one is timed[-1] else one for one in held]
    return {**record, "time": sample.time, "signals": signals, "held": held}


def _replaced(
    signal: Mapping[str, Any], values: tuple[float | None, float | None]
) -> dict[str, Any]:
    value, age = values
    found = dict(signal)
    if "value" in found and value is not None:
        found["value"] = value
    if "age_seconds" in found:
        found["age_seconds"] = age
    return found


def _values(reading: Reading) -> tuple[float | None, float | None]:
    match reading:
        case Known(value, age) | Partial(value, age, _):
            return compact(value), compact_age(age)
        case Stale(age_seconds=age):
            return None, None if age is None else compact_age(age)
        case _:
            return None, None


def _compact(signal: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(signal)
    if found.get("value") is not None:
        found["value"] = compact(found["value"])
    if found.get("age_seconds") is not None:
        found["age_seconds"] = compact_age(found["age_seconds"])
    return found


def _windows(turn: Turn) -> dict[str, Any]:
    """What stabilising remembered: the range of wishes in each window, and the last changes."""
    memory, limits = turn.state.memory, turn.settings.limits
    now = turn.decision.at

    def wishes(seconds: float) -> list[int]:
        return [wish for when, wish in memory.history if when >= now - seconds]

    return {
        "out_lowest": min(wishes(limits.out_window_seconds), default=None),
        "in_highest": max(wishes(limits.in_window_seconds), default=None),
        "watching_since": _wall(memory.watching_since, turn),
        "last_out": _wall(memory.last_out_at, turn),
        "last_in": _wall(memory.last_in_at, turn),
        "breaker_failures": turn.state.breaker.failures,
        "breaker_until": _wall(turn.state.breaker.open_until, turn),
    }


def _wall(moment: float | None, turn: Turn) -> float | None:
    return None if moment is None else round(turn.wall + moment - turn.decision.at, 1)
