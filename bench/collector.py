"""The collector beside other exporters of libvirt's statistics, on real domains, in one run."""

import argparse
import importlib.util
import shutil
import statistics
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from bench import collector_growth
from bench import collector_rounds as turns
from bench import collector_trouble as trouble
from bench.collector_host import Host, host
from bench.exporter_process import DEBIANS, Exporter, missing_families, start_debians, start_ours
from bench.peers import libvirt_calls
from bench.report import Figure, Goal, print_figures, print_rows, write_json
from bench.rig import PROGRAMS, Rig
from scaler.simulator import plot
from scaler.simulator.drawing import Section, Table

EQUAL_GROUPS = ("state", "interface", "block_traffic")
"""What it takes to give all that Debian's exporter gives."""
FULL_GROUPS = ("state", "interface", "block", "cpu", "balloon", "vcpu")
_OTHER_NAMES = {
    "libvirt_domain_state_code": "libvirt_domain_info_vstate",
    "libvirt_domains_number": "libvirt_domains",
}
"""Metrics of Debian's exporter that have another name here."""
_PATIENCE_SECONDS = 45.0
"""How long Debian's exporter may take with a frozen domain."""
_PARTS = ("rounds", "frozen", "libvirtd", "leaks", "scrapers", "growth")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the benchmark's flags."""
    parser.add_argument("--quick", action="store_true", help="a smoke run; judges nothing")
    parser.add_argument(
        "--domains", type=int, nargs="+", default=[20, 60], help="running domains (default 20 60)"
    )
    parser.add_argument("--rounds", type=int, default=40, help="scrapes of each (default 40)")
    parser.add_argument("--scrapes", type=int, default=1_000, help="to find leaks (default 1,000)")
    parser.add_argument(
        "--largest", type=int, default=10_000, help="made-up domains (default 10,000)"
    )
    parser.add_argument("--only", nargs="+", choices=_PARTS, help="parts to run (default all)")
    parser.add_argument("--no-peers", action="store_true", help="without other exporters")
    parser.add_argument("--json", type=Path, help="also write every figure to this file")
    parser.add_argument("--plot", type=Path, help="also draw the growth (HTML)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints the figures; 1 when a floor is missed or something could not be tried."""
    modules = [name for name in ("libvirt", "requests") if not importlib.util.find_spec(name)]
    programs = [
        name for name in ("libvirtd", "qemu-system-x86_64") if not shutil.which(name, path=PROGRAMS)
    ]
    if modules or programs:
        print(
            f"NOT RUN: {', '.join(modules + programs)} is missing here; what ./test has made has"
            " it: .venv/bin/python -m bench collector",
            file=sys.stderr,
        )
        return 1
    if arguments.quick:
        arguments.domains, arguments.rounds, arguments.scrapes = [3], 3, 20
    arguments.has_debians = not arguments.no_peers and _can_run_debians()
    figures: list[Figure] = []
    details: dict[str, Any] = {}
    with Rig() as rig:
        wanted = arguments.only or _PARTS
        if set(wanted) - {"growth"}:
            with host() as made:
                _on_real_domains(rig, made, arguments, wanted, figures, details)
        if "growth" in wanted:
            _growth(rig, arguments, figures, details)
    reached = print_figures(figures)
    write_json(arguments.json, figures, details)
    if arguments.plot is not None:
        arguments.plot.write_text(_draw(details), encoding="utf-8")
    is_whole = arguments.no_peers or arguments.has_debians
    return 0 if arguments.quick or (reached and is_whole) else 1


def _can_run_debians() -> bool:
    if shutil.which(DEBIANS, path=PROGRAMS):
        return True
    print(f"NOT RUN: Debian's exporter: apt-get install {DEBIANS}", file=sys.stderr)
    return False


def _on_real_domains(
    rig: Rig,
    made: Host,
    arguments: argparse.Namespace,
    wanted: Sequence[str],
    figures: list[Figure],
    details: dict[str, Any],
) -> None:
    """Trouble is made with the smallest number of domains, and costs are compared with each."""
    sizes = sorted(arguments.domains)
    for size in sizes:
        made.grow(size)
        with ExitStack() as exits:
            ours, debians = _exporters(rig, made, arguments, exits)
            if "rounds" in wanted:
                details[f"rounds_{size}"] = _rounds(made, arguments, ours, debians, figures)
            if size != sizes[0]:
                continue
            if "frozen" in wanted:
                details["frozen"] = _frozen(made, arguments, ours, debians, figures)
            if "libvirtd" in wanted:
                details["libvirtd"] = _libvirtd(made, ours, figures)
            if "leaks" in wanted:
                details["leaks"] = _leaks(made, ours, arguments.scrapes, figures)
            if "scrapers" in wanted:
                details["scrapers"] = _scrapers(rig, made, arguments, figures)


def _exporters(
    rig: Rig, made: Host, arguments: argparse.Namespace, exits: ExitStack
) -> tuple[Exporter, Exporter | None]:
    ours = start_ours(rig, made.daemon.uri, "--collector.block_traffic")
    exits.callback(ours.end)
    debians = start_debians(rig, made.daemon.uri) if arguments.has_debians else None
    if debians is not None:
        exits.callback(debians.end)
    return ours, debians


def _rounds(
    made: Host,
    arguments: argparse.Namespace,
    ours: Exporter,
    debians: Exporter | None,
    figures: list[Figure],
) -> list[dict[str, Any]]:
    uri, size = made.daemon.uri, len(made.names)
    equal = turns.Subject("ours, as much as Debian's", lambda: ours.scrape(EQUAL_GROUPS), ours)
    full = turns.Subject("ours, six groups", lambda: ours.scrape(FULL_GROUPS), ours)
    default = turns.Subject("ours, by default", ours.scrape, ours)
    subjects = [equal, full, default]
    theirs = None
    if debians is not None:
        theirs = turns.Subject("Debian's", debians.scrape, debians)
        subjects.append(theirs)
    if not arguments.no_peers:
        subjects += [
            turns.Subject(name, turns.replayed(replay, uri))
            for name, replay in (
                ("calls of inovex 2.5", libvirt_calls.inovex),
                ("calls of inovex 2.5, 4 at once", libvirt_calls.inovex_at_once),
                ("calls of Tinkoff 2.3", libvirt_calls.tinkoff),
            )
        ]
    turns.take_turns(subjects, made.daemon.pid, arguments.rounds)
    found = [subject.figures(size) for subject in subjects]
    turns.show(size, found)
    if theirs is not None:
        _compare(equal, full, theirs, size, figures)
    cost = full.figures(size)["libvirtd_ms_per_domain"]
    goal = Goal(f"libvirtd CPU per domain and scrape, six groups, {size}", "ms", 1.4, None)
    peers = [one for one in found if one["name"].startswith("calls of")]
    best = min((one["libvirtd_ms_per_domain"] for one in peers), default=None)
    figures.append(Figure(goal, cost, "" if best is None else f"{cost / best:.2f}"))
    return found


def _compare(
    equal: turns.Subject,
    full: turns.Subject,
    theirs: turns.Subject,
    size: int,
    figures: list[Figure],
) -> None:
    """Wall times as shares of Debian's; the smaller set must hold all that Debian's gives."""
    assert equal.last is not None
    assert theirs.last is not None
    if missing := missing_families(theirs.last, equal.last, _OTHER_NAMES):
        # It would win by giving less: no figure of it counts.
        print(f"NOT AS MUCH AS DEBIAN'S: {', '.join(missing)}", file=sys.stderr)
        goal = Goal(f"metrics of Debian's that are not given, {size} domains", "", 0.0, None)
        figures.append(Figure(goal, float(len(missing))))
    median = statistics.median(theirs.seconds)
    for subject, floor, aim in ((equal, 0.5, None), (full, 1.3, 1.0)):
        goal = Goal(f"wall time, {subject.name}, {size} domains", "of Debian's", floor, aim)
        share = statistics.median(subject.seconds) / median
        figures.append(Figure(goal, share, f"{share:.2f}"))


def _frozen(
    made: Host,
    arguments: argparse.Namespace,
    ours: Exporter,
    debians: Exporter | None,
    figures: list[Figure],
) -> dict[str, Any]:
    domains = len(made.names)
    found = trouble.frozen_domain(made, ours, 3 if arguments.quick else 10, _PATIENCE_SECONDS)
    trouble.show_frozen("ours", found, domains)
    reports = {"ours": found}
    if debians is not None:
        tries, patience = (1, 3.0) if arguments.quick else (2, _PATIENCE_SECONDS)
        reports["debians"] = trouble.frozen_domain(made, debians, tries, patience)
        trouble.show_frozen("Debian's", reports["debians"], domains)
    slowest = max(one["seconds"] for one in found["scrapes"])
    fewest = min(one["complete"] for one in found["scrapes"])
    is_marked = all(one["timed_out"] == [found["victim"]] for one in found["scrapes"])
    limit = trouble.DEADLINE_SECONDS + 0.5
    figures += [
        Figure(Goal("one domain frozen: slowest scrape", "s", limit, None), slowest),
        Figure(
            Goal("... domains complete, fewest", "domains", domains - 1, None, True), float(fewest)
        ),
        Figure(Goal("... marked in every scrape", "0 or 1", 1.0, None, True), float(is_marked)),
        Figure(
            Goal("... scrapes after SIGCONT until all are complete", "scrapes", 1.0, None),
            float(found["scrapes_until_whole"]),
        ),
    ]
    return reports


def _libvirtd(made: Host, ours: Exporter, figures: list[Figure]) -> dict[str, Any]:
    found = trouble.absent_libvirtd(made, ours)
    for name, one in found.items():
        print(f"libvirtd {name}: scrape in {one['seconds']:.2f} s, up {int(one['up'])}")
    tries = max(one["scrapes_until_whole"] for one in found.values())
    goal = Goal("libvirtd back: scrapes until all are complete", "scrapes", 1.0, None)
    figures.append(Figure(goal, float(tries)))
    lied = any(one["up"] for one in found.values())
    figures.append(Figure(Goal("... up while it was gone", "0 or 1", 0.0, None), float(lied)))
    slowest = max(one["seconds"] for one in found.values())
    limit = trouble.DEADLINE_SECONDS + 0.5
    figures.append(Figure(Goal("... slowest scrape meanwhile", "s", limit, None), slowest))
    return found


def _leaks(made: Host, ours: Exporter, scrapes: int, figures: list[Figure]) -> dict[str, Any]:
    found = trouble.leaks(made, ours, scrapes)
    rows = [("over many scrapes", "resident MB", "threads", "files")]
    for name in ("before", "after"):
        one = found[name]
        size = f"{one['resident_bytes'] / 1e6:.1f}"
        rows.append((name, size, str(one["threads"]), str(one["files"])))
    print()
    print_rows(rows)
    before, after = found["before"], found["after"]
    grown = (after["resident_bytes"] - before["resident_bytes"]) / 1e6
    figures.append(Figure(Goal(f"memory grown over {scrapes:,} scrapes", "MB", 3.0, None), grown))
    for name in ("threads", "files"):
        goal = Goal(f"... {name} grown", name, 2.0, None)
        figures.append(Figure(goal, float(after[name] - before[name])))
    goal = Goal("... complaints in libvirtd's log", "lines", 0.0, None)
    figures.append(Figure(goal, float(found["eof_lines"])))
    return found


def _scrapers(
    rig: Rig, made: Host, arguments: argparse.Namespace, figures: list[Figure]
) -> dict[str, Any]:
    rounds = 3 if arguments.quick else 20
    starts: dict[str, Callable[[str], Exporter]] = {"ours": partial(start_ours, rig)}
    if arguments.has_debians:
        starts["debians"] = partial(start_debians, rig)
    found = {name: trouble.call_counts(made, name, start, rounds) for name, start in starts.items()}
    if not arguments.no_peers:
        for name, replay in (
            ("inovex", libvirt_calls.inovex),
            ("tinkoff", libvirt_calls.tinkoff),
        ):
            found[name] = trouble.replayed_calls(made, name, replay)
    trouble.show_calls(found)
    share = found["ours"]["two"]["bulk"] / max(1e-9, found["ours"]["one"]["bulk"])
    goal = Goal("bulk queries, two scrapers at once / one", "times", 1.1, 1.0)
    figures.append(Figure(goal, share))
    return found


def _growth(
    rig: Rig, arguments: argparse.Namespace, figures: list[Figure], details: dict[str, Any]
) -> None:
    tried = collector_growth.QUICK_SIZES if arguments.quick else collector_growth.SIZES
    sizes = [size for size in tried if size <= arguments.largest]
    points = list(collector_growth.measure(rig, sizes, 5 if arguments.quick else 15))
    collector_growth.show(points)
    details["growth"] = points
    for one in points:
        if one["domains"] != collector_growth.JUDGED:
            continue
        cost, share = one["zipped_ms"], one["openmetrics_ms"] / one["peer_ms"]
        what = f"exporter CPU, {one['domains']:,} domains, {one['series']:,} series, zipped"
        figures += [
            Figure(Goal(what, "ms", 150.0, None), cost, f"{share:.2f}"),
            Figure(Goal("... resident", "MB", 120.0, None), one["resident_bytes"] / 1e6),
        ]
    costs = {one["domains"]: one["zipped_ms"] / one["domains"] for one in points}
    if 100 in costs and len(costs) > 2:
        goal = Goal("CPU per domain, most domains / 100", "times", 1.5, None)
        figures.append(Figure(goal, costs[max(costs)] / costs[100]))


def _draw(details: dict[str, Any]) -> str:
    """CPU and memory over domains, and wall times beside each other."""
    sections: list[Section] = []
    for key, title, share in (
        ("zipped_ms", "exporter: CPU ms of a scrape", 1.0),
        ("peer_ms", "prometheus_client, the same series: CPU ms", 1.0),
        ("resident_bytes", "exporter: resident MB", 1e-6),
    ):
        points = [
            plot.Point(
                f"{one['domains']:,}: {one[key] * share:,.1f}",
                one["domains"],
                one[key] * share,
                1.0,
            )
            for one in details.get("growth", [])
        ]
        if points:
            sections.append(plot.scatter(title, "domains", points))
    for key, found in details.items():
        if key.startswith("rounds_"):
            rows = [(f"{key.removeprefix('rounds_')} domains", "median ms", "p95 ms")]
            rows += [
                (one["name"], f"{one['median_ms']:.1f}", f"{one['p95_ms']:.1f}") for one in found
            ]
            sections.append(Table(rows))
    return plot.page("What a scrape of libvirt costs", sections)
