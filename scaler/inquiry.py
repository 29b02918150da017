"""Answers questions about the past: finds the turn that is meant, and has it explained."""

from collections.abc import Mapping
from typing import Any

from scaler import explanation
from scaler.entries import History, Page
from scaler.times_of_day import clock_text

_SEARCHED_ENTRIES = 1_000
_PERIOD_ENTRIES = 20_000
_ACTIONS = 10


class NotRecordedError(LookupError):
    """Nothing was recorded of that time. The text is for a person."""


class Inquiry:
    """Questions to one history. `gap_seconds` without a turn mean that the scaler did not run."""

    def __init__(self, history: History, *, gap_seconds: float = 30.0) -> None:
        self._history = history
        self._gap_seconds = gap_seconds

    def explain(
        self,
        at: float,
        *,
        now: float,
        within: float = 0.0,
        domain: str | None = None,
        actions: int = _ACTIONS,
    ) -> dict[str, Any]:
        """The turn in force at `at`: `answer` in one line, `details`, the record, last actions.

        When another turn within so many seconds has more to say, that one: the first that changed
        the capacity, else the first that did not follow a wish for more.

        Raises:
            NotRecordedError: there is no turn of that time or before.
            UnknownDomainError: the pool had no domain of that name then.

        """
        entry, following = self._history.around(at)

        def clock(moment: float) -> str:
            return clock_text(moment, now=now)

        if entry is None and following is not None and following.first <= at + within:
            entry, at = following, following.first
        if entry is None:
            raise NotRecordedError(self._nothing(clock(at), following, now))
        record = entry.at(at)
        page = Page(limit=_SEARCHED_ENTRIES, since=at, until=at + within, kinds=("decision",))
        for other in self._history.entries(page) if within else ():
            begins_within = other.first >= at
            is_more = explanation.weight(other.body, domain) > explanation.weight(record, domain)
            if begins_within and is_more:
                entry, record = other, dict(other.body)
        at = max(at, entry.first)
        told = explanation.explain(record, clock, domain)
        page = Page(limit=_SEARCHED_ENTRIES, until=at)
        earlier = [one.shown() for one in self._history.entries(page)]
        return {
            "at": at,
            "answer": told.headline,
            "gap": self._gap(at, entry.last, None if following is None else following.first, now),
            "details": list(told.details),
            "decision": {name: value for name, value in record.items() if name != "inputs"},
            "actions": explanation.history(earlier, clock, limit=actions),
        }

    def period(self, since: float, until: float, *, now: float) -> dict[str, Any]:
        """Everything that happened in a stretch of time, a line each, oldest first."""
        page = Page(limit=_PERIOD_ENTRIES, since=since, until=until)
        records = [one.shown() for one in self._history.entries(page)]
        lines = explanation.period(records, lambda moment: clock_text(moment, now=now))
        return {"since": since, "until": until, "lines": lines}

    def _nothing(self, at: str, following: Any, now: float) -> str:
        if following is None:
            return f"nothing is recorded of {at} or any other time"
        first = clock_text(following.first, now=now)
        return f"nothing is recorded of {at} or before; the oldest turn is of {first}"

    def _gap(self, at: float, last: float, following: float | None, now: float) -> str | None:
        if at - last <= self._gap_seconds:
            return None
        end = clock_text(last, now=now)
        when = (
            f"since {end}"
            if following is None
            else f"between {end} and {clock_text(following, now=now)}"
        )
        return (
            f"no turn was recorded {when}: the scaler did not run, or could not write; this is "
            "the turn before"
        )


def text(answer: Mapping[str, Any]) -> str:
    """An answer of `explain` as lines for a terminal."""
    lines = [answer["answer"], *answer["details"]]
    if answer["gap"]:
        lines.insert(0, f"note: {answer['gap']}")
    if answer["actions"]:
        lines += ["", "last actions:", *(f"  {line}" for line in answer["actions"])]
    return "\n".join(lines)
