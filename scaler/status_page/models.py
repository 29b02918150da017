"""What `/api/v1/view` and the events of `/api/v1/events` look like, for the API's description.

The same fields as in `view.py`, written again on purpose: what is drawn may be renamed inside, what
is promised to others may not. `view.py` would need pydantic's settings to describe itself in these
words, and the page's pure part knows nothing of pydantic. Tests hold a view against the models, in
which nothing may be more or less.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict

Tone = Literal["good", "busy", "rising", "leaving", "waiting", "off", "note", "warn", "bad"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class PageNotice(_Model):
    """Something that a person should know at once."""

    tone: Tone
    text: str


class PageShare(_Model):
    """Domains of one tone."""

    tone: Tone
    label: str
    count: int


class PageCapacity(_Model):
    """How many domains there are and should be."""

    desired: int | None
    current: int
    ready: int
    least: int
    most: int
    total: int
    shares: list[PageShare]


class PageFigure(_Model):
    """A number of the queue, as it is shown."""

    name: str
    value: str
    note: str
    is_known: bool


class PageDomain(_Model):
    """A row of the table of domains."""

    name: str
    label: str
    tone: Tone
    tier: str
    cpu_ratio: float | None
    history: list[float | None]
    """CPU utilisation of the last 10 minutes, one value each 15 s; null: not known."""
    leases: int | None
    busy_slots: int | None
    slots: int | None
    note: str
    may_drain: bool


class PageSignal(_Model):
    """A signal, as it is shown."""

    name: str
    value: str
    label: str
    tone: Tone
    age: str
    detail: str


class PagePolicy(_Model):
    """What a policy wants."""

    name: str
    wish: str
    why: str


class PageTimelineEvent(_Model):
    """An entry of the timeline."""

    key: int
    kind: str
    tone: Tone
    at: float
    time: str
    until: str
    title: str
    change: str
    why: str
    details: list[str]


class PageOverride(_Model):
    """An order in force."""

    id: str
    kind: str
    text: str
    author: str
    reason: str
    since: str
    until: str


class PageAlert(_Model):
    """An alert that fires and that a rule is for."""

    name: str
    labels: str
    since: str
    effect: str


class PageView(_Model):
    """Everything on the status page, in the words that it uses."""

    pool: str
    now: float
    time: str
    headline: str
    tone: Tone
    why: str
    summary: str
    capacity: PageCapacity | None
    needs_token: bool
    is_paused: bool
    notices: list[PageNotice]
    domains: list[PageDomain]
    cpu_note: str
    pool_cpu: list[float | None]
    queue: list[PageFigure]
    waiting: list[float | None]
    signals: list[PageSignal]
    policies: list[PagePolicy]
    timeline: list[PageTimelineEvent]
    overrides: list[PageOverride]
    contradictions: list[str]
    alerts: list[PageAlert]
    version: str


class PageEvent(_Model):
    """The data of an event: everything (`state`), or what is new (`change`)."""

    sections: dict[str, str]
    """Markup by the id of the element that holds it."""
    rows: dict[str, list[str] | dict[str, str]] | None = None
    """Cells of domains by name: all, or the changed ones by their place."""
    order: list[str] | None = None
    """Names in the order of the table, when that changed."""
    events: dict[str, str] | None = None
    """Markup of entries of the timeline by key."""
    timeline: list[str] | None = None
    """Keys, newest first, when they changed."""
    version: str | None = None
    """Of the page's files; only in `state`."""
