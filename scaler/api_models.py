"""What the scaler's API answers and takes, as models: the schemas of its description."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class Signal(_Model):
    """What a signal said."""

    kind: Literal["known", "partial", "empty", "nan", "stale", "failed"]
    value: float | None = None
    age_seconds: float | None = None
    detail: str | None = None


class Proposal(_Model):
    """What one policy wants; nulls when it does not know."""

    policy: str
    reason: str
    desired: int | None
    low: int | None
    """It scales out when fewer than this serve."""
    high: int | None
    """It scales in when more than this serve."""
    complete: bool
    """All signals it needs are known and fresh."""


class Step(_Model):
    """A change of the number on its way to the desired capacity, or why it was held."""

    reason: str
    before: int
    after: int


class Action(_Model):
    """One thing done to one domain."""

    action: str
    domain: str
    reason: str


class Incident(_Model):
    """Something that happened to a domain without the scaler's doing."""

    domain: str
    incident: str


class HoldOrder(_Model):
    """Who holds scaling, and why."""

    author: str
    reason: str


class HeldBy(_Model):
    """A cause that keeps the capacity as it is."""

    reason: str
    until: float | None
    """Unix time at which it ends if nothing else happens; null: not known."""


class Windows(_Model):
    """What stabilising and the breaker remembered; times are Unix times."""

    out_lowest: int | None
    in_highest: int | None
    watching_since: float | None
    last_out: float | None
    last_in: float | None
    breaker_failures: int
    breaker_until: float | None


class NotChosenGroup(_Model):
    """Domains that were passed over for one cause; of many, the first names."""

    why: str
    count: int
    domains: list[str]


class Choices(_Model):
    """Which domains were chosen, and why each other one was not."""

    direction: Literal["out", "in"]
    chosen: list[str]
    others: list[NotChosenGroup]


class ShadowWish(_Model):
    """What a shadow policy would have wanted."""

    shadow: str
    desired: int | None
    reason: str


class AlertDemand(_Model):
    """What a rule for alerts demands while one of them fires."""

    rule: str
    reason: str
    least: int
    """Domains, at least."""
    alerts: list[str]


class _Decided(_Model):
    type: Literal["decision"]
    time: float
    """Unix time of the turn."""
    reason: str
    desired: int | None
    current: int
    recommended: int | None
    states: dict[str, int]
    signals: dict[str, Signal]
    proposals: list[Proposal]
    steps: list[Step]
    actions: list[Action]
    limits: list[str]
    incidents: list[Incident]
    hold: HoldOrder | None
    errors: list[str]
    overrides: list[str]
    """Kinds of the overrides in force."""
    alerts: list[AlertDemand]


class RecordedDecision(_Decided):
    """A turn as it is kept."""

    config: str
    """Digest of the configuration."""
    dry_run: bool
    held: list[HeldBy]
    windows: Windows
    choices: Choices | None
    shadows: list[ShadowWish]


class _Entry(_Model):
    id: int
    """Grows with every entry."""
    last: float
    """Unix time of the last turn of the run."""
    count: int
    """Turns in the run."""


class DecisionEntry(RecordedDecision, _Entry):
    """A run of turns that said the same; the values are those of its first turn."""


class ResultEntry(_Entry):
    """How an action ended."""

    type: Literal["result"]
    time: float
    action: str
    domain: str
    outcome: str
    error: str


class ConfigEntry(_Entry):
    """The configuration from here on."""

    type: Literal["config"]
    time: float
    config: str
    """Its digest."""
    started: bool
    """The scaler has just started and remembers nothing."""
    settings: dict[str, Any]


class Decisions(_Model):
    """A page, oldest entry first."""

    decisions: list[DecisionEntry | ResultEntry | ConfigEntry]
    next: int | None
    """Give it as `before` to get the page of older entries; null: there is none."""


class Explanation(_Model):
    """Why the pool was as big as it was."""

    at: float
    answer: str
    """In one line."""
    gap: str | None
    """Set when no turn was recorded near that time."""
    details: list[str]
    decision: RecordedDecision
    actions: list[str]
    """The last actions up to then."""


class Period(_Model):
    """What happened in a stretch of time."""

    since: float
    until: float
    lines: list[str]


class Domain(_Model):
    """A domain of the pool now."""

    name: str
    state: str
    lifecycle: str
    cause: str
    operation: str | None
    operation_age_seconds: float | None
    action_in_flight: str | None
    failures: int
    generation: str
    """The image that it runs; empty: not known."""
    outdated: bool
    """It runs another image than its definition names."""
    foreign_scaler: str
    """The other scaler that it belongs to and that alone may touch it; empty: none."""
    slots: int | None
    busy_slots: int | None
    leases: int | None


class BreakerState(_Model):
    """Boot failures in a row."""

    failures: int
    retry_in_seconds: float | None


class LatestDecision(_Decided):
    """The newest turn."""


class Status(_Model):
    """The pool now."""

    pool: str
    time: float
    desired: int | None
    current: int
    ready: int
    active: int
    domains: list[Domain]
    fleet_known: bool
    breaker: BreakerState
    decision: LatestDecision
    paused: bool
    hold: HoldOrder | None


class OverrideOrder(_Model):
    """A new override; without `seconds` it lasts until it is removed."""

    kind: Literal["pause", "hold", "floor", "ceiling", "block_out", "block_in", "dry_run", "drain"]
    domains: int | None = None
    """hold, floor, ceiling: how many."""
    domain: str | None = None
    """drain: which."""
    author: str = Field(default="unknown", max_length=200)
    reason: str = Field(default="", max_length=200)
    seconds: float | None = None


class OverrideInForce(_Model):
    """An order of a person. Times are Unix times."""

    id: str
    kind: str
    author: str
    reason: str
    created_at: float
    expires_at: float | None = None
    domains: int | None = None
    domain: str | None = None


class Overrides(_Model):
    """The overrides in force, and what of them has no effect because something else wins."""

    overrides: list[OverrideInForce]
    contradictions: list[str]


class OverrideAdded(Overrides):
    """The new one, and all of them."""

    override: OverrideInForce


class OverrideRemoved(Overrides):
    """The one lifted, and those that stay."""

    removed: OverrideInForce


class Notification(BaseModel):
    """Alertmanager's webhook, version 4; what it sends besides is ignored."""

    version: str
    alerts: list[dict[str, Any]]


class NotificationTaken(_Model):
    """What became of a notification."""

    alerts: int
    used: int
    """Alerts that a rule is for."""
    truncated: int
    """Alerts that Alertmanager left out."""


class Policies(_Model):
    """The policies in effect."""

    pool: str
    policies_file: str | None
    faults: list[str]
    """Of a newer file, which is not in effect."""
    effective: dict[str, Any]
    """As a policies file with nothing left out."""


class PauseOrder(_Model):
    """Who pauses, and why."""

    author: str = Field(default="unknown", max_length=200)
    reason: str = Field(default="", max_length=200)


class Paused(_Model):
    """Whether scaling is held now."""

    paused: bool


class FieldFault(_Model):
    """One thing wrong with a body."""

    field: str
    value: str
    fix: str


class Error(_Model):
    """What was wrong with the request."""

    error: str
    faults: list[FieldFault] = Field(default_factory=list)
