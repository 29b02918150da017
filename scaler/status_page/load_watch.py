"""Keeps the newest load, asked for only while somebody looks, and never by the turn's thread."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace

from scaler.status_page.load import Backlog, Load, LoadError, LoadSource

_FIGURES_SECONDS = 2.0
_HISTORY_SECONDS = 15.0
_MANY_DOMAINS = 200
_MANY_FIGURES_SECONDS = 5.0


class LoadWatch:
    """Asks Prometheus and the dispatcher. From any thread; those who come at once share an answer.

    `backlog` returns the dispatcher's counts and raises `LoadError`.
    """

    def __init__(
        self,
        source: LoadSource,
        backlog: Callable[[], Backlog],
        *,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._source = source
        self._backlog = backlog
        self._monotonic = monotonic
        self._wall = wall
        self._asking = threading.Lock()
        self._newest = Load()
        self._asked_at = float("-inf")
        self._history_at = float("-inf")

    @property
    def newest(self) -> Load:
        """The answers there are; asks nobody."""
        return self._newest

    def fresh(self) -> Load:
        """The newest load, asked for now when it is older than a few seconds."""
        with self._asking:
            now = self._monotonic()
            cpu = () if self._newest.figures is None else self._newest.figures.cpu
            patience = _MANY_FIGURES_SECONDS if len(cpu) > _MANY_DOMAINS else _FIGURES_SECONDS
            if now - self._asked_at >= patience:
                self._newest = self._asked()
                # From the end of the asking: a source that hangs is not asked without a pause.
                self._asked_at = self._monotonic()
            return self._newest

    def _asked(self) -> Load:
        load = self._newest
        try:
            load = replace(load, backlog=self._backlog(), dispatcher_fault="")
        except LoadError as error:
            load = replace(load, backlog=None, dispatcher_fault=str(error))
        try:
            load = replace(load, figures=self._source.figures(), prometheus_fault="")
            now = self._monotonic()
            if now - self._history_at >= _HISTORY_SECONDS:
                load = replace(load, history=self._source.history(self._wall()))
                self._history_at = now
        except LoadError as error:
            # What was known is of another time now: better nothing than that.
            self._history_at = float("-inf")
            load = replace(load, figures=None, history=None, prometheus_fault=str(error))
        return load
