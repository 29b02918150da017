"""A report in sentences: what came of the run, and what could not be known. Pure."""

from collections.abc import Callable, Iterable, Sequence

from scaler.report import asking, samples
from scaler.report.asking import Measured
from scaler.report.figures import Courses, Figures, longest_gap
from scaler.report.lives import Act
from scaler.report.past import Past
from scaler.report.steps import Steps, together, unknown_spans

Clock = Callable[[float], str]

_LISTED = 5
_WORTH_A_WORD = 0.01
_SHORT_SECONDS = 5.0
"""Silences that are no longer are not worth a word."""


def length_text(seconds: float) -> str:
    """`3 min 37 s`, `1 h 05 min`, `2 d 3 h`; below ten seconds with one digit more."""
    if seconds < 9.95:
        return f"{seconds:.2g} s" if seconds < 1 else f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3_600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86_400:
        return f"{whole // 3_600} h {whole % 3_600 // 60:02d} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3_600} h"


def seconds(value: float) -> str:
    """A time to wait; it is not known better than to two digits."""
    if value < 0.0005:
        return "0 s"
    return length_text(value) if value >= 0.1 else f"{value * 1000:.2g} ms"


def money(value: float) -> str:
    """An amount, in the money of the price."""
    return f"{value:,.2f}" if value >= 1 or value == 0 else f"{value:.2g}"


def percent(share: float) -> str:
    """A share of 0 to 1."""
    if share > 0.9995:
        return "100 %"
    return f"{share * 100:.2g} %" if share < 0.1 else f"{share * 100:.0f} %"


