"""Collects the facts that the page is made of, from where the scaler keeps them."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scaler import overrides
from scaler.entries import History
from scaler.overrides import Override
from scaler.stabilization import Limits
from scaler.status_page.composition import Facts, compose
from scaler.status_page.load import Load
from scaler.status_page.outages import Outages
from scaler.status_page.recent_entries import RecentEntries
from scaler.status_page.view import Settings, ShownAlert, View
from scaler.times_of_day import clock_text


@dataclass(frozen=True, slots=True)
class Sources:
    """Where each part of the page comes from. All may be called from any thread."""

    pool: str
    status: Callable[[], Mapping[str, Any] | None]
    history: History
    overrides: Callable[[], Sequence[Override]]
    alerts: Callable[[], Sequence[ShownAlert]]
    outages: Callable[[], Outages]
    limits: Callable[[], Limits]
    policy_faults: Callable[[], Sequence[str]]
    is_store_failing: Callable[[], bool]
    is_dry_run: bool
    needs_token: bool


class Gathering:
    """Makes views. `load` is what is known of queue and CPU at the time; `version` the page's."""

    def __init__(
        self, sources: Sources, version: str = "", wall: Callable[[], float] = time.time
    ) -> None:
        self._sources = sources
        self._entries = RecentEntries(sources.history)
        self._version = version
        self._wall = wall

    def view(self, load: Load) -> View:
        """Everything as it is now."""
        sources, now = self._sources, self._wall()
        given, limits = sources.overrides(), sources.limits()
        facts = Facts(
            now=now,
            pool=sources.pool,
            status=sources.status(),
            entries=self._entries.newest(),
            overrides=[overrides.to_record(one) for one in given],
            contradictions=overrides.contradictions(given, limits),
            alerts=sources.alerts(),
            load=load,
            outages=sources.outages(),
            settings=Settings(
                least=limits.min,
                most=limits.max,
                is_dry_run=sources.is_dry_run,
                policy_faults=sources.policy_faults(),
            ),
            clock=lambda moment: clock_text(moment, now=now),
            needs_token=sources.needs_token,
            is_store_failing=sources.is_store_failing(),
            version=self._version,
        )
        return compose(facts)
