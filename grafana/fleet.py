"""The dashboard *Fleet*: a pool, what is asked of it, and what the scaler made of that."""

from collections.abc import Sequence

from grafana_foundation_sdk.builders.dashboard import Dashboard

from grafana.annotations import POOL_MARKS, annotated
from grafana.boards import FLEET, pool_dashboard, with_rows
from grafana.panels import RATE, Panel, Query, chart, largest, number
from grafana.pool_queries import (
    ASTRAY,
    CAPACITY,
    DISPATCHERS,
    LEAVING,
    POOL,
    STANDBY,
    domains,
    happened,
    jobs,
    quantile,
    rate,
)

_GOAL_SECONDS = 30
_CPU = f"pool_domain:libvirt_domain_cpu_utilisation:avg30s{{{POOL}}}"
_SCALER = f"virtscale_scaler_paused{{{POOL}}}"
_ALERTS = 'ALERTS{alertstate="firing", alertname=~"(Virtscale|Libvirt).*"}'
_WAIT = "virtscale_dispatcher_job_wait_seconds"
_DESIRED = Query(
    f"max(virtscale_scaler_desired_domains{{{POOL}}})", "desired", "blue", is_dashed=True
)
_TARGET = Query("vector($target)", "target", "orange", is_dashed=True)
_ALARM = (("0", "no", "green"), ("1", "yes", "red"))
STATE_COLOURS = {
    **{"ready": "green", "booting": "yellow", "starting": "light-yellow", "waking": "light-green"},
    **{"cordoned": "light-orange", "draining": "orange", "shutting_down": "dark-orange"},
    **{"standby_paused": "blue", "standby_saved": "dark-blue", "preparing": "light-blue"},
    **{"silent": "purple", "failed": "red", "quarantined": "dark-red"},
}


def fleet() -> Dashboard:
    """The whole dashboard."""
    board = pool_dashboard(
        *(FLEET, "virtscale / Fleet", "A pool of domains, its load, and what the scaler decides."),
    )
    return with_rows(
        annotated(board, *POOL_MARKS),
        [
            ("Now", _now()),
            ("Domains and load", _domains()),
            ("Queue and waiting", _waiting()),
            ("Decisions", _decisions()),
            ("Health", _health()),
        ],
    )


def _now() -> Sequence[Panel]:
    return (
        number(
            *("Ready", "Domains whose worker takes jobs.", "none"),
            Query(domains("ready"), "ready"),
            span=3,
        ),
        number(
            *("Desired", "Domains that the scaler wants to serve, after all limits.", "none"),
            _DESIRED,
            span=3,
        ),
        number(
            "CPU",
            "Mean share of their virtual CPUs that running domains used in the last 30 s.",
            "percentunit",
            Query(f"pool:libvirt_domain_cpu_utilisation:avg30s{{{POOL}}}", "CPU"),
            decimals=0,
            span=3,
        ),
        number(
            "Waiting jobs",
            "Jobs without a slot: in the queue, or fetched ahead by a worker.",
            "none",
            Query(
                f"{jobs('ready')} + sum(virtscale_dispatcher_prefetched_jobs{{{DISPATCHERS}}})",
                "jobs",
            ),
            span=3,
        ),
        number(
            *("Oldest waits", "Time since the oldest ready job was accepted.", "s"),
            Query(f"max(virtscale_dispatcher_oldest_ready_age_seconds{{{DISPATCHERS}}})", "age"),
            bad_from=_GOAL_SECONDS,
            span=3,
        ),
        number(
            "Last good turn",
            "Time since libvirt answered the scaler and it could decide.",
            "s",
            Query(f"max(virtscale_scaler_last_successful_turn_age_seconds{{{POOL}}})", "age"),
            bad_from=30,
            span=3,
        ),
        number(
            *(
                "Breaker open",
                "Whether failed boots keep the scaler from starting domains.",
                "none",
            ),
            Query(f"max(virtscale_scaler_breaker_open{{{POOL}}})", "open"),
            texts=_ALARM,
            span=3,
        ),
        number(
            *("Paused", "Whether an operator holds scaling.", "none"),
            Query(f"max({_SCALER})", "paused"),
            texts=_ALARM,
            span=3,
        ),
    )


