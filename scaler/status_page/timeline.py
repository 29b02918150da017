"""Recorded turns and results as a timeline: what was done stands out, stillness is folded. Pure."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from scaler.explanation import explain
from scaler.sentences import count, words
from scaler.status_page.view import Event, Tone

Record = Mapping[str, Any]
Clock = Callable[[float], str]

_OUT = frozenset({"start", "resume", "restore", "cancel_drain"})
_IN = frozenset({"drain", "shutdown"})
_TROUBLE = frozenset({"destroy", "roll_back"})
_STANDBY = frozenset({"prepare", "suspend", "save", "discard"})
_TOLD_OUTCOMES = {
    "failed": Tone.BAD,
    "retryable": Tone.BAD,
    "refused": Tone.NOTE,
    "cancelled": Tone.NOTE,
}
_REASON_NAME = re.compile(r" \[[a-z_]+\]")
_ACTIONS_TOLD = 3
_MOST_EVENTS = 60
_ARROW = "\N{RIGHTWARDS ARROW}"


def why(record: Record, clock: Clock) -> str:
    """A turn in one sentence, without the values of signals and the names of reasons.

    The page has both beside it, and the whole in the details.
    """
    brief = {**record, "signals": {}, "actions": _first(record.get("actions") or ())}
    told = explain(brief, clock).headline.partition("  ")[2]
    return _REASON_NAME.sub("", told)


def _first(actions: Sequence[Record]) -> list[Record]:
    """A few of them; the last one stands for all that are left out."""
    if len(actions) <= _ACTIONS_TOLD:
        return list(actions)
    *some, last = actions[:_ACTIONS_TOLD]
    more = len(actions) - _ACTIONS_TOLD
    return [*some, {**last, "domain": f"{last['domain']} and {more} more"}]


def events(records: Iterable[Record], clock: Clock) -> tuple[Event, ...]:
    """The newest, newest first. `records` are entries as the API shows them, oldest first."""
    told: list[Event] = []
    stretch: list[Record] = []

    def end() -> None:
        if stretch:
            told.append(_stretch(stretch, clock))
            stretch.clear()

    for record in records:
        kind = record.get("type")
        if kind == "decision" and not _is_news(record):
            if stretch and _size(stretch[-1]) != _size(record):
                end()
            stretch.append(record)
            continue
        event = _event(record, clock)
        if event is None:
            # An action that went well: it stands there already, and what was quiet still is.
            continue
        end()
        told.append(event)
    end()
    return tuple(reversed(told))[:_MOST_EVENTS]


def _is_news(record: Record) -> bool:
    return bool(record.get("actions") or record.get("incidents") or record.get("errors"))


def _size(record: Record) -> tuple[Any, ...]:
    return record.get("current"), record.get("desired"), record.get("hold") is None


def _event(record: Record, clock: Clock) -> Event | None:
    if record.get("type") == "decision":
        return _decision(record, clock)
    if record.get("type") == "config":
        began = bool(record.get("started"))
        return Event(
            key=record["id"],
            kind="config",
            tone=Tone.NOTE,
            at=record["time"],
            time=clock(record["time"]),
            until="",
            title="the scaler started" if began else "new rules",
            change="",
            why=f"configuration {record.get('config')}",
        )
    tone = _TOLD_OUTCOMES.get(str(record.get("outcome")))
    if tone is None:
        return None
    return Event(
        key=record["id"],
        kind="trouble",
        tone=tone,
        at=record["time"],
        time=clock(record["time"]),
        until="",
        title=f"{_plain(record.get('action'))} {record.get('domain')}: {record.get('outcome')}",
        change="",
        why=str(record.get("error") or "no reason was given"),
    )


def _decision(record: Record, clock: Clock) -> Event:
    actions = record.get("actions") or ()
    kind, tone = _kind(record, {str(one["action"]) for one in actions})
    told = explain(record, clock)
    headline = told.headline.partition("  ")[2]
    sentence = why(record, clock)
    title = ", ".join(f"{_plain(one['action'])} {one['domain']}" for one in _first(actions))
    if not title:
        incidents = [
            f"{one['domain']}: {_plain(one['incident'])}" for one in record.get("incidents") or ()
        ]
        title = ", ".join(incidents[:3]) or "trouble"
    reasons = dict.fromkeys(str(one["reason"]) for one in actions)
    because = "; ".join(words(reason) for reason in reasons)
    if kind in ("out", "in") or not because:
        # Why the size changed says more than that it did.
        because = sentence.partition(": ")[2] or sentence
    return Event(
        key=record["id"],
        kind=kind,
        tone=tone,
        at=record["time"],
        time=clock(record["time"]),
        until="",
        title=title,
        change=_change(record),
        why=because,
        details=(headline, *(line.strip() for line in told.details)),
    )


def _kind(record: Record, actions: set[str]) -> tuple[str, Tone]:
    # First: what went wrong must not hide behind what is done about it.
    if actions & _TROUBLE or (record.get("errors") and not actions):
        return "trouble", Tone.BAD
    if actions & _OUT:
        return "out", Tone.GOOD
    if actions & _IN:
        return "in", Tone.LEAVING
    if actions & _STANDBY:
        return "standby", Tone.WAITING
    return "upkeep", Tone.OFF


def _stretch(stretch: Sequence[Record], clock: Clock) -> Event:
    """Turns in which nothing was done, at one size."""
    first, last = stretch[0], stretch[-1]
    turns = sum(one.get("count", 1) for one in stretch)
    reasons = dict.fromkeys(str(one["reason"]) for one in reversed(stretch))
    told = explain(last, clock)
    until = clock(last.get("last", last["time"]))
    begin = clock(first["time"])
    return Event(
        key=first["id"],
        kind="quiet",
        tone=Tone.OFF,
        at=first["time"],
        time=begin,
        until="" if until == begin else until,
        title="1 turn" if turns == 1 else f"{turns:,} turns",
        change=_change(first),
        why="; ".join(words(reason) for reason in reasons),
        details=(told.headline.partition("  ")[2], *(line.strip() for line in told.details)),
    )


def _change(record: Record) -> str:
    current, desired = record.get("current"), record.get("desired")
    if current == desired:
        return count(current)
    return f"{count(current)} {_ARROW} {count(desired)}"


def _plain(word: Any) -> str:
    return str(word).replace("_", " ")
