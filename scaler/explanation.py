"""Why the pool is as big as it is, in one line and in full: records in, sentences out. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scaler import recorded_inputs
from scaler.choices import why_not
from scaler.sentences import NOT_CHOSEN, count, sentence, signal_text, words

Record = Mapping[str, Any]
Clock = Callable[[float], str]
"""A Unix time in words."""

_OUT = frozenset({"scale_out", "demand_returned", "cordoned_needed"})
_IN = frozenset({"scale_in", "cordoned_surplus"})
_STANDING_STILL = frozenset({"paused", "fenced", "hypervisor_unknown", "domains_saved"})
_POLICY_WAITS = frozenset({"cpu_above_target_not_sustained", "pool_in_transition"})
_RENEWING = frozenset(
    {
        *("rollout_surge", "rollout_replaces", "generation_given_up", "maintenance"),
        "unclaimed",
        *("standby_refill", "standby_ready", "standby_resumed", "standby_surplus"),
        *("standby_too_old", "standby_outdated"),
    }
)
"""Actions beside the size of the pool."""
_BESIDE = frozenset({"rollout_no_room", "rollout_given_up", "wakes_failed"})
_IN_ONLY = frozenset(
    {
        *("in_window", "in_window_filling", "in_cooldown", "in_step", "min", "headroom"),
        "in_rate",
        *("alert_floor", "alert_raise", "alert_blocks_in", "override_floor", "override_blocks_in"),
        *_BESIDE,
    }
)
_OUT_ONLY = frozenset(
    {
        *("out_window", "out_cooldown", "out_step", "max", "ceiling", "no_domain_left"),
        "out_rate",
        "quarantined",
        *("breaker_open", "breaker_probe", "domains_leaving", "within_tolerance"),
        *("override_ceiling", "override_blocks_out", "host_saturated"),
        *("host_memory", "host_disk"),
        *_BESIDE,
    }
)
_WISHLESS = frozenset({"stands_by", "outside_schedule", "seasonal_history_too_short"})
"""Proposals of 0 that are no wish for an empty pool: their policies leave it to the others."""
_DEMANDING = ("headroom", "alert_", "override_")
"""Steps that are wishes too: of those who need spare domains, of an alert, of a person."""
_DOMAINS_LISTED = 20


class UnknownDomainError(ValueError):
    """There was no such domain; the text says which there were."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer in one line, and what it rests on."""

    headline: str
    details: tuple[str, ...]


def explain(record: Record, clock: Clock, domain: str | None = None) -> Answer:
    """A turn in words; with a domain, why that one was chosen or not.

    Raises:
        UnknownDomainError: the pool had no domain of that name.

    """
    told = _of_domain(record, domain) if domain is not None else headline(record, clock)
    return Answer(f"{clock(record['time'])}  {told}", tuple(details(record, clock)))


def headline(record: Record, clock: Clock) -> str:
    """What a turn did, or why it did nothing, in one line without its time."""
    if record.get("desired") is None:
        return f"nothing was done: {sentence(record.get('reason'))}"
    for limit in record.get("limits") or ():
        if limit in _STANDING_STILL:
            return f"nothing was done: {_stopped(record, limit)}; {_wishes(record)}"
    going_out, going_in = _acted(record, _OUT), _acted(record, _IN)
    if going_out:
        rest = _held(record, clock, _IN_ONLY) if _wanted(record) > record["desired"] else ""
        more = f"; no more at once: {rest}" if rest else ""
        return f"{_did(record, _OUT)}: {_wishes(record)}{more}"
    if going_in:
        return f"{_did(record, _IN)}: {_wishes(record)}"
    renewing = _acted(record, _RENEWING)
    if renewing:
        why = ", ".join(dict.fromkeys(sentence(one["reason"]) for one in renewing))
        return f"{_did(record, _RENEWING)}: {why}; {_wishes(record)}"
    return _of_stillness(record, clock)


def _of_stillness(record: Record, clock: Clock) -> str:
    current = record["current"]
    known = [one for one in record.get("proposals") or () if one.get("desired") is not None]
    if not known and record["desired"] <= current:
        return f"nothing was done: no policy knew the load ({_signals(record)})"
    missing = record["desired"] > current
    if missing or _wanted(record) > current:
        held = _held(record, clock, _IN_ONLY)
        return f"no domain was started: {_wishes(record)}; held by: {held or 'nothing'}"
    if record["desired"] < current or (known and _wanted(record) < current):
        held = _held(record, clock, _OUT_ONLY)
        return f"no domain was drained: {_wishes(record)}; held by: {held or 'what is under way'}"
    waits = [one for one in record.get("held") or () if one["reason"] in _POLICY_WAITS]
    later = f"; waiting: {_until(waits[-1], clock)}" if waits else ""
    return f"nothing was to be done: {_wishes(record)}{later}"


