"""What the decision store tells of a stretch of time: entries in, courses and events out. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from scaler.entries import Entry
from scaler.report.steps import Steps

Record = Mapping[str, Any]

CURRENT, DESIRED = "current", "desired"
GONE = "off"
_CPU = "cpu"
_SAME_HELLO_SECONDS = 0.5
OVERRIDE, PAUSE, DRY_RUN, ALERT = "override", "pause", "dry run", "alert"


@dataclass(slots=True)
class Stretch:
    """Turns in a row that say the same, with what the first of them saw."""

    first: float
    last: float
    turns: int
    record: Record


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened at a moment. `kind` says what `what` is a value of."""

    at: float
    kind: str
    """`incident`, `trouble`, `start` (of the scaler) or `config`."""
    what: str
    domain: str = ""


@dataclass(slots=True)
class Interval:
    """Something that was in force from one turn to another; `until` None: still, at the end."""

    kind: str
    what: str
    since: float
    until: float | None = None


@dataclass(slots=True)
class Seen:
    """A domain over time."""

    states: list[tuple[float, str]] = field(default_factory=list)
    """(turn, state) at each change; `GONE` from the turn on in which it was not there."""
    hellos: list[float] = field(default_factory=list)
    """When its worker said Hello, as the dispatcher told it."""


@dataclass(slots=True)
class Past:
    """Everything that was recorded between `since` and `until`, oldest first."""

    since: float
    until: float
    stretches: list[Stretch] = field(default_factory=list)
    results: list[Record] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    intervals: list[Interval] = field(default_factory=list)
    domains: dict[str, Seen] = field(default_factory=dict)
    first_sight: float | None = None
    """The first turn, also of before `since`, in which libvirt answered."""
    gaps: list[tuple[float, float]] = field(default_factory=list)
    """Silences within the time: no turn was recorded."""
    counts: dict[str, Steps] = field(default_factory=dict)
    """Domains by state, and `CURRENT` and `DESIRED`."""
    cpu: tuple[tuple[float, float], ...] = ()
    """The mean CPU that the scaler saw, turn by turn, where it was known."""
    slots: float | None = None
    """Of a domain, the mean of all workers that were seen."""
    first: float | None = None
    """The first and the last turn."""
    last: float | None = None
    turns: int = 0
    config: Record = field(default_factory=dict)
    """What was decided by at the end, as the store has it; empty: it does not have it."""


def gather(
    entries: Iterable[Entry],
    since: float,
    until: float,
    *,
    gap_seconds: float,
    held_seconds: float,
) -> Past:
    """Reads the entries, oldest first. They may begin before `since`: who was there then counts.

    After `gap_seconds` without a turn the scaler did not run; what the last turn saw is taken to
    have lasted `held_seconds` when none follows.
    """
    gathering = _Gathering(Past(since, until), gap_seconds, held_seconds)
    for entry in entries:
        gathering.add(entry)
    return gathering.done()


