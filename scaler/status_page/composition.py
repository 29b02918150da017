"""From what is known to what is shown, in one place. Pure: the time is a fact like the others."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scaler.sentences import count, words
from scaler.status_page import domain_rows, timeline
from scaler.status_page.domain_rows import duration
from scaler.status_page.load import Load
from scaler.status_page.outages import Outage, Outages
from scaler.status_page.view import (
    AlertRow,
    Capacity,
    Figure,
    Notice,
    OverrideRow,
    PolicyRow,
    Settings,
    ShownAlert,
    SignalRow,
    Tone,
    View,
)

Record = Mapping[str, Any]
Clock = Callable[[float], str]

_LATE_SECONDS = 15.0
_WISHLESS = frozenset({"stands_by", "outside_schedule", "seasonal_history_too_short"})
_COMING = ("starting", "booting", "waking")
_LEAVING = ("draining", "shutting_down")
_SIGNAL_TONES = {"known": Tone.GOOD, "partial": Tone.WARN}
_LABELS_SHOWN = 8
_LABEL_LETTERS = 200


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that a view is made of. Times are Unix times."""

    now: float
    pool: str
    status: Record | None
    """The newest turn; None before the first."""
    entries: Sequence[Record]
    """Recorded entries, oldest first."""
    overrides: Sequence[Record]
    contradictions: Sequence[str]
    alerts: Sequence[ShownAlert]
    load: Load
    outages: Outages
    settings: Settings
    clock: Clock
    needs_token: bool = False
    is_store_failing: bool = False
    version: str = ""


def compose(facts: Facts) -> View:
    """The view."""
    status = facts.status
    events = timeline.events(facts.entries, facts.clock)
    queue = _queue(facts.load)
    is_paused = any(one["kind"] == "pause" for one in facts.overrides)
    base = View(
        pool=facts.pool,
        now=facts.now,
        time=facts.clock(facts.now),
        headline="Starting",
        tone=Tone.NOTE,
        why="No turn is finished yet.",
        summary=f"Pool {facts.pool}: no turn is finished yet.",
        capacity=None,
        needs_token=facts.needs_token,
        is_paused=is_paused,
        notices=_notices(facts),
        queue=queue,
        waiting=() if facts.load.history is None else facts.load.history.waiting,
        pool_cpu=() if facts.load.history is None else facts.load.history.pool_cpu,
        timeline=events,
        overrides=tuple(_override(one, facts.clock) for one in facts.overrides),
        contradictions=tuple(facts.contradictions),
        version=facts.version,
    )
    if status is None:
        return base
    return _of_turn(facts, status, base)


def _of_turn(facts: Facts, status: Record, base: View) -> View:
    decision = status["decision"]
    headline, tone = _headline(status, base)
    ordered = {one["domain"] for one in facts.overrides if one["kind"] == "drain"}
    told = timeline.why(_recorded(facts, decision), facts.clock)
    passed = max(0.0, facts.now - status["time"])
    desired, current = status["desired"], status["current"]
    size = "" if desired is None else f" {current} of {desired} wanted domains serve."
    return View(
        pool=base.pool,
        now=base.now,
        time=base.time,
        headline=headline,
        tone=tone,
        why=told[:1].upper() + told[1:],
        # Without what changes all the time: it is read out whenever it changes.
        summary=f"{headline}.{size}" + "".join(f" {one.text}" for one in base.notices),
        capacity=Capacity(
            desired=desired,
            current=current,
            ready=status["ready"],
            least=facts.settings.least,
            most=facts.settings.most,
            total=len(status["domains"]),
            shares=domain_rows.shares(status["domains"]),
        ),
        needs_token=base.needs_token,
        is_paused=base.is_paused,
        notices=base.notices,
        domains=domain_rows.rows(status["domains"], facts.load, ordered),
        cpu_note=_cpu_note(facts),
        pool_cpu=base.pool_cpu,
        queue=base.queue,
        waiting=base.waiting,
        signals=tuple(
            _signal(name, one, passed) for name, one in sorted(decision["signals"].items())
        ),
        policies=tuple(_policy(one) for one in decision["proposals"]),
        timeline=base.timeline,
        overrides=base.overrides,
        contradictions=base.contradictions,
        alerts=tuple(_alert(one, decision["alerts"], facts.clock) for one in facts.alerts),
        version=base.version,
    )


