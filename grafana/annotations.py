"""Marks on the time axis for what happened to a pool, from nothing but Prometheus.

Grafana asks an annotation's query over the whole range, at a step that grows with the range; the
windows grow with it, so that no event falls between two steps.
"""

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as model

from grafana.panels import RATE, SOURCE
from grafana.written import Mark

CAUSES = (
    *("demand", "wait_goal", "target", "cpu_above_target", "cpu_fits_one_fewer", "none_active"),
    *("schedule", "outside_schedule", "seasonal", "no_signal", "min"),
    *("alert_floor", "alert_raise", "override_hold", "override_floor", "override_ceiling"),
)
"""Reasons of turns that change a pool's capacity; others only keep it as it is."""
_STEP = "5s"


class _Annotation(model.AnnotationQuery):
    """Adds what only Prometheus's annotations have, and the SDK's model has not."""

    def __init__(self, mark: Mark) -> None:
        super().__init__(
            name=mark.name,
            datasource=SOURCE,
            enable=mark.is_shown,
            icon_color=mark.colour,
            expr=mark.expr,
        )
        self._mark = mark

    def to_json(self) -> dict[str, object]:
        return {
            **super().to_json(),
            "step": _STEP,
            "titleFormat": self._mark.title,
            "textFormat": self._mark.text,
            "tagKeys": ",".join(self._mark.tags),
        }


class _Built(Builder[model.AnnotationQuery]):
    """What is built already, where the SDK asks for a builder."""

    def __init__(self, annotation: model.AnnotationQuery) -> None:
        self._annotation = annotation

    def build(self) -> model.AnnotationQuery:
        return self._annotation


def annotated(board: build.Dashboard, *marks: Mark) -> build.Dashboard:
    """The dashboard with marks, each with a switch of its own."""
    return board.annotations([_Built(_Annotation(mark)) for mark in marks])


def _changed(change: str) -> str:
    """Turns by the cause that they named, of pools whose desired capacity changed."""
    turns = f'virtscale_scaler_decisions_total{{pool=~"$pool", reason=~"{"|".join(CAUSES)}"}}'
    changed = f"(sum by (pool) ({change}) > 0)"
    return (
        f"(sum by (pool, reason) (increase({turns}{RATE})) > 0 and on (pool) {changed})"
        f' or on (pool) label_replace({changed}, "reason", "ask virtscale explain", "", "")'
    )


_DESIRED = f'virtscale_scaler_desired_domains{{pool=~"$pool"}}{RATE}'
_INCIDENTS = (
    'virtscale_scaler_incidents_total{pool=~"$pool", incident!~"boot_finished|wake_finished"}'
)

POOL_MARKS = (
    Mark(
        "More wanted",
        # A gauge's resets are the times that it fell.
        _changed(f"changes({_DESIRED}) - resets({_DESIRED})"),
        *("green", "more: {{reason}}", "pool {{pool}} wants more domains: {{reason}}", ("reason",)),
    ),
    Mark(
        "Fewer wanted",
        _changed(f"resets({_DESIRED})"),
        *(
            "blue",
            "fewer: {{reason}}",
            "pool {{pool}} wants fewer domains: {{reason}}",
            ("reason",),
        ),
    ),
    Mark(
        "Incidents",
        # A counter that appears with its first event hides that event from increase().
        f"sum by (pool, incident) (increase({_INCIDENTS}{RATE}) > 0"
        f" or ({_INCIDENTS} unless {_INCIDENTS} offset $__rate_interval))",
        *("red", "{{incident}}", "a domain of pool {{pool}}: {{incident}}", ("incident",)),
    ),
    Mark(
        "Breaker open",
        'max by (pool) (virtscale_scaler_breaker_open{pool=~"$pool"}) > 0',
        *("dark-red", "boots fail", "no starts in pool {{pool}} until the back-off is over"),
        ("pool",),
    ),
    Mark(
        "Paused",
        'max by (pool) (virtscale_scaler_paused{pool=~"$pool"}) > 0',
        *("orange", "paused", "an operator holds pool {{pool}}", ("pool",)),
    ),
    Mark(
        "More withheld",
        "sum by (pool, reason) (increase("
        f'virtscale_scaler_withheld_total{{pool=~"$pool", direction="out"}}{RATE})) > 0',
        *(
            "purple",
            "withheld: {{reason}}",
            "pool {{pool}} wanted more domains: {{reason}}",
            ("reason",),
        ),
        is_shown=False,
    ),
)
"""What happened to a pool."""

DISPATCHER_MARKS = (
    Mark(
        "Workers lost",
        "sum by (instance, reason) (increase(virtscale_dispatcher_requeued_total"
        f'{{instance=~"$dispatcher", reason=~"worker_lost|lease_expired"}}{RATE})) > 0',
        *("red", "leases: {{reason}}", "{{reason}}, dispatcher {{instance}}", ("reason",)),
    ),
    Mark(
        "Store not writable",
        'min by (instance) (virtscale_dispatcher_store_writable{instance=~"$dispatcher"}) == 0',
        *("dark-red", "store", "dispatcher {{instance}} cannot write its store", ("instance",)),
    ),
)
"""What happened to a dispatcher."""