def _domains() -> Sequence[Panel]:
    return (
        chart(
            "Size of the pool",
            "What the scaler wants, what serves or will within its deadline, what stands by, and"
            " what takes jobs now. Marks say why the wish changed.",
            "none",
            Query(domains(STANDBY), "standby", "purple"),
            Query(domains(CAPACITY), "current", "yellow"),
            Query(domains("ready"), "ready", "green"),
            _DESIRED,
            is_counted=True,
        ),
        chart(
            "Domains by state",
            "Domains that are not off, by what they are to the pool.",
            "none",
            Query(
                "sum by (state) (virtscale_scaler_domains"
                f'{{{POOL}, state!~"off|quarantined_off"}} > 0) or on () label_replace('
                f'{domains("ready")}, "state", "ready", "", "")',
                "{{state}}",
            ),
            is_stacked=True,
            is_counted=True,
            colours=STATE_COLOURS,
        ),
        chart(
            "CPU of the pool against the target",
            "Share of their virtual CPUs that running domains used in the last 30 s: mean, lowest"
            " and highest. The target is what this dashboard's variable says.",
            "percentunit",
            Query(f"avg({_CPU})", "mean", "blue"),
            Query(f"max({_CPU})", "highest", "light-blue"),
            Query(f"min({_CPU})", "lowest", "light-blue"),
            _TARGET,
            is_share=True,
        ),
        chart(
            "CPU by domain, top 10",
            "The ten domains that used the most over the shown time, against the target.",
            "percentunit",
            Query(largest(_CPU), "{{domain}}"),
            _TARGET,
            is_share=True,
            links_to_domain=True,
        ),
        chart(
            "Leaving and astray",
            "Domains on their way out, and such as nobody asked for: paused by somebody, failed,"
            " or another scaler's.",
            "none",
            Query(domains(LEAVING), "leaving", "orange"),
            Query(domains(ASTRAY), "astray", "red"),
            Query(f"max(virtscale_scaler_domains_outdated{{{POOL}}})", "old image", "blue"),
            is_counted=True,
        ),
        chart(
            "Actions",
            "What the scaler did to domains and how it ended; from the metrics, so that the"
            " height of a bar is an estimate.",
            "none",
            Query(
                happened("virtscale_scaler_actions_total", POOL, ("action", "result"), _SCALER),
                "{{action}} {{result}}",
            ),
            is_stacked=True,
            is_barred=True,
        ),
    )


def _waiting() -> Sequence[Panel]:
    return (
        chart(
            "Queue",
            "Jobs that wait in the queue, that a worker has fetched ahead, and that are worked on.",
            "none",
            Query(jobs("ready"), "ready", "orange"),
            Query(
                f"sum(virtscale_dispatcher_prefetched_jobs{{{DISPATCHERS}}})",
                *("fetched ahead", "yellow"),
            ),
            Query(
                f'sum(virtscale_dispatcher_slots{{{DISPATCHERS}, state="busy"}})',
                *("worked on", "green"),
            ),
            is_stacked=True,
            is_counted=True,
        ),
        chart(
            "Waiting time",
            "From a job's acceptance to its first lease, and how long the oldest ready job has"
            f" waited. The goal is {_GOAL_SECONDS} s.",
            "s",
            Query(quantile(0.5, _WAIT), "median", "green"),
            Query(quantile(0.95, _WAIT), "95 %", "yellow"),
            Query(quantile(0.99, _WAIT), "99 %", "orange"),
            Query(
                f"max(virtscale_dispatcher_oldest_ready_age_seconds{{{DISPATCHERS}}})",
                *("oldest in the queue", "red"),
            ),
            bad_from=_GOAL_SECONDS,
        ),
        chart(
            "Throughput",
            "Jobs that come and that are done, per second.",
            "suffix: jobs/s",
            Query(rate("virtscale_dispatcher_jobs_accepted_total"), "accepted", "blue"),
            Query(rate("virtscale_dispatcher_job_service_seconds_count"), "done", "green"),
        ),
        chart(
            "Slots",
            "Slots of the workers that take jobs, by whether a job fills them.",
            "none",
            Query(
                f"sum by (state) (virtscale_dispatcher_slots{{{DISPATCHERS}}})",
                "{{state}}",
            ),
            is_stacked=True,
            is_counted=True,
            colours={"busy": "green", "free": "light-green"},
        ),
    )


