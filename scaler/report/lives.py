"""Domains from their start to being off, and actions with how long they took. Pure."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scaler.report.past import Past, Seen, Stretch

_OFF = frozenset({"off", "standby_saved", "quarantined_off"})
_NOT_OURS = frozenset({"quarantined", "quarantined_off"})
_POWER_ON = frozenset({"start", "prepare", "restore"})
"""Actions that power a domain on."""
_BOOTS = frozenset({"start", "prepare"})
_WAKES = frozenset({"resume", "restore"})
_WAYS_DOWN = frozenset({"shutdown", "destroy", "save", "suspend"})
_BETWEEN_TURNS = 5.0
_ANSWERS = 600.0
"""Seconds in which an action has told how it ended, or is not counted as answered."""


@dataclass(slots=True)
class Life:
    """A domain from the turn in which it was seen on to the one in which it was off again."""

    domain: str
    since: float
    until: float | None = None
    """None: it was on at the end."""
    hello_at: float | None = None
    was_there: bool = False
    """It ran already when the time began."""


@dataclass(slots=True)
class Act:
    """One action on a domain."""

    at: float
    action: str
    domain: str
    reason: str
    outcome: str = ""
    """Empty: nothing was recorded of its end."""
    error: str = ""
    call_seconds: float | None = None
    """From the decision to the end of the call."""
    seconds: float | None = None
    """What the action was for: a start to Hello, a drain until its domain is empty, a shutdown
    until it is off. None: it has no such end, or it did not come."""
    what: str = ""
    """What `seconds` are, in words."""


def lives(past: Past) -> list[Life]:
    """One for each time that a domain of ours was on, oldest first."""
    found: list[Life] = []
    for name, seen in past.domains.items():
        life: Life | None = None
        of_domain: list[Life] = []
        for at, state in seen.states:
            is_on = state not in _OFF and state not in _NOT_OURS
            if is_on and life is None:
                life = Life(name, at, was_there=at == past.first_sight)
                of_domain.append(life)
            elif not is_on and life is not None:
                life.until = at
                life = None
        for one in of_domain:
            one.hello_at = _first_hello(seen, one)
        found += of_domain
    kept = [one for one in found if one.until is None or one.until >= past.since]
    return sorted(kept, key=lambda one: (one.since, one.domain))


def _first_hello(seen: Seen, life: Life) -> float | None:
    end = life.until if life.until is not None else float("inf")
    # The turn that saw it start came after the call, and a Hello may lie between the two.
    begin = float("-inf") if life.was_there else life.since - _BETWEEN_TURNS
    return next((hello for hello in seen.hellos if begin <= hello <= end), None)


def acts(past: Past) -> list[Act]:
    """Every action that was decided, oldest first, with its end."""
    found = [act for stretch in past.stretches for act in _decided(stretch)]
    by_domain: dict[str, list[Act]] = {}
    for act in found:
        by_domain.setdefault(act.domain, []).append(act)
    for result in past.results:
        _answer(by_domain.get(str(result.get("domain")), ()), result)
    for of_domain in by_domain.values():
        for place, act in enumerate(of_domain):
            _time(act, of_domain[place + 1 :], past.domains.get(act.domain, Seen()))
    return found


def power_ons(found: Iterable[Act]) -> list[Act]:
    """Actions that powered a domain on, or may have."""
    return [one for one in found if one.action in _POWER_ON and one.outcome != "failed"]


def _decided(stretch: Stretch) -> Iterable[Act]:
    if stretch.record.get("dry_run"):
        return
    for one in stretch.record.get("actions") or ():
        yield Act(stretch.first, str(one["action"]), str(one["domain"]), str(one["reason"]))


def _answer(of_domain: Sequence[Act], result: Mapping[str, Any]) -> None:
    """Gives a result to the newest action of its kind that has none."""
    at = float(result.get("time", 0.0))
    for act in reversed(of_domain):
        is_its = act.action == result.get("action") and 0 <= at - act.at <= _ANSWERS
        if is_its and not act.outcome:
            act.outcome = str(result.get("outcome", ""))
            act.error = str(result.get("error") or "")
            act.call_seconds = at - act.at
            return


def _time(act: Act, later: Sequence[Act], seen: Seen) -> None:
    """How long it took; `later` are the actions on the same domain."""
    if act.action in _BOOTS or act.action in _WAKES:
        end = next((one.at for one in later if one.action in _POWER_ON), float("inf"))
        act.what = "from call to Hello" if act.action in _BOOTS else "from call to serving"
        act.seconds = _boot_seconds(act, end, seen)
    elif act.action == "drain":
        act.what = "until it held nothing"
        act.seconds = _until(act, later, lambda one: one.action in _WAYS_DOWN)
    elif act.action in ("shutdown", "destroy"):
        act.what = "until it was off"
        act.seconds = _until(act, later, lambda one: one.reason == "off_reached")


def _boot_seconds(act: Act, end: float, seen: Seen) -> float | None:
    """From the call to the first Hello after it; a woken worker said Hello long before."""
    if act.action in _WAKES:
        moments = [at for at, state in seen.states if state == "ready"]
    else:
        moments = seen.hellos
    place = bisect_left(moments, act.at)
    return moments[place] - act.at if place < len(moments) and moments[place] < end else None


def _until(act: Act, later: Sequence[Act], is_end: Callable[[Act], bool]) -> float | None:
    for one in later:
        if is_end(one):
            return one.at - act.at
        if one.action in _POWER_ON or one.action == "cancel_drain":
            break
    return None
