"""What the page shows, as values: `composition.py` makes them, `html_page.py` draws them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from scaler.status_page.load import Points


class Tone(StrEnum):
    """How a thing is meant; told in words too, never by colour alone."""

    GOOD = "good"
    BUSY = "busy"
    RISING = "rising"
    LEAVING = "leaving"
    WAITING = "waiting"
    OFF = "off"
    NOTE = "note"
    WARN = "warn"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that a person should know at once."""

    tone: Tone
    text: str


@dataclass(frozen=True, slots=True)
class Share:
    """Domains of one tone, for the strip that shows the whole pool."""

    tone: Tone
    label: str
    count: int


@dataclass(frozen=True, slots=True)
class Capacity:
    """How many domains there are and should be. None: not known."""

    desired: int | None
    current: int
    ready: int
    least: int
    most: int
    total: int
    shares: tuple[Share, ...]


@dataclass(frozen=True, slots=True)
class Figure:
    """One number with its name. `value` is `unknown` when it is."""

    name: str
    value: str
    note: str = ""
    """What it means, or why it is not known."""
    is_known: bool = True


@dataclass(frozen=True, slots=True)
class DomainRow:
    """One domain."""

    name: str
    label: str
    tone: Tone
    tier: str
    """`serving`, the tier of a standby domain or of one that is off, or empty."""
    cpu_ratio: float | None
    history: Points
    leases: int | None
    busy_slots: int | None
    slots: int | None
    note: str
    may_drain: bool


@dataclass(frozen=True, slots=True)
class SignalRow:
    """One signal."""

    name: str
    value: str
    label: str
    """`known`, `stale`, ..."""
    tone: Tone
    age: str
    detail: str


@dataclass(frozen=True, slots=True)
class PolicyRow:
    """What one policy wants."""

    name: str
    wish: str
    why: str


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of the timeline: something was done, or a stretch in which nothing was."""

    key: int
    """Stays the same while the stretch grows."""
    kind: str
    tone: Tone
    at: float
    time: str
    until: str
    """When it ended, of a stretch; empty: at once."""
    title: str
    change: str
    """`2 → 3`, or `2`."""
    why: str
    details: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OverrideRow:
    """An order in force."""

    id: str
    kind: str
    text: str
    author: str
    reason: str
    since: str
    until: str


@dataclass(frozen=True, slots=True)
class AlertRow:
    """An alert that fires and that a rule is for."""

    name: str
    labels: str
    since: str
    effect: str


@dataclass(frozen=True, slots=True)
class View:
    """Everything on the page."""

    pool: str
    now: float
    time: str
    headline: str
    tone: Tone
    why: str
    summary: str
    """The whole state in one sentence, for screen readers."""
    capacity: Capacity | None
    """None: no turn is finished yet."""
    needs_token: bool
    is_paused: bool
    notices: tuple[Notice, ...] = ()
    domains: tuple[DomainRow, ...] = ()
    cpu_note: str = ""
    """Why CPU is not shown; empty: it is."""
    pool_cpu: Points = ()
    queue: tuple[Figure, ...] = ()
    waiting: Points = ()
    signals: tuple[SignalRow, ...] = ()
    policies: tuple[PolicyRow, ...] = ()
    timeline: tuple[Event, ...] = ()
    overrides: tuple[OverrideRow, ...] = ()
    contradictions: tuple[str, ...] = ()
    alerts: tuple[AlertRow, ...] = ()
    version: str = ""


@dataclass(frozen=True, slots=True)
class ShownAlert:
    """An alert that fires, as the desk knows it."""

    name: str
    labels: Mapping[str, str]
    starts_at: float


@dataclass(frozen=True, slots=True)
class Settings:
    """What of the configuration is shown."""

    least: int
    most: int
    is_dry_run: bool = False
    policy_faults: Sequence[str] = field(default_factory=tuple)