def _of_domain(record: Record, domain: str) -> str:
    known = {one["name"]: one for one in (record.get("inputs") or {}).get("domains", ())}
    for action in record.get("actions") or ():
        if action["domain"] == domain:
            return f"{domain}: {action['action']}, because {sentence(action['reason'])}"
    if domain not in known:
        names = sorted(known)
        listed = ", ".join(names[:_DOMAINS_LISTED]) or "none"
        more = f" and {len(names) - _DOMAINS_LISTED} more" if len(names) > _DOMAINS_LISTED else ""
        raise UnknownDomainError(
            f"domain = {domain[:80]!r}: the pool had no such domain then; there were: "
            f"{listed}{more}"
        )
    state = str(known[domain]["state"]).replace("_", " ")
    choices = record.get("choices")
    pool = recorded_inputs.pool(record)
    found = why_not(pool, choices, domain) if choices and pool is not None else None
    if not choices or found is None:
        return f"{domain} was {state}; no domain was to be started or drained"
    verb = "started" if choices["direction"] == "out" else "drained"
    chosen = ", ".join(choices["chosen"]) or "none"
    return (
        f"{domain} was {state} and not {verb} (chosen: {chosen}): "
        f"it is of those that {NOT_CHOSEN[found.value]} [{found.value}]"
    )


def weight(record: Record, domain: str | None = None) -> int:
    """How much there is to say of a turn: 2 it changed the capacity, 1 it might have, 0 neither."""
    actions = record.get("actions") or ()
    if domain is not None and any(one["domain"] == domain for one in actions):
        return 2
    if any(one["reason"] in _OUT | _IN for one in actions):
        return 1 if domain is not None else 2
    current = record.get("current")
    return 1 if current is not None and _wanted(record) > current else 0


def details(record: Record, clock: Clock) -> list[str]:
    """Everything that the turn was made from."""
    told = [
        f"  pool:     current {count(record.get('current'))}, "
        f"desired {count(record.get('desired'))}: {sentence(record.get('reason'))}"
    ]
    if record.get("signals"):
        told.append(f"  seen:     {_signals(record)}")
    told += [
        f"  policy:   {one['policy']} {_wants(one)}: {sentence(one.get('reason'))}"
        for one in record.get("proposals") or ()
    ]
    told += [
        f"  changed:  {count(step.get('before'))} -> {count(step.get('after'))}: "
        f"{sentence(step.get('reason'))}"
        for step in record.get("steps") or ()
    ]
    told += _detailed_holds(record, clock)
    told += [
        f"  action:   {one['action']} {one['domain']}: {sentence(one.get('reason'))}"
        for one in record.get("actions") or ()
    ]
    told += _detailed_choices(record.get("choices"))
    told += [
        f"  event:    {one['domain']}: {str(one['incident']).replace('_', ' ')}"
        for one in record.get("incidents") or ()
    ]
    told += [
        f"  shadow:   {one['shadow']} would want {count(one['desired'])}: {sentence(one['reason'])}"
        for one in record.get("shadows") or ()
    ]
    told += [
        f"  alert:    {', '.join(one.get('alerts') or ())} ({one.get('rule')}) demands "
        f"{count(one.get('least'))}: {sentence(one.get('reason'))}"
        for one in record.get("alerts") or ()
    ]
    if record.get("overrides"):
        told.append(f"  ordered:  {', '.join(record['overrides'])} (virtscale override list)")
    if record.get("hold"):
        told.append(f"  {_paused_by(record['hold'])}")
    told += [f"  trouble:  {error}" for error in record.get("errors") or ()]
    told += [
        f"  trouble:  signal {name}: {signal['detail']}"
        for name, signal in (record.get("signals") or {}).items()
        if signal.get("detail")
    ]
    if not record.get("actions"):
        is_held = record.get("held") or record.get("limits")
        told.append("  action:   none" + ("" if is_held else ", the pool is as it should be"))
    if record.get("dry_run"):
        told.append("  dry run:  actions are only decided, none is carried out")
    if record.get("config"):
        told.append(f"  config:   {record['config']}")
    return told


def history(records: Iterable[Record], clock: Clock, *, limit: int) -> list[str]:
    """The newest actions with their reasons and results, oldest first."""
    told: list[str] = []
    for record in records:
        at = clock(record.get("time", 0.0))
        if record.get("type") == "result":
            error = f": {record['error']}" if record.get("error") else ""
            told.append(f"{at}  {record['action']} {record['domain']} {record['outcome']}{error}")
            continue
        told += [
            f"{at}  {one['action']} {one['domain']}: {words(one.get('reason'))} "
            f"({count(record.get('current'))} -> {count(record.get('desired'))}: "
            f"{words(record.get('reason'))})"
            for one in record.get("actions") or ()
        ]
    return told[-limit:] if limit > 0 else []


