"""Domains as rows: states in words, what wants attention first. Pure."""

import re
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from scaler.pool import DomainState
from scaler.status_page.load import Load
from scaler.status_page.view import DomainRow, Share, Tone

_DIGITS = re.compile(r"(\d+)")


class _Look(NamedTuple):
    """How a state is shown. `rank` orders the table."""

    rank: int
    label: str
    tone: Tone
    tier: str


_LOOKS = MappingProxyType(
    {
        DomainState.FAILED: _Look(0, "failed", Tone.BAD, ""),
        DomainState.SILENT: _Look(1, "silent", Tone.WARN, "serving"),
        DomainState.PAUSED: _Look(1, "paused by somebody", Tone.WARN, ""),
        DomainState.STARTING: _Look(2, "starting", Tone.RISING, "serving"),
        DomainState.BOOTING: _Look(2, "booting", Tone.RISING, "serving"),
        DomainState.WAKING: _Look(2, "waking", Tone.RISING, "serving"),
        DomainState.CORDONED: _Look(3, "cordoned", Tone.LEAVING, ""),
        DomainState.DRAINING: _Look(3, "draining", Tone.LEAVING, ""),
        DomainState.SHUTTING_DOWN: _Look(3, "shutting down", Tone.LEAVING, ""),
        DomainState.READY: _Look(4, "ready", Tone.GOOD, "serving"),
        DomainState.PREPARING: _Look(5, "preparing", Tone.WAITING, ""),
        DomainState.SUSPENDING: _Look(5, "suspending", Tone.WAITING, "paused"),
        DomainState.SAVING: _Look(5, "saving", Tone.WAITING, "saved"),
        DomainState.STANDBY_PAUSED: _Look(6, "standby", Tone.WAITING, "paused"),
        DomainState.STANDBY_SAVED: _Look(6, "standby", Tone.WAITING, "saved"),
        DomainState.OFF: _Look(7, "off", Tone.OFF, "cold"),
        DomainState.QUARANTINED: _Look(8, "another scaler's", Tone.NOTE, ""),
        DomainState.QUARANTINED_OFF: _Look(8, "another scaler's, off", Tone.NOTE, ""),
    }
)
_SHARES = (
    (Tone.GOOD, "ready"),
    (Tone.RISING, "coming"),
    (Tone.LEAVING, "leaving"),
    (Tone.WAITING, "standby"),
    (Tone.WARN, "silent or paused"),
    (Tone.BAD, "failed"),
    (Tone.NOTE, "another scaler's"),
    (Tone.OFF, "off"),
)
_WITHOUT_CPU = frozenset({Tone.OFF, Tone.WAITING})


def rows(
    domains: Sequence[Mapping[str, Any]], load: Load, ordered: Collection[str]
) -> tuple[DomainRow, ...]:
    """In the order of the table; `ordered` are domains that a person has ordered drained."""
    made = [_row(one, load, one["name"] in ordered) for one in domains]
    made.sort(key=lambda pair: (pair[0], natural(pair[1].name)))
    return tuple(row for _, row in made)


def shares(domains: Sequence[Mapping[str, Any]]) -> tuple[Share, ...]:
    """How many domains there are of each tone; those of which there are none are left out."""
    tones = [_look(one).tone for one in domains]
    counted = ((tone, label, tones.count(tone)) for tone, label in _SHARES)
    return tuple(Share(*one) for one in counted if one[2])


def natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """A key that puts vs-2 before vs-10."""
    return tuple(
        (0, int(part), "") if part.isdecimal() and len(part) < 20 else (1, 0, part)
        for part in _DIGITS.split(name)
        if part
    )


def _look(domain: Mapping[str, Any]) -> _Look:
    try:
        return _LOOKS[DomainState(domain["state"])]
    except (ValueError, KeyError):
        return _Look(1, str(domain["state"]).replace("_", " "), Tone.WARN, "")


def _row(domain: Mapping[str, Any], load: Load, is_ordered: bool) -> tuple[int, DomainRow]:
    look = _look(domain)
    name = str(domain["name"])
    label, tone = look.label, look.tone
    if tone is Tone.GOOD and (domain["busy_slots"] or domain["leases"]):
        label, tone = "busy", Tone.BUSY
    figures, history = load.figures, load.history
    # A frozen or powered-off guest has none; what Prometheus has is of before.
    has_cpu = look.tone not in _WITHOUT_CPU
    row = DomainRow(
        name=name,
        label=label,
        tone=tone,
        tier=look.tier,
        cpu_ratio=figures.cpu.get(name) if figures is not None and has_cpu else None,
        history=() if history is None else history.cpu.get(name, ()),
        leases=domain["leases"],
        busy_slots=domain["busy_slots"],
        slots=domain["slots"],
        note=_note(domain, is_ordered),
        may_drain=not is_ordered and not domain["foreign_scaler"],
    )
    return look.rank, row


def _note(domain: Mapping[str, Any], is_ordered: bool) -> str:
    parts = []
    operation = domain["operation"]
    if operation is not None:
        age = domain["operation_age_seconds"]
        parts.append(f"{operation} for {duration(age)}" if age is not None else str(operation))
    action = domain["action_in_flight"]
    if action is not None and action != operation:
        parts.append(f"{str(action).replace('_', ' ')} under way")
    if is_ordered:
        parts.append("ordered drained")
    if domain["failures"]:
        parts.append(f"failed boots: {domain['failures']}")
    if domain["outdated"]:
        parts.append("old image")
    if domain["foreign_scaler"]:
        parts.append(f"belongs to {domain['foreign_scaler']}")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """`8 s`, `3 min`, `2.5 h`, `4 d`: as exact as a person needs it."""
    if seconds < 0.95:
        return f"{max(0.0, seconds):.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.0f} d"