def _recorded(facts: Facts, decision: Record) -> Record:
    """The newest turn as it is recorded: with what held it, which the status does not have."""
    for entry in reversed(facts.entries):
        if entry.get("type") == "decision":
            is_newest = entry.get("last", 0.0) >= decision["time"]
            return entry if is_newest else decision
    return decision


def _headline(status: Record, base: View) -> tuple[str, Tone]:
    states, desired = status["decision"]["states"], status["desired"]
    if desired is None:
        return "Blind", Tone.BAD
    if base.is_paused:
        return "Paused", Tone.WARN
    coming = sum(states.get(one, 0) for one in _COMING)
    leaving = sum(states.get(one, 0) for one in _LEAVING)
    if coming or desired > status["current"]:
        return "Scaling out", Tone.RISING
    if leaving or desired < status["current"]:
        return "Scaling in", Tone.LEAVING
    signals = status["decision"]["signals"].values()
    if signals and not any(one.get("value") is not None for one in signals):
        return "Load unknown", Tone.WARN
    return "Steady", Tone.GOOD


def _notices(facts: Facts) -> tuple[Notice, ...]:
    found = [
        *_outage_notices(facts),
        *_late(facts),
        *_pauses(facts),
        *_state_notices(facts),
    ]
    return tuple(found)


def _outage_notices(facts: Facts) -> list[Notice]:
    outages = facts.outages
    told = (
        ("libvirt", outages.libvirt, "nothing is known of the domains, and nothing is done"),
        (
            "Prometheus",
            outages.prometheus,
            "nothing is scaled in, and nothing out without a known signal; CPU is not shown",
        ),
        (
            "The dispatcher",
            outages.dispatcher,
            "no domain is drained, and leases are those of before",
        ),
    )
    return [
        Notice(Tone.BAD, f"{name} does not answer since {_since(one, facts)}: {meaning}.")
        for name, one, meaning in told
        if one is not None
    ]


def _since(outage: Outage, facts: Facts) -> str:
    begun = facts.clock(outage.since)
    if outage.is_older:
        begun = f"{begun} or before (this scaler's first turn)"
    return f"{begun} ({outage.detail})" if outage.detail else begun


def _late(facts: Facts) -> list[Notice]:
    if facts.status is None:
        return []
    if facts.now - facts.status["time"] < _LATE_SECONDS:
        return []
    at = facts.clock(facts.status["time"])
    return [Notice(Tone.BAD, f"The last turn was at {at}: all of this is old.")]


def _pauses(facts: Facts) -> list[Notice]:
    return [
        Notice(
            Tone.WARN,
            f"Paused by {one['author']} since {facts.clock(one['created_at'])}"
            f"{': ' + str(one['reason']) if one['reason'] else ''}. Nothing is started or drained.",
        )
        for one in facts.overrides
        if one["kind"] == "pause"
    ]


def _state_notices(facts: Facts) -> list[Notice]:
    found = []
    if facts.settings.is_dry_run or any(one["kind"] == "dry_run" for one in facts.overrides):
        found.append(Notice(Tone.WARN, "Dry run: actions are decided and none is carried out."))
    # Moments, not ages: what changes all the time would be read out all the time.
    at, breaker = 0.0, {}
    if facts.status is not None:
        at, breaker = facts.status["time"], facts.status["breaker"]
    if breaker.get("retry_in_seconds"):
        found.append(
            Notice(
                Tone.BAD,
                f"{breaker['failures']} boots in a row failed: nothing is started until "
                f"{facts.clock(at + breaker['retry_in_seconds'])}.",
            )
        )
    found += [
        Notice(Tone.WARN, f"The policies file is faulty, the policies before it are in use: {one}")
        for one in facts.settings.policy_faults
    ]
    if facts.is_store_failing:
        found.append(Notice(Tone.WARN, "Decisions cannot be written; the timeline has gaps."))
    found += [Notice(Tone.WARN, f"Overrides: {one}.") for one in facts.contradictions]
    return found


def _cpu_note(facts: Facts) -> str:
    load = facts.load
    if load.figures is None:
        return f"CPU is not known: Prometheus: {load.prometheus_fault}."
    if not load.figures.cpu and not (load.history and load.history.cpu):
        return (
            "CPU is not known: Prometheus has no "
            "pool_domain:libvirt_domain_cpu_utilisation:avg5s of this pool "
            "(prometheus/rules/virtscale.yml makes it)."
        )
    return ""