def _decisions() -> Sequence[Panel]:
    return (
        chart(
            "What the policies want",
            "Domains that each policy wants before all limits, and what came of it.",
            "none",
            Query(
                f"max by (policy) (virtscale_scaler_recommendation_domains{{{POOL}}})",
                "{{policy}}",
            ),
            _DESIRED,
            is_counted=True,
        ),
        chart(
            "Shadows and alerts",
            "Domains that shadow policies would want, and that firing alerts demand.",
            "none",
            Query(
                f"max by (shadow) (virtscale_scaler_shadow_desired_domains{{{POOL}}})",
                "shadow {{shadow}}",
            ),
            Query(
                f"max by (rule) (virtscale_scaler_alert_demand_domains{{{POOL}}})",
                "alert {{rule}}",
            ),
            _DESIRED,
            is_counted=True,
        ),
        chart(
            "Turns by reason",
            "The one reason that each turn named, in turns per second. What held the pool, and for"
            " how long, is the height and width of its colour.",
            "suffix: turns/s",
            Query(
                f"sum by (reason) (rate(virtscale_scaler_decisions_total{{{POOL}}}{RATE})) and on"
                " (reason) sum by (reason)"
                f" (increase(virtscale_scaler_decisions_total{{{POOL}}}[$__range] @ end())) > 0",
                "{{reason}}",
            ),
            is_stacked=True,
        ),
        chart(
            "Wishes withheld",
            "Turns that did not follow a wish for more (out) or fewer (in) domains, by what kept"
            " them.",
            "none",
            Query(
                happened("virtscale_scaler_withheld_total", POOL, ("direction", "reason"), _SCALER),
                "{{direction}}: {{reason}}",
            ),
            is_stacked=True,
            is_barred=True,
        ),
    )


def _health() -> Sequence[Panel]:
    return (
        chart(
            "Signals",
            "Values of the signals that the policies read, each in its own unit; a gap is a value"
            " that was not known.",
            "none",
            Query(f"max by (signal) (virtscale_scaler_signal_value{{{POOL}}})", "{{signal}}"),
        ),
        chart(
            "What is not known",
            "Signals that are empty, stale or failed, the dispatcher if it does not answer, and a"
            " policies file that was refused. While anything is, nothing is scaled in.",
            "none",
            Query(f"1 - min by (signal) (virtscale_scaler_signal_known{{{POOL}}})", "{{signal}}"),
            Query(f"1 - min(virtscale_scaler_fleet_known{{{POOL}}})", "dispatcher", "red"),
            Query(
                f"max(virtscale_scaler_policies_refused{{{POOL}}})", "policies refused", "dark-red"
            ),
            is_counted=True,
            is_share=True,
        ),
        chart(
            "Time between turns",
            "Median and 99 % of the time from one turn of the scaler to the next.",
            "s",
            *(
                Query(
                    f"histogram_quantile({share}, sum by (le)"
                    f" (rate(virtscale_scaler_tick_interval_seconds_bucket{{{POOL}}}{RATE})))",
                    legend,
                )
                for share, legend in ((0.5, "median"), (0.99, "99 %"))
            ),
        ),
        chart(
            "Incidents",
            "What happened to domains without the scaler's doing: boots, failures, crashes.",
            "none",
            Query(
                happened("virtscale_scaler_incidents_total", POOL, ("incident",), _SCALER),
                "{{incident}}",
            ),
            is_stacked=True,
            is_barred=True,
        ),
        chart(
            "Alerts that fire",
            "virtscale's and the collector's, by name; docs/OPERATIONS.md says what to do.",
            "none",
            Query(
                f"sum by (alertname) ({_ALERTS}) or"
                f' label_replace(0 * max({_SCALER}), "alertname", "none", "", "")'
                f" unless on () {_ALERTS}",
                "{{alertname}}",
            ),
            is_stacked=True,
            is_counted=True,
            span=24,
        ),
    )
