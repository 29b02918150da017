"""What the exporters do while something is wrong: a frozen domain, libvirtd away, two scrapers."""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from bench.call_counter import BULK, CallCounter
from bench.collector_host import Host, eof_lines
from bench.exporter_process import Answer, Exporter
from bench.peers.libvirt_calls import Replay
from bench.report import print_rows

DEADLINE_SECONDS = 2.0
"""The scrape timeout that is announced; an answer must come within half a second more."""
_MOST_TRIES = 20


def _row(answer: Answer) -> dict[str, Any]:
    return {
        "seconds": answer.seconds,
        "up": answer.is_up(),
        "complete": len(answer.complete()),
        "timed_out": sorted(answer.domains_with("libvirt_domain_timed_out", 1)),
    }


def _until_whole(exporter: Exporter, domains: int) -> int:
    """Scrapes until all domains are complete; how many it took."""
    for tries in range(1, _MOST_TRIES + 1):
        if len(exporter.scrape(timeout_seconds=DEADLINE_SECONDS).complete()) == domains:
            return tries
    raise SystemExit(f"{exporter.name} was not whole again within {_MOST_TRIES} scrapes")


def frozen_domain(host: Host, exporter: Exporter, scrapes: int, patience: float) -> dict[str, Any]:
    """Scrapes with one domain frozen, and afterwards until all is there again."""
    victim = host.names[len(host.names) // 2]
    _until_whole(exporter, len(host.names))
    with host.frozen(victim):
        found = [
            _row(exporter.scrape(timeout_seconds=DEADLINE_SECONDS, patience_seconds=patience))
            for _ in range(scrapes)
        ]
    whole = _until_whole(exporter, len(host.names))
    return {"victim": victim, "scrapes": found, "scrapes_until_whole": whole}


def absent_libvirtd(host: Host, exporter: Exporter) -> dict[str, Any]:
    """What comes while libvirtd is stopped and while it is frozen, and how soon all is back."""
    domains = len(host.names)
    _until_whole(exporter, domains)
    reports = {}
    host.daemon.stop()
    reports["stopped"] = _row(exporter.scrape(timeout_seconds=DEADLINE_SECONDS))
    host.daemon.start()
    reports["stopped"]["scrapes_until_whole"] = _until_whole(exporter, domains)
    with host.daemon.frozen():
        reports["frozen"] = _row(exporter.scrape(timeout_seconds=DEADLINE_SECONDS))
    reports["frozen"]["scrapes_until_whole"] = _until_whole(exporter, domains)
    if not exporter.is_alive():
        raise SystemExit(f"{exporter.name} has ended")
    return reports


def leaks(host: Host, exporter: Exporter, scrapes: int) -> dict[str, Any]:
    """The footprint before and after many scrapes, and what libvirtd logged meanwhile."""
    for _ in range(max(3, scrapes // 10)):
        exporter.scrape()
    before, lines = exporter.footprint(), eof_lines(host.daemon.log)
    for _ in range(scrapes):
        exporter.scrape()
    return {
        "scrapes": scrapes,
        "before": before,
        "after": exporter.footprint(),
        "eof_lines": eof_lines(host.daemon.log) - lines,
    }


def calls_of(counter: CallCounter, exporter: Exporter, scrapers: int, rounds: int) -> Counter[int]:
    """Calls that so many simultaneous scrapers cause, by procedure, over all rounds."""
    counter.take()
    for _ in range(rounds):
        barrier = threading.Barrier(scrapers)
        answers: list[Answer] = []
        threads = [
            threading.Thread(target=_scrape_together, args=(barrier, exporter, answers))
            for _ in range(scrapers)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if any(answer.status != 200 for answer in answers):
            raise SystemExit(f"{exporter.name} gave no answer to {scrapers} scrapers at once")
    return counter.take()


def _scrape_together(barrier: threading.Barrier, exporter: Exporter, answers: list[Answer]) -> None:
    barrier.wait()
    answers.append(exporter.scrape())


def call_counts(
    host: Host, name: str, start: Callable[[str], Exporter], rounds: int
) -> dict[str, dict[str, float]]:
    """Calls per round of one scraper and of two at once: of any kind, and bulk queries."""
    socket = host.daemon.root / f"{name}.sock"
    with CallCounter(socket, host.daemon.socket) as counter:
        exporter = start(counter.uri)
        _until_whole(exporter, len(host.names))
        found = {}
        for key, scrapers in (("one", 1), ("two", 2)):
            counts = calls_of(counter, exporter, scrapers, rounds)
            found[key] = {"all": counts.total() / rounds, "bulk": counts[BULK] / rounds}
    return found


def replayed_calls(host: Host, name: str, replay: Replay) -> dict[str, dict[str, float]]:
    """Calls of one scrape that is replayed: of any kind, and bulk queries."""
    with CallCounter(host.daemon.root / f"{name}.sock", host.daemon.socket) as counter:
        replay(counter.uri)
        counts = counter.take()
    return {"one": {"all": float(counts.total()), "bulk": float(counts[BULK])}}


def show_calls(found: dict[str, dict[str, dict[str, float]]]) -> None:
    """Prints how often each calls libvirt; a replay has one scraper only."""
    rows: list[tuple[str, ...]] = [
        ("calls of libvirt per round", "one scraper", "two at once", "bulk: one", "two")
    ]
    for name, one in found.items():
        shown = [
            f"{one[scrapers][kind]:.1f}" if scrapers in one else "-"
            for kind in ("all", "bulk")
            for scrapers in ("one", "two")
        ]
        rows.append((name, *shown))
    print()
    print_rows(rows)


def show_frozen(name: str, found: dict[str, Any], domains: int) -> None:
    """Prints what came of each scrape with a frozen domain."""
    print(f"\n{name}, one of {domains} domains frozen ({found['victim']})")
    rows: list[Sequence[str]] = [("scrape", "seconds", "complete", "up", "marked")]
    for number, one in enumerate(found["scrapes"], 1):
        rows.append(
            (
                str(number),
                f"{one['seconds']:.2f}",
                str(one["complete"]),
                str(int(one["up"])),
                ", ".join(one["timed_out"]) or "-",
            )
        )
    print_rows(rows)
    print(f"after SIGCONT all {domains} are complete with scrape {found['scrapes_until_whole']}")