def _queue(load: Load) -> tuple[Figure, ...]:
    backlog, figures = load.backlog, load.figures
    if backlog is None:
        why = f"the dispatcher: {load.dispatcher_fault}"
        counts = [
            _unknown(name, why) for name in ("Waiting", "Longest wait now", "On workers", "Done")
        ]
    else:
        oldest = backlog.oldest_seconds
        counts = [
            Figure("Waiting", f"{backlog.ready:,}", "jobs in the queue"),
            Figure(
                "Longest wait now",
                "none" if oldest is None else duration(oldest),
                "age of the oldest waiting job",
            ),
            Figure("On workers", f"{backlog.leased:,}", "leased jobs"),
            Figure(
                "Done",
                f"{backlog.done:,}",
                f"{backlog.failed:,} failed" if backlog.failed else "no job failed",
            ),
        ]
    return (
        (*counts, _wait(load), _rate(load))
        if figures
        else (
            *counts,
            _unknown("Wait, 95 %", f"Prometheus: {load.prometheus_fault}"),
            _unknown("Results", f"Prometheus: {load.prometheus_fault}"),
        )
    )


def _wait(load: Load) -> Figure:
    seconds = None if load.figures is None else load.figures.wait_p95_seconds
    if seconds is None:
        return _unknown("Wait, 95 %", "Prometheus has no waiting times of the dispatcher")
    if math.isnan(seconds):
        return Figure("Wait, 95 %", "none", "no job was leased in the last 5 min")
    told = f"under {duration(seconds)}" if math.isfinite(seconds) else "very long"
    return Figure("Wait, 95 %", told, "of jobs leased in the last 5 min")


def _rate(load: Load) -> Figure:
    rate = None if load.figures is None else load.figures.results_per_second
    if rate is None:
        return _unknown("Results", "Prometheus has no results of the dispatcher")
    return Figure("Results", f"{rate:,.1f}/s", "mean of the last 30 s")


def _unknown(name: str, why: str) -> Figure:
    return Figure(name, "unknown", why, is_known=False)


def _signal(name: str, signal: Record, passed: float) -> SignalRow:
    kind = str(signal["kind"])
    value, age = signal.get("value"), signal.get("age_seconds")
    return SignalRow(
        name=name,
        value="unknown" if value is None else f"{value:.4g}",
        label={"nan": "not a number"}.get(kind, kind),
        tone=_SIGNAL_TONES.get(kind, Tone.BAD),
        age="" if age is None else duration(age + passed),
        detail=str(signal.get("detail") or ""),
    )


def _policy(proposal: Record) -> PolicyRow:
    reason = str(proposal["reason"])
    wish = "no wish" if reason in _WISHLESS else count(proposal["desired"])
    return PolicyRow(str(proposal["policy"]), wish, words(reason))


def _override(one: Record, clock: Clock) -> OverrideRow:
    kind = str(one["kind"])
    text = kind.replace("_", " ")
    if one.get("domains") is not None:
        text += f" {one['domains']}"
    if one.get("domain"):
        text += f" {one['domain']}"
    expires = one.get("expires_at")
    return OverrideRow(
        id=str(one["id"]),
        kind=kind,
        text=text,
        author=str(one["author"]),
        reason=str(one["reason"]),
        since=clock(one["created_at"]),
        until="until removed" if expires is None else f"until {clock(expires)}",
    )


def _alert(one: ShownAlert, effects: Sequence[Record], clock: Clock) -> AlertRow:
    labels = [f"{name}={value}" for name, value in one.labels.items() if name != "alertname"]
    text = ", ".join(label[:_LABEL_LETTERS] for label in sorted(labels)[:_LABELS_SHOWN])
    does = [
        f"{words(effect['reason'])}: at least {effect['least']} ({effect['rule']})"
        for effect in effects
        if one.name in effect["alerts"]
    ]
    return AlertRow(
        name=one.name[:_LABEL_LETTERS],
        labels=text + (f" and {len(labels) - _LABELS_SHOWN} more" if len(labels) > 8 else ""),
        since=clock(one.starts_at),
        effect="; ".join(does) or "has no effect on the pool now",
    )