def period(records: Iterable[Record], clock: Clock) -> list[str]:
    """What happened, oldest first: stretches with one headline reason, actions and results."""
    told: list[str] = []
    stretch: list[Record] = []

    def end() -> None:
        if stretch:
            told.append(_stretch(stretch, clock))
            stretch.clear()

    for record in records:
        if record.get("type") == "decision":
            if stretch and _alike(stretch[-1]) != _alike(record):
                end()
            stretch.append(record)
            if not record.get("actions"):
                continue
            end()
        told += [f"  {line}" for line in history([record], clock, limit=100)]
    end()
    return told


def _alike(record: Record) -> tuple[Any, ...]:
    return record.get("reason"), record.get("current"), record.get("desired")


def _stretch(stretch: Sequence[Record], clock: Clock) -> str:
    first, last = stretch[0], stretch[-1]
    turns = sum(one.get("count", 1) for one in stretch)
    begin, end = clock(first["time"]), clock(last.get("last", last["time"]))
    return (
        f"{begin if begin == end else f'{begin} - {end}'}  current "
        f"{count(first.get('current'))}, desired {count(first.get('desired'))} "
        f"({turns} turn{'' if turns == 1 else 's'}): {sentence(first.get('reason'))}"
    )


def _wishes(record: Record) -> str:
    """Who wanted how many, the highest wish with its reason, and how many served."""
    highest = _wanted(record)
    # Policies that say the same are one part of the line, in the place of the first.
    alike: dict[str, list[str]] = {}
    for one in _wishing(record):
        wish = one.get("desired")
        because = f" ({words(one.get('reason'))})" if wish is None or wish == highest else ""
        alike.setdefault(f"wanted {count(wish)}{because}", []).append(one["policy"])
    told = [f"{_listed(names)} {wanted}" for wanted, names in alike.items()]
    if not told and record.get("proposals"):
        told = ["no policy had a wish"]
    told += [
        f"{words(step['reason'])} ({step['before']} -> {step['after']})"
        for step in record.get("steps") or ()
        if str(step["reason"]).startswith(_DEMANDING)
    ]
    seen = _signals(record)
    served = f"{count(record.get('current'))} served"
    return ", ".join([*told, served]) + (f" ({seen})" if seen else "")


def _wishing(record: Record) -> list[Record]:
    """The proposals of policies that have a say in this turn."""
    proposals = record.get("proposals") or ()
    return [one for one in proposals if one.get("reason") not in _WISHLESS]


def _wants(proposal: Record) -> str:
    is_wishless = proposal.get("reason") in _WISHLESS
    return "has no wish" if is_wishless else f"wants {count(proposal.get('desired'))}"


def _listed(names: Sequence[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def _wanted(record: Record) -> int:
    wishes = [one.get("desired") for one in record.get("proposals") or ()]
    return max((wish for wish in wishes if wish is not None), default=0)


def _acted(record: Record, reasons: frozenset[str]) -> list[Record]:
    return [one for one in record.get("actions") or () if one["reason"] in reasons]


def _did(record: Record, reasons: frozenset[str]) -> str:
    told = [f"{str(one['action']).replace('_', ' ')} {one['domain']}"
            for one in _acted(record, reasons)]  # fmt: skip
    would = "would " if record.get("dry_run") else ""
    return would + ", ".join(told)


def _held(record: Record, clock: Clock, besides: frozenset[str]) -> str:
    """The causes with their ends; the ones of the other direction are left out."""
    held = [one for one in record.get("held") or () if one["reason"] not in besides]
    # What a policy waits for matters only when nothing after it stands in the way.
    held = [one for one in held if one["reason"] not in _POLICY_WAITS] or held
    return ", ".join(dict.fromkeys(_until(one, clock) for one in held))


def _until(held: Record, clock: Clock) -> str:
    until = held.get("until")
    end = "" if until is None else f" until {clock(until)}"
    return f"{words(held['reason'])}{end} [{held['reason']}]"


def _detailed_holds(record: Record, clock: Clock) -> list[str]:
    held = record.get("held")
    if held is None:
        return [f"  held by:  {sentence(limit)}" for limit in record.get("limits") or ()]
    return [f"  held by:  {_until(one, clock)}" for one in held]


def _detailed_choices(choices: Record | None) -> list[str]:
    if not choices:
        return []
    told = []
    for group in choices["others"]:
        more = group["count"] - len(group["domains"])
        names = ", ".join(group["domains"]) + (f" and {more} more" if more > 0 else "")
        told.append(f"  not {names}: {NOT_CHOSEN.get(group['why'], group['why'])} [{group['why']}]")
    return told


def _signals(record: Record) -> str:
    return "; ".join(signal_text(*item) for item in (record.get("signals") or {}).items())


def _stopped(record: Record, limit: str) -> str:
    hold = record.get("hold")
    return _paused_by(hold) if limit == "paused" and hold else sentence(limit)


def _paused_by(hold: Record) -> str:
    return f"paused by {hold.get('author')}: {hold.get('reason') or 'no reason given'}"
