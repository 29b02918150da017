"""Whether what a query brings is what its panel says it is."""

import math
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

from grafana.filling import Window
from grafana.series import Series
from grafana.written import Mark, Panel, Target

EMPTY = "empty"
_YEARS_SECONDS = 10 * 365 * 86400
RIGHTLY_EMPTY = {
    "fleet / Shadows and alerts / shadow *": "there are no shadow policies",
    "fleet / Shadows and alerts / alert *": "no alert fires that scales the pool",
    "* / mark / Paused": "nobody has paused the pool",
    "* / mark / Breaker open": "boots do not fail again and again",
    "* / mark / Incidents": "no domain has failed",
    "* / mark / More withheld": "no wish was withheld",
    "dispatcher / mark / Workers lost": "no worker was lost",
    "dispatcher / mark / Store not writable": "the disk is well",
    "domain / Halted and waiting / vCPU * halted": "the guest computes or waits in its kernel",
    "domain / Latency / *": "the disk was not read, or not written",
    "domain / Traffic / *": "QEMU's user-mode network has no interface on the host",
    "domain / Packets / *": "the same",
    "domain / Errors and drops / *": "the same",
    "domain / Time without an answer / *": "the hypervisor answers",
    "domain / Job: */ *": "no migration, save or backup is under way",
    "host / Jobs under way / *": "no migration, save or backup is under way",
    "host / Network throughput / *": "QEMU's user-mode network has no interface on the host",
    "host / Storage pools / *": "libvirt has no storage pool",
    "host / What could not be read / failed: *": "every part could be read",
    "host / What could not be read / incomplete domains": "every domain was complete",
}
"""What has nothing to show while all is well, by `dashboard / panel / line`, and why."""


def excuse(place: str, excuses: Mapping[str, str] = RIGHTLY_EMPTY) -> str | None:
    """Why it may be empty there; None when it must not."""
    return next((why for pattern, why in excuses.items() if fnmatchcase(place, pattern)), None)


def bounds(unit: str, window: Window) -> tuple[float, float]:
    """Between what lies a plausible value of one of Grafana's units; of a sane run, that is."""
    length = window.end - window.start
    known = {
        "percentunit": (0.0, 1.5),
        # Nothing that lasts can have lasted much longer than what is shown, but for certificates.
        "s": (0.0, _YEARS_SECONDS),
        "h": (0.0, 10_000 * max(1.0, length / 3600)),
    }
    return known.get(unit, (0.0, 1e15))


def faults(panel: Panel, target: Target, answer: Sequence[Series], window: Window) -> Iterator[str]:
    """What is wrong with an answer, in words: empty, labels missing, not the panel's unit."""
    values = [value for one in answer for _, value in one.points if math.isfinite(value)]
    if not values:
        yield EMPTY
    for label in sorted(target.labels):
        if not all(label in one.labels for one in answer):
            yield f"no label {label}, which the legend {target.legend!r} names"
    if not target.labels and len(answer) > 1:
        yield f"{len(answer)} series of one name, {target.legend!r}"
    if panel.kind != "heatmap":
        yield from _wrong_unit(panel.unit, values, window)
    elif answer and not all("le" in one.labels for one in answer):
        yield "no label le, so that it is no histogram"


def _wrong_unit(unit: str, values: Sequence[float], window: Window) -> Iterator[str]:
    low, high = bounds(unit, window)
    outside = [value for value in values if not low <= value <= high]
    if outside:
        yield f"{outside[0]:g} is no {unit}: not within {low:g} and {high:g}"
    if unit == "bytes" and any(0 < value < 1 for value in values):
        yield "less than a byte"


def mark_faults(mark: Mark, answer: Sequence[Series]) -> Iterator[str]:
    """What is wrong with a mark's answer."""
    if not answer:
        yield EMPTY
    for label in sorted(mark.labels):
        if not all(label in one.labels for one in answer):
            yield f"no label {label}, which its text names"
