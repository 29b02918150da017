"""Whether what a query brings is what its panel says it is."""

import math
from collections.abc import Iterator, Sequence

from grafana.filling import Window
from grafana.prometheus_api import Series
from grafana.written import Mark, Panel, Target

_YEARS_SECONDS = 10 * 365 * 86400
RIGHTLY_EMPTY = {
    # Of virtscale.
    "virtscale_scaler_shadow_desired_domains": "absent unless there are shadow policies",
    "virtscale_scaler_alert_demand_domains": "absent unless an alert fires that scales the pool",
    "virtscale_scaler_paused{pool=~": "marks nothing unless somebody pauses the pool",
    "virtscale_scaler_breaker_open": "marks nothing unless boots fail again and again",
    "virtscale_dispatcher_store_writable": "marks nothing unless the disk fails",
    "virtscale_scaler_withheld_total": "marks nothing unless a wish was withheld",
    "virtscale_scaler_incidents_total": "marks nothing unless a domain fails",
    "virtscale_dispatcher_requeued_total": "marks nothing unless a worker is lost",
}
"""Marks and lines that are rightly empty when nothing goes wrong, by what they ask for."""


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
        yield "empty"
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
        yield "empty"
    for label in sorted(mark.labels):
        if not all(label in one.labels for one in answer):
            yield f"no label {label}, which its text names"
