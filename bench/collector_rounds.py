"""What one scrape costs, side by side: exporters and replayed calls take turns, round by round."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.exporter_process import Answer, Exporter
from bench.report import print_rows, quantile
from bench.usage import cpu_clock

_PAUSE_SECONDS = 0.02
"""Between two scrapes, so that none pays for what the one before left to be done."""
_WARM_UP = 3


@dataclass
class Subject:
    """Somebody who reads the host, and what it took."""

    name: str
    scrape: Callable[[], Answer]
    exporter: Exporter | None = None
    """None for replayed calls, whose own CPU time says nothing."""
    seconds: list[float] = field(default_factory=list)
    libvirtd_seconds: list[float] = field(default_factory=list)
    exporter_seconds: list[float] = field(default_factory=list)
    last: Answer | None = None

    def take(self, libvirtd: int) -> None:
        """Scrapes once and notes what it took."""
        own = self.exporter.cpu() if self.exporter else 0.0
        before = cpu_clock(libvirtd)
        answer = self.scrape()
        if answer.status != 200:
            raise SystemExit(f"{self.name} gave no answer (HTTP status {answer.status})")
        time.sleep(_PAUSE_SECONDS)
        self.libvirtd_seconds.append(cpu_clock(libvirtd) - before)
        self.seconds.append(answer.seconds)
        if self.exporter:
            self.exporter_seconds.append(self.exporter.cpu() - own)
        self.last = answer

    def forget(self) -> None:
        """Drops what was noted so far."""
        for noted in (self.seconds, self.libvirtd_seconds, self.exporter_seconds):
            noted.clear()

    def figures(self, domains: int) -> dict[str, Any]:
        """Milliseconds: of wall time per scrape, of CPU time per scrape and domain."""
        ordered = sorted(self.seconds)
        return {
            "name": self.name,
            "scrapes": len(ordered),
            "median_ms": statistics.median(ordered) * 1000,
            "p95_ms": quantile(ordered, 0.95) * 1000,
            "libvirtd_ms_per_domain": statistics.fmean(self.libvirtd_seconds) * 1000 / domains,
            "exporter_ms": statistics.fmean(self.exporter_seconds) * 1000
            if self.exporter_seconds
            else None,
            "series": len(self.last.samples()) if self.last and self.last.text else None,
        }


def replayed(replay: Callable[[str], None], uri: str) -> Callable[[], Answer]:
    """Replayed calls as a scrape without a text."""

    def scrape() -> Answer:
        began = time.perf_counter()
        replay(uri)
        return Answer(time.perf_counter() - began, 200)

    return scrape


def take_turns(subjects: Sequence[Subject], libvirtd: int, rounds: int) -> None:
    """Lets each scrape once per round; who begins changes from round to round."""
    for _ in range(_WARM_UP):
        for subject in subjects:
            subject.take(libvirtd)
    for subject in subjects:
        subject.forget()
    for number in range(rounds):
        first = number % len(subjects)
        for subject in (*subjects[first:], *subjects[:first]):
            subject.take(libvirtd)


def show(domains: int, found: Sequence[dict[str, Any]]) -> None:
    """Prints the table of one size."""
    print(f"\n{domains} running domains, CPU of libvirtd per domain and scrape")
    rows = [("", "median ms", "p95 ms", "libvirtd ms", "exporter CPU ms", "series")]
    for one in found:
        own, series = one["exporter_ms"], one["series"]
        rows.append(
            (
                one["name"],
                *(f"{one[key]:.1f}" for key in ("median_ms", "p95_ms")),
                f"{one['libvirtd_ms_per_domain']:.2f}",
                "-" if own is None else f"{own:.1f}",
                "-" if series is None else f"{series:,}",
            )
        )
    print_rows(rows)
