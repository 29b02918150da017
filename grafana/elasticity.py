"""The dashboard *Elasticity*: demand against supply, what was missing, what was paid for nothing.

The metrics are those of Herbst et al., "Ready for Rain?" (SPEC-RG-2016-01): demand is the fewest
domains that carry the load at the target, supply the domains that take jobs.
"""

from collections.abc import Sequence

from grafana_foundation_sdk.builders.dashboard import Dashboard

from grafana.annotations import POOL_MARKS, annotated
from grafana.boards import ELASTICITY, pool_dashboard, with_rows
from grafana.panels import RATE, Panel, Query, chart, number
from grafana.pool_queries import DISPATCHERS, LEAVING, POOL, WITHOUT_MEMORY, domains, quantile

_SERVICE = "virtscale_dispatcher_job_service_seconds"
_WAIT = "virtscale_dispatcher_job_wait_seconds"
_ALL = "[$__range:$__interval]"
_HOURS = "* $__interval_ms / 3600000"


def _mean_service(window: str) -> str:
    spent, jobs = (
        f"sum(rate({_SERVICE}_{what}{{{DISPATCHERS}}}{window}))" for what in ("sum", "count")
    )
    return f"{spent} / ({jobs} > 0)"


_WORK = (
    f"sum(rate(virtscale_dispatcher_jobs_accepted_total{{{DISPATCHERS}}}[30s]))"
    f" * on () ({_mean_service('[30s]')} or on () {_mean_service('[$__range] @ end()')})"
)
"""CPU seconds that come per second: arrivals, at the mean service time of that time."""
_SLOTS = f"(max(last_over_time(virtscale_worker_slots{{{DISPATCHERS}}}[5m])) or on () vector(1))"
_DEMAND = f"ceil({_WORK} / on () ({_SLOTS} * $target))"
_SUPPLY = domains("ready")
_POWERED = f'sum(virtscale_scaler_domains{{{POOL}, state!~"{WITHOUT_MEMORY}"}})'
_MISSING = f"clamp_min({_DEMAND} - {_SUPPLY}, 0)"
_SURPLUS = f"clamp_min({_SUPPLY} - {_DEMAND}, 0)"
_BUSY = f'sum(avg_over_time(virtscale_dispatcher_slots{{{DISPATCHERS}, state="busy"}}[30s]))'
_ALL_SLOTS = f"sum(avg_over_time(virtscale_dispatcher_slots{{{DISPATCHERS}}}[30s]))"
_USE = f"{_BUSY} / ({_ALL_SLOTS} > 0)"
"""Share of the slots of the last 30 s that was busy."""


def _done(actions: str, window: str) -> str:
    return (
        "sum(increase(virtscale_scaler_actions_total"
        f'{{{POOL}, action=~"{actions}", result="done"}}{window}))'
    )


_OUT, _IN = "start|resume|restore|cancel_drain", "drain"


def elasticity() -> Dashboard:
    """The whole dashboard."""
    board = pool_dashboard(
        *(ELASTICITY, "virtscale / Elasticity"),
        "How well a pool follows its load, and what that costs, over the shown time.",
    )
    return with_rows(
        annotated(board, *POOL_MARKS),
        [
            ("Over the shown time", [*_whole(), *_whole_and_its_price()]),
            ("Demand and supply", _course()),
            ("What it is for", _worth()),
        ],
    )


def _whole() -> Sequence[Panel]:
    return (
        number(
            "Machine-hours",
            "Hours of domains in any state that costs memory: the cost of the shown time.",
            "h",
            Query(f"sum_over_time({_POWERED}{_ALL}) {_HOURS}", "machine-hours"),
            decimals=2,
        ),
        number(
            "Needed",
            "Domain-hours of the demand: what a pool without delay would have had.",
            "h",
            Query(f"sum_over_time({_DEMAND}{_ALL}) {_HOURS}", "domain-hours"),
            decimals=2,
        ),
        number(
            "Time with too few",
            "Share of the shown time with fewer ready domains than the demand.",
            "percentunit",
            Query(f"avg_over_time(({_DEMAND} > bool {_SUPPLY}){_ALL})", "share"),
            decimals=1,
        ),
        number(
            "Time with too many",
            "Share of the shown time with more ready domains than the demand; the pool's minimum"
            " counts too.",
            "percentunit",
            Query(f"avg_over_time(({_SUPPLY} > bool {_DEMAND}){_ALL})", "share"),
            decimals=1,
        ),
        number(
            "Missing",
            "Mean number of domains that were missing (under-provisioning).",
            "suffix: domains",
            Query(f"avg_over_time({_MISSING}{_ALL})", "domains"),
            decimals=2,
        ),
        number(
            "Surplus",
            "Mean number of ready domains that were not needed (over-provisioning).",
            "suffix: domains",
            Query(f"avg_over_time({_SURPLUS}{_ALL})", "domains"),
            decimals=2,
        ),
    )