class _Gathering:
    def __init__(self, past: Past, gap_seconds: float, held_seconds: float) -> None:
        self._past = past
        self._gap_seconds = gap_seconds
        self._held_seconds = held_seconds
        self._changes: dict[str, list[tuple[float, float | None]]] = {}
        self._cpu: list[tuple[float, float]] = []
        self._open: dict[tuple[str, str], Interval] = {}
        self._slots = (0.0, 0)
        """The sum and the count of all that were seen."""
        self._seen: float | None = None
        """The last turn so far, also of before `since`."""

    def add(self, entry: Entry) -> None:
        if entry.kind == "config":
            self._add_config(entry)
        elif entry.kind == "result":
            if self._is_within(entry.first):
                self._past.results.append(entry.body)
        elif entry.kind == "decision":
            self._add_turns(entry)

    def done(self) -> Past:
        past = self._past
        end = past.until
        if self._seen is not None and end - self._seen > self._held_seconds:
            self._silence(self._seen, end)
        # A clock that was set back leaves turns out of order.
        past.counts = {
            name: Steps.of(sorted(changes, key=lambda one: one[0]))
            for name, changes in self._changes.items()
        }
        past.cpu = tuple(self._cpu)
        past.intervals.sort(key=lambda one: one.since)
        if self._slots[1]:
            past.slots = self._slots[0] / self._slots[1]
        return past

    def _is_within(self, moment: float) -> bool:
        return self._past.since <= moment <= self._past.until

    def _add_config(self, entry: Entry) -> None:
        body = entry.body
        if entry.first <= self._past.until:
            self._past.config = body.get("settings") or {}
        if self._is_within(entry.first):
            kind = "start" if body.get("started") else "config"
            self._past.events.append(Event(entry.first, kind, str(body.get("config", ""))))

    def _add_turns(self, entry: Entry) -> None:
        past = self._past
        if self._seen is not None and entry.first - self._seen > self._gap_seconds:
            self._silence(self._seen, entry.first)
        self._note_counts(entry)
        self._note_sighting(entry)
        self._note_orders(entry)
        self._seen = min(entry.last, past.until)
        moments = [one.time for one in entry.samples] or [entry.first]
        within = [moment for moment in moments if self._is_within(moment)]
        if not within:
            return
        past.turns += len(within)
        past.first = within[0] if past.first is None else past.first
        past.last = within[-1]
        for sample in entry.samples:
            value, _ = sample.values.get(_CPU, (None, None))
            if value is not None and self._is_within(sample.time):
                self._cpu.append((sample.time, value))
        if self._is_within(entry.first):
            self._note_events(entry)
        record = entry.at(within[0]) if entry.first < past.since else entry.body
        # A week of a thousand domains is told from memory: each turn without its inputs.
        self._stretch(within, {key: one for key, one in record.items() if key != "inputs"})

    def _stretch(self, within: list[float], record: Record) -> None:
        stretches = self._past.stretches
        before = stretches[-1] if stretches else None
        goes_on = (
            before is not None
            and _alike(before.record) == _alike(record)
            and within[0] - before.last <= self._gap_seconds
            and not any(one.get(name) for one in (before.record, record) for name in _TELLING)
        )
        if before is not None and goes_on:
            before.last = within[-1]
            before.turns += len(within)
        else:
            stretches.append(Stretch(within[0], within[-1], len(within), record))

    def _note_counts(self, entry: Entry) -> None:
        body = entry.body
        states = body.get("states") or {}
        is_known = body.get("current") is not None and body.get("reason") != "hypervisor_unknown"
        found: dict[str, float | None] = dict.fromkeys(self._changes, 0.0 if is_known else None)
        if is_known:
            found |= {str(state): float(count) for state, count in states.items()}
        found |= {CURRENT: body.get("current") if is_known else None, DESIRED: body.get("desired")}
        for name, value in found.items():
            if name not in self._changes:
                # A state that appears for the first time had no domains in the turns before.
                self._changes[name] = self._zeros()
            self._changes[name].append((entry.first, value))

    def _zeros(self) -> list[tuple[float, float | None]]:
        known = self._changes.get(CURRENT, ())
        return [(moment, None if value is None else 0.0) for moment, value in known]

    def _silence(self, since: float, until: float) -> None:
        for changes in self._changes.values():
            changes.append((since, None))
        for interval in self._open.values():
            interval.until = since
        self._open.clear()
        begin = max(since, self._past.since)
        if until - begin > self._gap_seconds and self._past.first is not None:
            self._past.gaps.append((begin, until))

    def _note_sighting(self, entry: Entry) -> None:
        inputs, past, at = entry.body.get("inputs"), self._past, entry.first
        if not inputs or at > past.until:
            return
        if past.first_sight is None:
            past.first_sight = at
        states = {str(one["name"]): str(one["state"]) for one in inputs["domains"]}
        for name in past.domains.keys() - states.keys():
            states[name] = GONE
        for name, state in states.items():
            seen = past.domains.setdefault(name, Seen()).states
            if not seen or seen[-1][1] != state:
                seen.append((at, state))
        for one in inputs.get("workers") or ():
            total, count = self._slots
            self._slots = total + float(one.get("slots", 1)), count + 1
            domain = past.domains.get(str(one["id"]))
            if domain is None or one.get("connected") is None:
                continue
            hello = at - one["connected"]
            if not domain.hellos or hello - domain.hellos[-1] > _SAME_HELLO_SECONDS:
                domain.hellos.append(hello)

    def _note_events(self, entry: Entry) -> None:
        past = self._past
        past.events += [
            Event(entry.first, "incident", str(one["incident"]), str(one["domain"]))
            for one in entry.body.get("incidents") or ()
        ]
        before = past.stretches[-1].record.get("errors") if past.stretches else ()
        past.events += [
            Event(entry.first, "trouble", str(error))
            for error in entry.body.get("errors") or ()
            if error not in (before or ())
        ]

    def _note_orders(self, entry: Entry) -> None:
        if entry.last < self._past.since or entry.first > self._past.until:
            return
        seen = dict(_in_force(entry.body))
        for key, interval in list(self._open.items()):
            if key not in seen:
                interval.until = entry.first
                del self._open[key]
        for key, what in seen.items():
            if key not in self._open:
                interval = Interval(key[0], what, max(entry.first, self._past.since))
                self._open[key] = interval
                self._past.intervals.append(interval)


_TELLING = ("actions", "incidents")


def _alike(record: Record) -> tuple[Any, ...]:
    proposals = tuple(
        (one.get("policy"), one.get("desired")) for one in record.get("proposals") or ()
    )
    return record.get("reason"), record.get("current"), record.get("desired"), proposals


def _in_force(record: Record) -> list[tuple[tuple[str, str], str]]:
    """((kind, what makes it the same), words) of each order and alert of a turn."""
    orders = (record.get("inputs") or {}).get("orders") or {}
    told: list[tuple[tuple[str, str], str]] = []
    hold = record.get("hold")
    if hold:
        reason = f": {hold['reason']}" if hold.get("reason") else ""
        told.append(((PAUSE, f"{hold}"), f"paused by {hold.get('author') or 'unknown'}{reason}"))
    for kind in record.get("overrides") or ():
        if kind == "pause":
            continue
        detail = {
            "hold": orders.get("held_at"),
            "floor": orders.get("floor"),
            "ceiling": orders.get("ceiling"),
            "drain": ", ".join(orders.get("drained", ())) or None,
        }.get(kind)
        words = kind.replace("_", " ") + ("" if detail is None else f" {detail}")
        told.append(((OVERRIDE, words), words))
    if record.get("dry_run"):
        told.append(((DRY_RUN, ""), "actions were only decided, none was carried out"))
    for one in record.get("alerts") or ():
        alerts = ", ".join(one.get("alerts") or ())
        least = one.get("least")
        demand = "" if least is None else f" demands {least}"
        told.append(((ALERT, f"{one.get('rule')}"), f"{alerts} ({one.get('rule')}){demand}"))
    return told
