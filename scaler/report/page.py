"""A report as one page: nothing to fetch, nothing to run, every word from outside as text. Pure."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from scaler import explanation, sentences
from scaler.report import asking, samples, words
from scaler.report.asking import Measured
from scaler.report.charts import GREEN, RED, Axis
from scaler.report.figures import Courses, Figures, Waits, longest_gap
from scaler.report.html import Html, joined, number, row, table, tag
from scaler.report.lives import Act
from scaler.report.past import Event, Past, Stretch
from scaler.report.pictures import Shown
from scaler.report.words import Clock, counted, length_text, money, percent, seconds
from scaler.simulator import plot

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_WITH_MOMENTS = "machines"
"""The chart on which decisions are shown."""
_UP, _DOWN = ("start", "prepare", "resume", "restore"), ("drain", "shutdown", "destroy")
_BOOKKEEPING = ("settle", "claim", "keep_definition")
"""Actions that only write down how it is."""
_ALERTS_LISTED = 500
_DECISIONS_LISTED = 10_000
"""A page of more is slow to open."""
_DOINGS = ("actions", "incidents")


@dataclass(frozen=True, slots=True)
class Report:
    """All that a page is made of."""

    pool: str
    past: Past
    measured: Measured
    courses: Courses
    figures: Figures
    acts: Sequence[Act]
    shown: Sequence[Shown]
    axis: Axis
    clock: Clock
    full: Callable[[float], str]
    """A moment with its day."""
    made_at: float
    version: str


def render(report: Report, style: str) -> str:
    """The document."""
    title = f"Pool {report.pool}, {report.full(report.figures.since)}"
    head = joined(
        [
            Html('<meta charset="utf-8">'),
            Html('<meta name="viewport" content="width=device-width,initial-scale=1">'),
            Html(f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'),
            Html('<meta name="color-scheme" content="light dark">'),
            tag("title", title),
            # The style is this program's own.
            tag("style", Html(style)),
        ]
    )
    body = tag("main", *_parts(report))
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head><body>{body}</body></html>\n'


def _parts(report: Report) -> list[Html]:
    parts = [_top(report), _tiles(report.figures), _notes(report)]
    for heading, shown in groupby(report.shown, key=lambda one: one.heading):
        anchor = heading.lower().replace(" ", "-")
        parts.append(tag("h2", heading, id_=anchor))
        parts += [_chart(one, report) for one in shown]
    return [
        *parts,
        _numbers(report),
        _forces(report),
        _events(report),
        _actions(report),
        _decisions(report),
        _meanings(),
        tag(
            "footer",
            f"Written by virtscale {report.version} at {report.full(report.made_at)}. Times are "
            "local to the machine that wrote it.",
        ),
    ]


def _top(report: Report) -> Html:
    found = report.figures
    length = length_text(found.until - found.since)
    links = [
        *dict.fromkeys(one.heading for one in report.shown),
        *("Figures", "In force", "Events", "Actions", "Decisions"),
    ]
    told = words.summary(found, report.courses)
    return joined(
        [
            tag("h1", f"How the pool {report.pool} did"),
            tag(
                "p",
                f"{report.full(found.since)} to {report.clock(found.until)}: {length}",
                class_="soft",
            ),
            tag("p", " ".join(told) or "Nothing is known of this time.", class_="lead"),
            tag(
                "nav",
                *(tag("a", one, href="#" + one.lower().replace(" ", "-")) for one in links),
                aria_label="Parts of the report",
            ),
        ]
    )


def _tiles(found: Figures) -> Html:
    tiles: list[tuple[str, str]] = []
    if found.jobs is not None:
        tiles.append((f"{found.jobs.done:,}", f"jobs done, {found.jobs.lost:,} lost"))
    if found.waits is not None:
        tiles.append((seconds(found.waits.p95), "95 % of the jobs waited no longer"))
    tiles.append((f"{found.machine_hours:.3g}", "machine-hours"))
    if found.cost is not None:
        tiles.append((money(found.cost), f"cost, at {found.price_per_hour:g} an hour"))
    tiles.append((f"{found.starts}", "machines powered on"))
    if found.elasticity is not None:
        tiles.append((percent(found.elasticity.timeshare_under), "of the time too few machines"))
        tiles.append((percent(found.elasticity.timeshare_over), "of the time more than needed"))
    return tag("div", *(tag("div", tag("b", b), tag("span", s), class_="tile") for b, s in tiles),
               class_="tiles")  # fmt: skip


def _notes(report: Report) -> Html:
    told = words.unknowns(
        report.past, report.measured, report.courses, report.figures, report.clock
    )
    if not told:
        return Html("")
    listed = tag("ul", *(tag("li", one) for one in told))
    return tag("div", tag("strong", "What this report could not know"), listed, class_="note")


def _chart(shown: Shown, report: Report) -> Html:
    over = _moments(report) if shown.key == _WITH_MOMENTS else ""
    drawn = Html(plot.svg(shown.picture, over))
    return tag(
        "figure",
        tag("div", drawn, class_="chart", tabindex="0", role="group", aria_label=shown.caption),
        tag("figcaption", shown.caption),
        id_=f"chart-{shown.key}",
    )


def _moments(report: Report) -> str:
    """A line per decision, seen when it is followed to, and a triangle per start and drain."""
    bottom, drawn = plot.HEIGHT - plot.BOTTOM, []
    for place in _listed(report.past.stretches):
        stretch = report.past.stretches[place]
        x = report.axis.x(stretch.first)
        drawn.append(
            f'<line class="moment" id="at-{place}" x1="{x:.1f}" x2="{x:.1f}" y1="{plot.TOP}"'
            f' y2="{bottom}"/>'
        )
        actions = [str(one["action"]) for one in stretch.record.get("actions") or ()]
        kinds = [kind for kind in (_UP, _DOWN) if any(one in kind for one in actions)]
        for kind in kinds:
            colour = GREEN if kind is _UP else RED
            tip, foot = (bottom - 9, bottom) if kind is _UP else (bottom, bottom - 9)
            shape = f"M{x - 5:.1f} {foot}L{x + 5:.1f} {foot}L{x:.1f} {tip}Z"
            headline = explanation.headline(stretch.record, report.clock)
            title = tag("title", f"{report.clock(stretch.first)}  {headline}")
            path = f'<path class="mark" fill="{colour}" d="{shape}">{title}</path>'
            drawn.append(f'<a href="#d-{place}">{path}</a>')
    return "".join(drawn)


def _section(name: str, *children: object) -> Html:
    return joined([tag("h2", name, id_=name.lower().replace(" ", "-")), *children])


def _numbers(report: Report) -> Html:
    found = report.figures
    rows: list[tuple[str, str, str]] = []
    if found.jobs is not None:
        rows += _job_rows(found)
    if found.waits is not None:
        waits = found.waits
        rows += [
            ("Waiting time, median", seconds(waits.p50), _counted_waits(waits)),
            ("Waiting time, 95 %", seconds(waits.p95), "so many waited no longer"),
            ("Waiting time, 99 %", seconds(waits.p99), ""),
        ]
    if found.elasticity is not None:
        rows += _elasticity_rows(found)
    rows += _cost_rows(found)
    rows += [
        (
            one.what,
            seconds(one.median),
            f"median of {one.count}; 95 % within {seconds(one.p95)}, "
            f"longest {seconds(one.longest)}",
        )
        for one in found.durations
    ]
    rows.append(("Turns of the scaler", f"{found.turns:,}", f"{found.decisions:,} decisions"))
    body = (row([tag("td", a, class_="s"), number(b), c]) for a, b, c in rows)
    return _section("Figures", table(("Figure", "Value", "Meaning"), body))


def _counted_waits(waits: Waits) -> str:
    unknown = f"; that of {waits.unknown:,} more is not known" if waits.unknown else ""
    return f"of {counted(waits.jobs, 'job')}{unknown}"


def _job_rows(found: Figures) -> list[tuple[str, str, str]]:
    jobs = found.jobs
    assert jobs is not None
    rows = [("Jobs submitted", f"{jobs.accepted:,}", "accepted and on disk")]
    if jobs.open_before:
        rows.append(("Jobs from before", f"{jobs.open_before:,}", "not yet done at the begin"))
    rows += [
        ("Jobs done", f"{jobs.done:,}", f"{seconds(jobs.seconds)} of CPU each, the mean"),
        ("Jobs failed", f"{jobs.failed:,}", "given up, with a reason"),
        ("Jobs lost", f"{jobs.lost:,}", "accepted, and in no state in the dispatcher's books"),
    ]
    if jobs.cancelled:
        rows.append(("Jobs cancelled", f"{jobs.cancelled:,}", ""))
    if jobs.open_at_end:
        rows.append(("Jobs open at the end", f"{jobs.open_at_end:,}", "they stay on disk"))
    if jobs.requeued:
        reasons = ", ".join(f"{name.replace('_', ' ')} {n:,}" for name, n in jobs.requeued.items())
        rows.append(("Leases given back", f"{sum(jobs.requeued.values()):,}", reasons))
    return rows


def _elasticity_rows(found: Figures) -> list[tuple[str, str, str]]:
    one = found.elasticity
    assert one is not None
    return [
        (
            "Too few machines",
            percent(one.timeshare_under),
            f"of the time; {one.under_machine_seconds:,.0f} machine-seconds were missing",
        ),
        (
            "More than needed",
            percent(one.timeshare_over),
            f"of the time; {one.over_machine_seconds:,.0f} machine-seconds beyond the demand",
        ),
        (
            "of that with a queue",
            percent(one.timeshare_over_waiting),
            "of the time: what came in before was worked off",
        ),
        ("Accuracy, under", f"{one.accuracy_under:.2f}", "machines missing, mean over time"),
        (
            "Accuracy, over",
            f"{one.accuracy_over:.2f}",
            "machines beyond the demand, mean over time",
        ),
        ("RMSE", f"{one.rmse:.2f}", "machines, supply against demand"),
    ]


def _cost_rows(found: Figures) -> list[tuple[str, str, str]]:
    parts = ", ".join(
        f"{group} {length_text(value)}" for group, value in found.machine_seconds.items() if value
    )
    rows = [("Machine-hours", f"{found.machine_hours:.3g} h", parts)]
    if found.cost is not None:
        rows.append(("Cost", money(found.cost), f"at {found.price_per_hour:g} a machine-hour"))
    if found.domains is not None:
        fewest, most = found.domains
        rows.append(("Machines on", f"{fewest} to {most}", "fewest and most"))
    wasted = "not known" if found.wasted_boots is None else f"{found.wasted_boots}"
    return [
        *rows,
        ("Machines powered on", f"{found.starts}", ""),
        ("Boots and wakes that failed", f"{found.failed_boots}", ""),
        ("Wasted boots", wasted, "machines that went off without a job done"),
    ]


def _forces(report: Report) -> Html:
    found = [(one.since, one.until, one.kind, one.what) for one in report.past.intervals]
    found += _firing(report.measured)
    if not found:
        return _section("In force", tag("p", "No override and no alert was in force."))
    rows = (
        row([_time(since, report), _end(until, report), tag("td", kind, class_="s"), what])
        for since, until, kind, what in sorted(found, key=lambda one: one[0])[:_ALERTS_LISTED]
    )
    more = len(found) - _ALERTS_LISTED
    rest = [tag("p", f"And {more} more.", class_="soft")] if more > 0 else []
    return _section("In force", table(("From", "Until", "Kind", "What"), rows), *rest)


def _firing(measured: Measured) -> list[tuple[float, float | None, str, str]]:
    """Alerts that fired, as Prometheus has them."""
    found: list[tuple[float, float | None, str, str]] = []
    for series in measured.series.get(asking.ALERTS, ()):
        labels = series.labels
        where = [labels[name] for name in ("pool", "domain", "instance") if labels.get(name)]
        severity = f" ({labels['severity']})" if labels.get("severity") else ""
        what = f"{labels.get('alertname', '')}{severity} {', '.join(where)}".strip()
        pieces = samples.pieces(series.points, longest_gap(measured))
        found += [(piece[0][0], piece[-1][0], "alert fires", what) for piece in pieces]
    return found


def _events(report: Report) -> Html:
    rows = [
        row([_time(one.at, report), tag("td", one.kind, class_="s"), _event(one)])
        for one in report.past.events
    ]
    if not rows:
        return _section("Events", tag("p", "Nothing happened that the scaler did not do itself."))
    return _section("Events", table(("Time", "Kind", "What"), rows))


def _event(event: Event) -> str:
    match event.kind:
        case "start":
            return f"the scaler started, with the rules {event.what}"
        case "config":
            return f"from here on the rules {event.what} are in force"
        case "incident":
            return f"{event.domain}: {event.what.replace('_', ' ')}"
        case _:
            return event.what


def _actions(report: Report) -> Html:
    rows = []
    stretches = report.past.stretches
    by_time = {stretches[place].first: place for place in _listed(stretches)}
    for act in report.acts:
        outcome = f"{act.outcome or 'not recorded'}{f': {act.error}' if act.error else ''}"
        time = _time(act.at, report, by_time.get(act.at))
        what = tag("td", f"{act.action.replace('_', ' ')} {act.domain}", class_="s")
        why = tag("td", sentences.words(act.reason), class_="w")
        cells = [time, what, why, outcome, words.duration_of(act)]
        rows.append(row(cells, class_="quiet" if act.action in _BOOKKEEPING else None))
    if not rows:
        return _section("Actions", tag("p", "No action on a domain was recorded."))
    head = ("Time", "Action", "Because", "Outcome", "Took")
    return _section("Actions", table(head, rows))


def _decisions(report: Report) -> Html:
    stretches = report.past.stretches
    if not stretches:
        return _section("Decisions", tag("p", "No turn was recorded."))
    listed = _listed(stretches)
    rows = [_decision(place, stretches[place], report) for place in listed]
    told = (
        "Every turn of the scaler; turns in a row that say the same are one line, in the words of "
        "the first. A time leads to the chart of the machines."
    )
    more = len(stretches) - len(listed)
    if more:
        told += (
            f" Of {len(stretches):,} decisions {more:,} are left out, first those that did "
            "nothing; a report of a shorter time shows them."
        )
    note = tag("p", told, class_="soft")
    head = ("Time", "Turns", "Served", "Wanted", "What and why")
    return _section("Decisions", note, table(head, rows))


def _listed(stretches: Sequence[Stretch]) -> list[int]:
    """Places of those to be shown: all, or of too many those that did something."""
    places = range(len(stretches))
    if len(stretches) <= _DECISIONS_LISTED:
        return list(places)
    did = [one for one in places if any(stretches[one].record.get(key) for key in _DOINGS)]
    return did[:_DECISIONS_LISTED]


def _decision(place: int, stretch: Stretch, report: Report) -> Html:
    record = stretch.record
    told = explanation.headline(record, report.clock)
    until = "" if stretch.turns == 1 else f" to {report.clock(stretch.last)}"
    time = tag("td", tag("a", report.clock(stretch.first), href=f"#at-{place}"), until, class_="t")
    cells = [
        time,
        number(f"{stretch.turns:,}"),
        number(sentences.count(record.get("current"))),
        number(sentences.count(record.get("desired"))),
        tag("td", told, class_="w"),
    ]
    return row(cells, id_=f"d-{place}")


def _time(at: float, report: Report, place: int | None = None) -> Html:
    told = report.clock(at)
    return tag("td", told if place is None else tag("a", told, href=f"#d-{place}"), class_="t")


def _end(until: float | None, report: Report) -> Html:
    return tag("td", "the end" if until is None else report.clock(until), class_="t")


def _meanings() -> Html:
    told: Iterable[str] = (
        "Demand is the fewest machines that carry the jobs that come in, at the mean CPU time of a "
        "job and at 80 % of a machine's CPU, but not fewer than the pool's minimum. Arrivals are "
        "taken over 30 s around each moment, or over four points of the charts if that is more; a "
        "queue of before is not in it. "
        "Supply is the machines that take jobs. The time shares, accuracies (mean number of "
        "machines missing, or beyond the demand) are those of Herbst et al., Ready for Rain? "
        "(SPEC-RG-2016-01); RMSE is the root of the mean squared difference over time.",
        "Machine-hours are hours of machines in any state but off, also while they boot, drain or "
        "stand by in memory.",
        "Waiting time is from a job's acceptance to its first lease. It comes out of the buckets "
        "of a histogram and is taken to be even within each.",
        "A wasted boot is a machine that went off without a job done.",
    )
    return _section("How to read this", *(tag("p", one) for one in told))