def _whole_and_its_price() -> Sequence[Panel]:
    return (
        number(
            *("Scale-outs", "Domains started, woken or taken back from draining.", "none"),
            Query(_done(_OUT, "[$__range]"), "scale-outs"),
            decimals=0,
        ),
        number(
            *("Scale-ins", "Domains drained to be shut down or put to standby.", "none"),
            Query(_done(_IN, "[$__range]"), "scale-ins"),
            decimals=0,
        ),
        number(
            *("Jobs done", "Jobs done in the shown time.", "none"),
            Query(f"sum(increase({_SERVICE}_count{{{DISPATCHERS}}}[$__range]))", "jobs"),
            decimals=0,
        ),
        number(
            "Machine time per job",
            "Machine-hours of the shown time, in seconds, by jobs done; idle time included.",
            "s",
            Query(
                f"sum_over_time({_POWERED}{_ALL}) * $__interval_ms / 1000 / on ()"
                f" (sum(increase({_SERVICE}_count{{{DISPATCHERS}}}[$__range])) > 0)",
                "per job",
            ),
            decimals=2,
        ),
        number(
            "Waited at most, 95 %",
            "What 95 % of the jobs of the shown time did not wait longer than.",
            "s",
            Query(
                "histogram_quantile(0.95, sum by (le)"
                f" (increase({_WAIT}_bucket{{{DISPATCHERS}}}[$__range])))",
                "waiting time",
            ),
            bad_from=30,
            decimals=1,
        ),
        number(
            "Use of ready domains",
            "Share of their slots that was busy, over the shown time.",
            "percentunit",
            Query(f"sum_over_time({_BUSY}{_ALL}) / sum_over_time({_ALL_SLOTS}{_ALL})", "use"),
            decimals=0,
        ),
    )


def _course() -> Sequence[Panel]:
    return (
        chart(
            "Demand and supply",
            "Demand: the fewest domains that carry the work of the last 30 s at the target"
            " CPU. Supply: the domains that take jobs. On: all that cost memory.",
            "none",
            Query(_DEMAND, "demand", "orange"),
            Query(_SUPPLY, "supply", "green"),
            Query(_POWERED, "on", "blue", is_dashed=True),
            span=24,
            is_counted=True,
        ),
        chart(
            "Missing and surplus",
            "Domains fewer than the demand (up, red) and more than it (down, blue).",
            "none",
            Query(_MISSING, "missing", "red"),
            Query(_SURPLUS, "surplus", "blue", is_below=True),
            is_stacked=True,
            is_counted=True,
        ),
        chart(
            "Where machine time goes",
            "Domains that are on: ready and at work, ready and idle, on their way in, on their way"
            " out, and the rest. The coloured area is the machine-hours.",
            "none",
            Query(f"{_SUPPLY} * on () ({_USE})", "at work", "green"),
            Query(f"{_SUPPLY} * on () (1 - {_USE})", "idle", "light-green"),
            Query(domains("starting|booting|waking|silent"), "on the way in", "yellow"),
            Query(domains(LEAVING), "on the way out", "orange"),
            Query(
                domains("preparing|suspending|saving|standby_paused|paused|failed|quarantined"),
                *("standing by and the rest", "blue"),
            ),
            is_stacked=True,
        ),
    )


def _worth() -> Sequence[Panel]:
    return (
        chart(
            "Waiting time",
            "From a job's acceptance to its first lease: what too few domains cost.",
            "s",
            Query(quantile(0.5, _WAIT), "median", "green"),
            Query(quantile(0.95, _WAIT), "95 %", "yellow"),
            Query(quantile(0.99, _WAIT), "99 %", "red"),
            bad_from=30,
            span=8,
        ),
        chart(
            "Use of ready domains",
            "Share of the slots of domains that take jobs which was busy in the last 30 s,"
            " against the target.",
            "percentunit",
            Query(_USE, "use", "green"),
            Query("vector($target)", "target", "orange", is_dashed=True),
            is_share=True,
            span=8,
        ),
        chart(
            "Scale-outs and scale-ins",
            "Domains started, woken or taken back (up), and drained (down).",
            "none",
            Query(_done(_OUT, RATE), "out", "green"),
            Query(_done(_IN, RATE), "in", "blue", is_below=True),
            is_barred=True,
            span=8,
        ),
    )
