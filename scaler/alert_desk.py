"""Where alerts arrive and are kept, between the HTTP threads and the loop."""

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from scaler import alerts
from scaler.alerts import AlertRule, Base, Book, Notice, Sight, Standing
from servicekit import logs

_FORM = 1


class AlertDesk:
    """An `AlertBoard`. What it knows is in memory, and in `path` when there is one.

    The file is written by the loop alone, and not forced to the disk: what a crash of the machine
    loses is told again by the next resynchronisation.
    """

    def __init__(
        self,
        rules: Sequence[AlertRule],
        *,
        ttl_seconds: float,
        monotonic: Callable[[], float],
        path: Path | None = None,
    ) -> None:
        self._rules = tuple(rules)
        self._ttl_seconds = ttl_seconds
        self._monotonic = monotonic
        self._path = path
        self._logger = logs.get()
        self._lock = threading.Lock()
        self._book: Book = alerts.EMPTY_BOOK
        self._bases: Mapping[str, Base] = {}
        if path is not None:
            self._load(path)
        self._written = self._content()
        self._is_failing = False

    def hear(self, notices: Sequence[Notice]) -> int:
        """Takes a notification; returns how many of its alerts a rule is for. From any thread."""
        return self._take(notices, None)

    def see(self, listed: Sequence[Notice], asked_at: float) -> int:
        """Takes a listing that was asked for at `asked_at` on our clock. From any thread."""
        return self._take(listed, asked_at)

    def sight(self, now: float) -> Sight:
        """See `AlertBoard.sight`."""
        with self._lock:
            firing = alerts.firing(self._book, self._ttl_seconds, now)
            return Sight(firing, self._bases)

    def standings(self) -> tuple[Standing, ...]:
        """The alerts that fire now, the oldest first. From any thread."""
        with self._lock:
            firing = alerts.firing(self._book, self._ttl_seconds, self._monotonic())
            found = [self._book[one.fingerprint] for one in firing]
        return tuple(sorted(found, key=lambda one: one.starts_at))

    def remember(self, bases: Mapping[str, Base]) -> None:
        """See `AlertBoard.remember`."""
        with self._lock:
            self._bases = dict(bases)
            before = self._book
            self._book = alerts.tidy(before, self._ttl_seconds, self._monotonic())
            for fingerprint in before.keys() - self._book.keys():
                if before[fingerprint].is_firing:
                    self._logger.warning(
                        "alert.expired",
                        alert=before[fingerprint].labels.get("alertname", ""),
                        fingerprint=fingerprint,
                    )
            content = self._content()
        if self._path is None or content == self._written:
            return
        try:
            fresh = self._path.with_name(self._path.name + ".new")
            fresh.write_text(content, encoding="utf-8")
            fresh.replace(self._path)
        except OSError as error:
            if not self._is_failing:
                self._logger.warning(
                    "alerts.write_failed", path=str(self._path), error=error.strerror
                )
            self._is_failing = True
            return
        self._is_failing = False
        self._written = content

    def _take(self, notices: Sequence[Notice], asked_at: float | None) -> int:
        # What no rule is for is not kept: it could be anything, and any amount of it.
        used = [one for one in notices if any(rule.matches(one.labels) for rule in self._rules)]
        with self._lock:
            now = self._monotonic()
            before = alerts.tidy(self._book, self._ttl_seconds, now)
            if asked_at is None:
                self._book = alerts.hear(before, used, now)
            else:
                self._book = alerts.see(before, used, asked_at, now)
            self._tell(before, self._book)
            is_full = alerts.is_full(self._book)
        if is_full:
            self._logger.warning("alerts.too_many", kept=alerts.MAX_STANDINGS)
        return len(used)

    def _tell(self, before: Book, after: Book) -> None:
        for fingerprint, standing in after.items():
            was = before.get(fingerprint)
            was_firing = was is not None and was.is_firing
            if was_firing != standing.is_firing:
                self._logger.info(
                    "alert.began" if standing.is_firing else "alert.resolved",
                    alert=standing.labels.get("alertname", ""),
                    fingerprint=fingerprint,
                )

    def _content(self) -> str:
        standings = [
            {
                "fingerprint": fingerprint,
                "labels": dict(standing.labels),
                "starts_at": standing.starts_at,
                "is_firing": standing.is_firing,
            }
            for fingerprint, standing in sorted(self._book.items())
        ]
        bases = {rule: base.domains for rule, base in sorted(self._bases.items())}
        return json.dumps({"form": _FORM, "standings": standings, "bases": bases}) + "\n"

    def _load(self, path: Path) -> None:
        """What was known before the restart counts as heard now: unknown never lowers anything."""
        now = self._monotonic()
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["form"] != _FORM:
                raise ValueError(f"form {content['form']} is unknown")
            book = {str(one["fingerprint"]): _standing(one, now) for one in content["standings"]}
            bases = {str(rule): Base(int(domains)) for rule, domains in content["bases"].items()}
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            self._logger.warning("alerts.unreadable", path=str(path), error=str(error))
            return
        self._book, self._bases = book, bases


def _standing(record: Mapping[str, Any], now: float) -> Standing:
    labels = {str(name): str(value) for name, value in record["labels"].items()}
    return Standing(labels, float(record["starts_at"]), bool(record["is_firing"]), now)
