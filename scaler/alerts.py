"""Alerts as levels: which ones fire, told by messages that may be lost, doubled or late. Pure.

A *book* has one standing per alert, under its fingerprint. Notifications (`hear`) are ordered by
the sender's times: a newer `starts_at` is a new episode, and within an episode *resolved* is the
end, whatever arrives after it. Listings (`see`) say what a server holds at the moment of asking;
they may open an episode again, but what they leave out is not news: a server that has just started
lists nothing. So an alert ends by its *resolved*, or when nobody has named it for the TTL.

What fires acts through rules. A rule acts or does not; how many alerts match it makes no
difference, and neither does how often they were told.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from scaler.reasons import Reason
from scaler.stabilization import Stabilised, Step

Labels = Mapping[str, str]

MAX_STANDINGS = 1000
"""More alerts at a time are not remembered; see `is_full`."""
_KEPT_SECONDS = 900.0
"""So long a *resolved* is remembered, because an older message may still arrive after it."""


@dataclass(frozen=True, slots=True)
class Notice:
    """What a message says of one alert. Its times are the sender's, in seconds of Unix time."""

    fingerprint: str
    labels: Labels
    starts_at: float
    is_firing: bool
    ends_at: float | None = None
    """Of an alert that is resolved."""

    def is_before(self, starts_at: float) -> bool:
        """True when it is of an episode that was over when the one from `starts_at` began.

        Two Prometheus servers see the same alert begin at different times, and Alertmanager then
        takes the earlier: a *resolved* counts by its end.
        """
        if self.is_firing or self.ends_at is None:
            return self.starts_at < starts_at
        return self.starts_at < starts_at and self.ends_at <= starts_at


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of one alert. `heard_at` is on our clock: the last message about it."""

    labels: Labels
    starts_at: float
    is_firing: bool
    heard_at: float


Book = Mapping[str, Standing]

EMPTY_BOOK: Book = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Matcher:
    """A label that must have a value, or match a regular expression as a whole."""

    label: str
    value: str
    is_regex: bool = False

    def matches(self, labels: Labels) -> bool:
        """A label that is missing counts as empty, as in Alertmanager."""
        found = labels.get(self.label, "")
        if self.is_regex:
            return re.fullmatch(self.value, found) is not None
        return found == self.value


@dataclass(frozen=True, slots=True)
class AlertRule:
    """What the alerts that match all of `matchers` do while one of them fires."""

    name: str
    matchers: tuple[Matcher, ...]
    raise_by: int | None = None
    """So many domains more than served when it began."""
    floor: int | None = None
    blocks_in: bool = False

    def matches(self, labels: Labels) -> bool:
        """True when every matcher does."""
        return all(matcher.matches(labels) for matcher in self.matchers)


@dataclass(frozen=True, slots=True)
class Firing:
    """An alert that fires."""

    fingerprint: str
    labels: Labels

    @property
    def name(self) -> str:
        """Its `alertname`; the fingerprint of an alert without one."""
        return self.labels.get("alertname") or self.fingerprint


@dataclass(frozen=True, slots=True)
class Base:
    """The capacity at which a rule began to act. It outlives the rule a while, see `judge`."""

    domains: int
    released_at: float | None = None
    """When the rule ceased to act, on our clock; None: it acts."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What a turn knows of alerts: those that fire, and the bases kept since the last turn."""

    firing: tuple[Firing, ...] = ()
    bases: Mapping[str, Base] = field(default_factory=dict)


NO_ALERTS = Sight()


@dataclass(frozen=True, slots=True)
class Effect:
    """What one rule does now, because of `alerts`."""

    rule: str
    alerts: tuple[str, ...]
    least: int
    """The desired capacity must not be below."""
    reason: Reason

    @property
    def blocks_in(self) -> bool:
        """True when it forbids every scale-in."""
        return self.reason is Reason.ALERT_BLOCKS_IN