def counted(count: int, one: str, many: str | None = None) -> str:
    """`1 job`, `2 jobs`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def summary(found: Figures, courses: Courses) -> list[str]:
    """What came of the run, for who reads nothing else."""
    told = []
    if found.jobs is not None:
        told.append(_jobs(found))
    if found.waits is not None:
        waits = found.waits
        told.append(
            f"Half of the jobs had a worker within {seconds(waits.p50)}, 95 % within "
            f"{seconds(waits.p95)} and 99 % within {seconds(waits.p99)}."
        )
    if found.domains is not None:
        fewest, most = found.domains
        size = f"{most}" if fewest == most else f"{fewest} to {most}"
        told.append(
            f"The pool ran {size} machines, together {found.machine_hours:.3g} machine-hours"
            + (
                ""
                if found.cost is None
                else f" ({money(found.cost)} at {found.price_per_hour:g} an hour)"
            )
            + f", and powered on {counted(found.starts, 'machine')}{_wasted(found)}."
        )
    if found.elasticity is not None:
        one = found.elasticity
        waiting = (
            f" ({percent(one.timeshare_over_waiting)} while a queue was worked off)"
            if one.timeshare_over_waiting >= _WORTH_A_WORD
            else ""
        )
        told.append(
            f"It had fewer machines than the jobs that came in needed "
            f"{percent(one.timeshare_under)} of the time and more {percent(one.timeshare_over)} of "
            f"the time{waiting}."
        )
        told += _beyond(courses, found)
    return told


def _jobs(found: Figures) -> str:
    jobs = found.jobs
    assert jobs is not None
    parts = [f"{jobs.done:,} done", f"{jobs.failed:,} failed", f"{jobs.lost:,} lost"]
    if jobs.cancelled:
        parts.append(f"{jobs.cancelled:,} cancelled")
    if jobs.open_at_end:
        parts.append(f"{jobs.open_at_end:,} not yet done at the end")
    before = f", {jobs.open_before:,} had come before" if jobs.open_before else ""
    return f"{counted(jobs.accepted, 'job')} came in{before}: {', '.join(parts)}."


def _wasted(found: Figures) -> str:
    if found.wasted_boots is None:
        return ""
    if not found.wasted_boots:
        return ", none in vain"
    return f", {found.wasted_boots} of them in vain"


def _beyond(courses: Courses, found: Figures) -> list[str]:
    """Load that the pool's maximum does not allow for is not the scaler's to carry."""
    if found.domains is None or found.elasticity is None:
        return []
    most = found.domains[1]
    spans = courses.demand.known_spans(found.since, found.until)
    beyond = sum(end - begin for begin, end, value in spans if value > most)
    if beyond < _SHORT_SECONDS:
        return []
    return [
        f"For {length_text(beyond)} the load would have needed more than the {most} machines that "
        "the pool had at most."
    ]


def unknowns(
    past: Past,
    measured: Measured,
    courses: Courses,
    found: Figures,
    clock: Clock,
) -> list[str]:
    """What is missing from the report, and why."""
    told = [f"{fault}." for fault in measured.faults]
    told += _of_the_record(past, clock)
    if not measured.faults:
        told += _of_the_samples(past, measured, courses, clock)
    if found.jobs is None:
        told.append(
            "Jobs, queue and waiting times are not known: Prometheus has no samples of the "
            "dispatcher from this time."
        )
    if found.waits is not None and found.waits.unknown:
        told.append(
            f"The waiting time of {counted(found.waits.unknown, 'job')} is not known: a dispatcher "
            "that is killed takes along what it has counted since it was scraped, and of a worker "
            "that did not come back after that nobody knows which jobs it had had."
        )
    length = found.until - found.since
    if found.elasticity is None:
        told.append(
            "Supply cannot be held against demand: there is no time of which arrivals, length of "
            "jobs and size of the pool are all known."
        )
    elif length - found.elasticity.seconds > _SHORT_SECONDS:
        told.append(
            f"Supply and demand are both known for {length_text(found.elasticity.seconds)} of "
            f"{length_text(length)}; shares and means are of that time."
        )
    if length - found.known_seconds > _SHORT_SECONDS:
        told.append(
            f"The pool's size is known for {length_text(found.known_seconds)} of "
            f"{length_text(length)}; machine-hours are those of that time."
        )
    if found.wasted_boots is None:
        told.append(
            "Wasted boots are not known: there are no samples of the jobs that the workers did."
        )
    return told


def _of_the_record(past: Past, clock: Clock) -> list[str]:
    if past.first is None or past.last is None:
        return [
            "The scaler recorded no turn in this time: decisions, their reasons and actions are "
            "not known."
        ]
    told = []
    if past.first - past.since > _SHORT_SECONDS:
        told.append(f"The scaler's record begins at {clock(past.first)}.")
    told += _spans(
        past.gaps, "No turn was recorded {}: the scaler did not run, or could not write.", clock
    )
    is_told = bool(past.gaps) and past.gaps[-1][1] >= past.until
    if past.until - past.last > _SHORT_SECONDS and not is_told:
        told.append(f"The scaler's record ends at {clock(past.last)}.")
    return told


def _of_the_samples(past: Past, measured: Measured, courses: Courses, clock: Clock) -> list[str]:
    told = []
    longest = longest_gap(measured)
    accepted = measured.points(asking.ACCEPTED)
    if accepted:
        gaps = unknown_spans(samples.steps(accepted, longest), past.since, past.until)
        told += _spans(
            _long(gaps, longest), "Prometheus has no samples of the dispatcher {}.", clock
        )
    cpu = samples.steps(measured.points(asking.CPU_MEAN), longest)
    dark = [
        span
        for span, (value, on) in together([cpu, courses.on], past.since, past.until)
        if value is None and on
    ]
    told += _spans(_long(dark, longest), "The domains' CPU is not known {}.", clock)
    return told


def _long(spans: Iterable[tuple[float, float]], longest: float) -> list[tuple[float, float]]:
    joined: list[tuple[float, float]] = []
    for begin, end in spans:
        if joined and begin - joined[-1][1] < 1e-6:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((begin, end))
    return [one for one in joined if one[1] - one[0] > max(longest, _SHORT_SECONDS)]


def _spans(spans: Sequence[tuple[float, float]], form: str, clock: Clock) -> list[str]:
    if not spans:
        return []
    told = [
        f"from {clock(begin)} to {clock(end)} ({length_text(end - begin)})"
        for begin, end in spans[:_LISTED]
    ]
    more = len(spans) - _LISTED
    if more > 0:
        told.append(f"and {more} more times")
    return [form.format(", ".join(told))]


def duration_of(act: Act) -> str:
    """What is known of how long an action took."""
    if act.seconds is not None:
        return f"{seconds(act.seconds)} {act.what}"
    if act.call_seconds is not None:
        return f"{seconds(act.call_seconds)} for the call"
    return ""


def mean(steps: Steps, since: float, until: float) -> float | None:
    """Over the time in which it is known."""
    known = steps.known_seconds(since, until)
    return steps.integral(since, until) / known if known > 0 else None
