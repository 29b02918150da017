"""Which charts a report has, and what each shows. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from scaler.report import asking, charts, figures, samples
from scaler.report.asking import Measured
from scaler.report.charts import AMBER, BLUE, GREEN, GREY, PURPLE, RED, Axis, Named
from scaler.report.figures import Courses, longest_gap
from scaler.report.html import seen
from scaler.report.past import Past
from scaler.report.samples import Buckets
from scaler.report.steps import Steps, unknown_spans
from scaler.simulator import plot
from scaler.simulator.drawing import Mark, Picture

_BINS = 48
_LEAST_BIN_SECONDS = 5.0
_RATE_SECONDS = 10.0
_DOMAINS_DRAWN = 8
_LONGEST_NAME = 40
_LAYERS = {
    figures.SERVING: BLUE,
    figures.LEAVING: GREY,
    figures.BOOTING: AMBER,
    figures.STANDBY: PURPLE,
    figures.TROUBLED: RED,
}


@dataclass(frozen=True, slots=True)
class Shown:
    """A chart with what is said of it. `key` names its file and its place on the page."""

    key: str
    heading: str
    """Charts with the same one stand under it together."""
    caption: str
    picture: Picture


def pictures(
    past: Past, measured: Measured, courses: Courses, axis: Axis, cpu_target: float | None
) -> list[Shown]:
    """All charts for which there is something to draw."""
    found = [
        _rates(measured, axis),
        _queue(measured, axis),
        _cpu(past, measured, axis, cpu_target),
        _machines(courses, axis),
        _supply(courses, axis),
        *_waits(measured, axis),
    ]
    return [one for one in found if one is not None]


def _rates(measured: Measured, axis: Axis) -> Shown | None:
    longest = longest_gap(measured)
    window = max(_RATE_SECONDS, 4.0 * measured.step_seconds)

    def rate(points: samples.Points) -> list[charts.Curve]:
        found = []
        for piece in samples.pieces(samples.grown(points), longest):
            rates = [(at, samples.rate(piece, at, window)) for at, _ in piece]
            found.append([(at, value) for at, value in rates if value is not None])
        return [piece for piece in charts.line(found, axis) if piece]

    came = rate(measured.counted(asking.ACCEPTED))
    done = rate(measured.counted_by(asking.JOBS, "state").get("done", ()))
    if not came:
        return None
    title = "Jobs per second"
    named = [Named("submitted", BLUE, came), Named("done", GREEN, done)]
    dark = charts.unknown(axis, _dark(measured.points(asking.ACCEPTED), axis, longest))
    picture = charts.curves(title, axis, named, _highest(came, done), beneath=dark)
    caption = f"Jobs that came in and jobs that were done, per second, over {window:.0f} s."
    return Shown("load", "Load", caption, picture)


def _queue(measured: Measured, axis: Axis) -> Shown | None:
    longest = longest_gap(measured)
    by_state = measured.by(asking.JOBS, "state")

    def drawn(state: str) -> list[charts.Curve]:
        return charts.line(samples.pieces(by_state.get(state, ()), longest), axis)

    waiting, leased = drawn("ready"), drawn("leased")
    if not waiting and not leased:
        return None
    named = [Named("in the queue", RED, waiting), Named("leased", BLUE, leased)]
    dark = charts.unknown(axis, _dark(by_state.get("ready", ()), axis, longest))
    title = "Jobs waiting and at work"
    picture = charts.curves(title, axis, named, _highest(waiting, leased), beneath=dark)
    caption = "Jobs that no worker has yet, and jobs that are leased to one."
    return Shown("queue", "Load", caption, picture)


def _cpu(past: Past, measured: Measured, axis: Axis, target: float | None) -> Shown | None:
    longest = longest_gap(measured)

    def drawn(points: samples.Points) -> list[charts.Curve]:
        shares = [(at, value * 100.0) for at, value in points]
        return charts.line(samples.pieces(shares, longest), axis)

    mean = measured.points(asking.CPU_MEAN)
    caption = "CPU of each domain and their mean, as Prometheus has it, over 5 s."
    if not mean:
        mean = past.cpu
        longest = max(longest, 3.0)
        caption = "Mean CPU of the domains as the scaler saw it, turn by turn."
    domains = measured.by(asking.CPU, "domain")
    if not mean and not domains:
        return None
    colours = plot.COLOURS
    named = [
        Named(seen(name)[:_LONGEST_NAME], colours[place % len(colours)], drawn(points), 1.0)
        for place, (name, points) in enumerate(domains.items())
        if place < _DOMAINS_DRAWN
    ]
    more = len(domains) - _DOMAINS_DRAWN
    if more > 0:
        caption += f" {more} more domains are in the mean and not drawn."
    named.append(Named("mean", "black", drawn(mean), 2.0))
    if target is not None:
        level = target * 100.0
        named.append(Named("target", GREY, [[(axis.since, level), (axis.until, level)]], 1.0))
    picture = charts.curves("CPU", axis, named, 100.0, unit=" %")
    return Shown("cpu", "CPU", caption, picture)


def _machines(courses: Courses, axis: Axis) -> Shown | None:
    extremes = courses.on.extremes(axis.since, axis.until)
    if extremes is None:
        return None
    desired = courses.desired.extremes(axis.since, axis.until) or (0.0, 0.0)
    highest = charts.whole(max(extremes[1], desired[1]))
    layers = [(courses.groups[group], colour) for group, colour in _LAYERS.items()]
    beneath = [
        *charts.unknown(axis, unknown_spans(courses.on, axis.since, axis.until)),
        *charts.stack(axis, layers, highest),
    ]
    named = [Named("desired", "black", charts.stairs(courses.desired, axis), 1.5)]
    named += [
        Named(group, colour, ())
        for group, colour in _LAYERS.items()
        if (courses.groups[group].extremes(axis.since, axis.until) or (0.0, 0.0))[1] > 0
    ]
    picture = charts.curves("Machines", axis, named, highest, beneath=beneath)
    caption = (
        "Domains by what they did, one on top of the other, and how many the scaler wanted to "
        "serve. Triangles are starts and drains; each leads to its decision."
    )
    return Shown("machines", "Machines", caption, picture)


def _supply(courses: Courses, axis: Axis) -> Shown | None:
    demand = courses.demand.extremes(axis.since, axis.until)
    supply = courses.supply.extremes(axis.since, axis.until)
    if demand is None or supply is None:
        return None
    highest = charts.whole(max(demand[1], supply[1]))
    beneath = [
        *charts.between(axis, courses.demand, courses.supply, RED, highest),
        *charts.between(axis, courses.supply, courses.demand, BLUE, highest),
    ]
    named = [
        Named("demand", RED, charts.stairs(courses.demand, axis), 2.0),
        Named("supply", BLUE, charts.stairs(courses.supply, axis), 2.0),
    ]
    picture = charts.curves("Supply against demand", axis, named, highest, beneath=beneath)
    caption = (
        "Supply: domains that take jobs. Demand: the fewest domains that carry the jobs that come "
        "in around that time at 80 % of their CPU. Red: too few; blue: more than needed."
    )
    return Shown("supply", "Machines", caption, picture)


def bins(axis: Axis) -> list[tuple[float, float]]:
    """Stretches of equal length in which waiting times are counted."""
    length = axis.until - axis.since
    count = max(1, min(_BINS, int(length / _LEAST_BIN_SECONDS)))
    edges = [axis.since + length * number / count for number in range(count + 1)]
    return list(pairwise(edges))


def _waits(measured: Measured, axis: Axis) -> list[Shown]:
    histogram = measured.waits()
    known = histogram.known(longest_gap(measured))
    found: list[tuple[float, float, Buckets]] = []
    for begin, end in bins(axis):
        # When in a silence the jobs came is not known, so no bin reaches into one.
        inside = [(max(begin, one), min(end, other)) for one, other in known]
        inside = [(one, other) for one, other in inside if one < other]
        counted = histogram.between(*inside[0]) if len(inside) == 1 else None
        if counted is not None and counted.total >= 0.5:
            found.append((*inside[0], counted))
    if not found:
        return []
    held = Steps.of(change for one, other in known for change in ((one, 0.0), (other, None)))
    dark = charts.unknown(axis, unknown_spans(held, axis.since, axis.until))
    return [_quantiles(found, axis, dark), _heat(found, axis, dark)]


def _quantiles(
    found: Sequence[tuple[float, float, Buckets]], axis: Axis, dark: Sequence[Mark]
) -> Shown:
    def drawn(share: float) -> list[charts.Curve]:
        changes: list[tuple[float, float | None]] = []
        for begin, end, counted in found:
            changes += [(begin, counted.quantile(share)), (end, None)]
        return charts.stairs(Steps.of(changes), axis)

    p50, p95, p99 = drawn(0.50), drawn(0.95), drawn(0.99)
    named = [Named("99 %", RED, p99), Named("95 %", AMBER, p95), Named("median", BLUE, p50, 2.0)]
    width = max(end - begin for begin, end, _ in found)
    highest = charts.nice(max(value for piece in p99 for _, value in piece), 0.001)
    picture = charts.curves("Waiting time", axis, named, highest, unit=" s", beneath=dark)
    caption = (
        f"From a job's acceptance to its first lease, of the jobs leased in each {width:.0f} s: so "
        "many of them waited no longer. Gaps are times without such jobs."
    )
    return Shown("waiting", "Waiting times", caption, picture)


def _heat(found: Sequence[tuple[float, float, Buckets]], axis: Axis, dark: Sequence[Mark]) -> Shown:
    bounds = found[0][2].bounds
    used = [
        place
        for place in range(len(bounds))
        if any(one.counts[place] >= 0.5 for _, _, one in found)
    ]
    lowest, highest = used[0], used[-1]
    most = max(count for _, _, one in found for count in one.counts)
    cells = [
        (begin, end, place - lowest, one.counts[place] / most)
        for begin, end, one in found
        for place in range(lowest, highest + 1)
        if one.counts[place] >= 0.5
    ]
    labels = [_bound(bounds, place) for place in range(lowest, highest + 1)]
    picture = charts.heat("Waiting time, how many", axis, labels, cells, dark)
    caption = (
        f"The stronger the colour, the more jobs waited so long; the strongest is {most:.0f} of "
        "them. Each row ends at the time that stands beside it."
    )
    return Shown("histogram", "Waiting times", caption, picture)


def _bound(bounds: Sequence[float], place: int) -> str:
    bound = bounds[place]
    if bound == float("inf"):
        return f"> {bounds[place - 1]:g} s" if place else "any"
    return f"{bound:g} s" if bound >= 1 else f"{bound * 1000:g} ms"


def _dark(points: samples.Points, axis: Axis, longest: float) -> list[tuple[float, float]]:
    return unknown_spans(samples.steps(points, longest), axis.since, axis.until)


def _highest(*curves: Sequence[charts.Curve]) -> float:
    values = [value for pieces in curves for piece in pieces for _, value in piece]
    return charts.nice(max(values, default=0.0))