def hear(book: Book, notices: Iterable[Notice], now: float) -> Book:
    """The book after a notification. Any order and any repetition of messages end the same."""
    after = dict(book)
    for notice in notices:
        known = after.get(notice.fingerprint)
        starts_at = notice.starts_at
        if known is not None:
            if notice.is_before(known.starts_at):
                continue  # of an episode that is over
            if starts_at <= known.starts_at and not known.is_firing:
                continue  # a late message: this episode has ended
            starts_at = max(starts_at, known.starts_at)
        if known is None and len(after) >= MAX_STANDINGS:
            continue
        after[notice.fingerprint] = Standing(notice.labels, starts_at, notice.is_firing, now)
    return after


def see(book: Book, listed: Iterable[Notice], asked_at: float, now: float) -> Book:
    """The book after a server listed alerts that fire; it was asked at `asked_at` on our clock."""
    after = dict(book)
    for notice in listed:
        known = after.get(notice.fingerprint)
        if known is not None and not known.is_firing and known.heard_at >= asked_at:
            continue  # it has ended since the question
        if known is None and len(after) >= MAX_STANDINGS:
            continue
        starts_at = notice.starts_at
        if known is not None:
            # Prometheus tells when the condition began, Alertmanager when the alert did.
            starts_at = max(starts_at, known.starts_at)
        after[notice.fingerprint] = Standing(notice.labels, starts_at, is_firing=True, heard_at=now)
    return after


def tidy(book: Book, ttl_seconds: float, now: float) -> Book:
    """Without the standings that no longer mean anything."""
    kept_seconds = max(ttl_seconds, _KEPT_SECONDS)
    return {
        fingerprint: standing
        for fingerprint, standing in book.items()
        if now - standing.heard_at < (ttl_seconds if standing.is_firing else kept_seconds)
    }


def is_full(book: Book) -> bool:
    """True when a further alert would not be remembered."""
    return len(book) >= MAX_STANDINGS


def firing(book: Book, ttl_seconds: float, now: float) -> tuple[Firing, ...]:
    """The alerts that fire, in the order of their fingerprints."""
    return tuple(
        Firing(fingerprint, standing.labels)
        for fingerprint, standing in sorted(book.items())
        if standing.is_firing and now - standing.heard_at < ttl_seconds
    )


def judge(
    rules: Sequence[AlertRule], sight: Sight, current: int, kept_seconds: float, now: float
) -> tuple[tuple[Effect, ...], dict[str, Base]]:
    """What the rules do at this capacity, and the bases for the next turn.

    The base of a rule is taken once, when it begins to act: were it the present capacity, each
    raise would be the reason for the next. For the same reason it is kept for `kept_seconds` after
    the rule ceased to act, unless the capacity has come back to it: an alert that comes and goes
    must not climb.
    """
    effects: list[Effect] = []
    bases: dict[str, Base] = {}
    for rule in rules:
        names = tuple(sorted({one.name for one in sight.firing if rule.matches(one.labels)}))
        before = sight.bases.get(rule.name)
        if not names:
            if before is not None and current > before.domains:
                released_at = now if before.released_at is None else before.released_at
                if now - released_at < kept_seconds:
                    bases[rule.name] = Base(before.domains, released_at)
            continue
        base = Base(current if before is None else before.domains)
        bases[rule.name] = base
        if rule.floor is not None:
            effects.append(Effect(rule.name, names, rule.floor, Reason.ALERT_FLOOR))
        if rule.raise_by is not None:
            least = base.domains + rule.raise_by
            effects.append(Effect(rule.name, names, least, Reason.ALERT_RAISE))
        if rule.blocks_in:
            effects.append(Effect(rule.name, names, current, Reason.ALERT_BLOCKS_IN))
    return tuple(effects), bases


def apply(stabilised: Stabilised, effects: Iterable[Effect]) -> Stabilised:
    """The desired capacity under these effects, floors first, each change with its step.

    They only ever raise. What they raise to may be above `max`, which is for the caller to see to.
    """
    desired = stabilised.desired
    steps: list[Step] = []
    order = (Reason.ALERT_FLOOR, Reason.ALERT_RAISE, Reason.ALERT_BLOCKS_IN)
    for effect in sorted(effects, key=lambda one: (order.index(one.reason), -one.least, one.rule)):
        if effect.least > desired:
            steps.append(Step(effect.reason, desired, effect.least))
            desired = effect.least
    if not steps:
        return stabilised
    return replace(stabilised, desired=desired, steps=(*stabilised.steps, *steps))
