"""The dashboard *Dispatcher*: jobs in and out, how long they take, leases, the store, refusals."""

from collections.abc import Sequence

from grafana_foundation_sdk.builders.dashboard import Dashboard

from grafana.annotations import DISPATCHER_MARKS, annotated
from grafana.boards import DISPATCHER, dispatcher_dashboard, with_rows
from grafana.panels import RATE, Panel, Query, chart, histogram, largest, number
from grafana.pool_queries import DISPATCHERS, happened, jobs, quantile, rate

_NAME = "virtscale_dispatcher_"
_D = f"{{{DISPATCHERS}}}"
_AHEAD = f"sum({_NAME}prefetched_jobs{_D})"
_ACCEPTED = f"{_NAME}jobs_accepted_total{_D}"
_WAIT, _SERVICE = f"{_NAME}job_wait_seconds", f"{_NAME}job_service_seconds"
_COMMIT = f"{_NAME}store_commit_seconds"
_QUANTILES = ((0.5, "median", "green"), (0.95, "95 %", "yellow"), (0.99, "99 %", "red"))
_GOOD = (("0", "no", "red"), ("1", "yes", "green"))


def dispatcher() -> Dashboard:
    """The whole dashboard."""
    board = dispatcher_dashboard(
        *(DISPATCHER, "virtscale / Dispatcher", "Jobs, leases and the store of a dispatcher."),
    )
    return with_rows(
        annotated(board, *DISPATCHER_MARKS),
        [
            ("Now", _now()),
            ("Jobs", _jobs()),
            ("Latency", _latency()),
            ("Workers and leases", _leases()),
            ("Store", _store()),
            ("Calls and refusals", [*_calls(), *_refusals()]),
        ],
    )


def _now() -> Sequence[Panel]:
    return (
        number(
            *("Done", "Jobs done per second.", "suffix: jobs/s"),
            Query(rate(f"{_SERVICE}_count"), "done"),
            decimals=1,
        ),
        number(*("Ready", "Jobs that wait for a lease.", "none"), Query(jobs("ready"), "ready")),
        number(
            *("Given up", "Jobs that failed, over the store's life.", "none"),
            Query(jobs("failed"), "failed"),
            bad_from=1,
        ),
        number(
            "Unaccounted jobs",
            "Accepted jobs that are in no state, or in two. Anything but 0 is a defect.",
            "none",
            Query(
                f"sum(abs({_ACCEPTED} - on (job, instance)"
                f" sum by (job, instance) ({_NAME}jobs{_D})))",
                "difference",
            ),
            bad_from=1,
        ),
        number(
            *("Store writable", "Whether the last write to the store succeeded.", "none"),
            Query(f"min({_NAME}store_writable{_D})", "writable"),
            texts=_GOOD,
        ),
        number(
            *("Store sound", "Whether the store's file has not been found damaged.", "none"),
            Query(f"min({_NAME}store_sound{_D})", "sound"),
            texts=_GOOD,
        ),
    )


def _jobs() -> Sequence[Panel]:
    return (
        chart(
            "Throughput",
            "Jobs accepted, done and given up, per second.",
            "suffix: jobs/s",
            Query(rate(f"{_NAME}jobs_accepted_total"), "accepted", "blue"),
            Query(rate(f"{_SERVICE}_count"), "done", "green"),
            Query(rate(f"{_NAME}given_up_total"), "given up", "red"),
        ),
        chart(
            "Unfinished jobs",
            "Accepted jobs that are not final: ready, leased and fetched ahead by a worker, leased"
            " and worked on.",
            "none",
            Query(jobs("ready"), "ready", "orange"),
            Query(_AHEAD, "fetched ahead", "yellow"),
            Query(f"clamp_min({jobs('leased')} - {_AHEAD}, 0)", "worked on", "green"),
            is_stacked=True,
            is_counted=True,
        ),
    )


def _quantiles(name: str) -> list[Query]:
    return [Query(quantile(share, name), legend, colour) for share, legend, colour in _QUANTILES]


def _latency() -> Sequence[Panel]:
    return (
        histogram(
            "Waiting times",
            "Jobs by the time from their acceptance to their first lease.",
            f"{_WAIT}{_D}",
        ),
        chart(
            "Waiting time",
            "Of the jobs leased at that time; the goal is 30 s.",
            "s",
            *_quantiles(_WAIT),
            bad_from=30,
        ),
        histogram(
            "Service times",
            "Jobs by the CPU time that they took inside their guests.",
            f"{_SERVICE}{_D}",
        ),
        chart(
            *("Service time", "Of the jobs done at that time.", "s"),
            *_quantiles(_SERVICE),
            Query(f"{rate(f'{_SERVICE}_sum')} / ({rate(f'{_SERVICE}_count')} > 0)", "mean", "blue"),
        ),
    )


def _leases() -> Sequence[Panel]:
    return (
        chart(
            "Workers",
            "Connected workers by what they do.",
            "none",
            Query(f"sum by (state) ({_NAME}workers{_D})", "{{state}}"),
            is_stacked=True,
            is_counted=True,
            colours={"ready": "green", "cordoned": "yellow", "draining": "orange"},
            span=8,
        ),
        chart(
            "Slots",
            "Slots of the workers that take jobs, by whether a job fills them.",
            "none",
            Query(f"sum by (state) ({_NAME}slots{_D})", "{{state}}"),
            is_stacked=True,
            is_counted=True,
            colours={"busy": "green", "free": "light-green"},
            span=8,
        ),
        chart(
            "Leases by worker, top 10",
            "Jobs that the ten workers with most of them over the shown time hold.",
            "none",
            Query(largest(f"virtscale_worker_leases{_D}"), "{{worker}}"),
            is_counted=True,
            span=8,
        ),
        chart(
            "Results by worker, top 10",
            "Results stored per second of the ten workers with the most over the shown time.",
            "suffix: jobs/s",
            Query(
                f"sum by (worker) (rate(virtscale_worker_jobs_completed_total{_D}{RATE})) and"
                " topk(10, sum by (worker)"
                f" (increase(virtscale_worker_jobs_completed_total{_D}[$__range] @ end())))",
                "{{worker}}",
            ),
            span=8,
        ),
        chart(
            "Leases that went back",
            "Leases whose jobs went back to the ready ones, by reason.",
            "none",
            Query(
                happened(f"{_NAME}requeued_total", DISPATCHERS, ("reason",), _ACCEPTED),
                "{{reason}}",
            ),
            is_stacked=True,
            is_barred=True,
            span=8,
        ),
        chart(
            "Failed attempts and jobs given up",
            "Attempts that failed, by cause; jobs that failed for good, by reason.",
            "none",
            Query(
                happened(f"{_NAME}attempts_total", DISPATCHERS, ("cause",), _ACCEPTED),
                "attempt: {{cause}}",
            ),
            Query(
                happened(f"{_NAME}given_up_total", DISPATCHERS, ("reason",), _ACCEPTED),
                "given up: {{reason}}",
            ),
            is_barred=True,
            span=8,
        ),
    )


def _store() -> Sequence[Panel]:
    return (
        histogram(
            "Commits",
            "Transactions by their time, the flush to the disk included.",
            f"{_COMMIT}{_D}",
            span=8,
        ),
        chart(
            *("Time of a commit", "Of the transactions at that time.", "s"),
            *_quantiles(_COMMIT),
            span=8,
        ),
        chart(
            "Rows per commit",
            "Mean number of rows that share one transaction and one flush.",
            "none",
            Query(
                f"{rate(f'{_NAME}store_commit_rows_sum')}"
                f" / ({rate(f'{_NAME}store_commit_rows_count')} > 0)",
                "rows",
            ),
            span=8,
        ),
        chart(
            "Size of the store",
            "The database, and the log of what is to move into it.",
            "bytes",
            Query(f"sum by (file) ({_NAME}store_size_bytes{_D})", "{{file}}"),
            is_stacked=True,
            span=8,
        ),
        chart(
            "Failed writes",
            "Writes that the store could not do, each try counted.",
            "none",
            Query(f"sum(increase({_NAME}store_failures_total{_D}{RATE}))", "failures", "red"),
            is_barred=True,
            span=8,
        ),
        chart(
            "Jobs removed",
            "Final jobs removed because their retention is over, per second.",
            "suffix: jobs/s",
            Query(rate(f"{_NAME}removed_total"), "removed"),
            span=8,
        ),
    )


def _calls() -> Sequence[Panel]:
    handled = "grpc_server_handled_total"
    return (
        chart(
            "Calls",
            "Calls that ended, per second, by method; only those that were called.",
            "reqps",
            Query(
                f"sum by (grpc_method) (rate({handled}{_D}{RATE})) and on (grpc_method)"
                f" sum by (grpc_method) (increase({handled}{_D}[$__range] @ end())) > 0",
                "{{grpc_method}}",
            ),
        ),
        chart(
            "Time of calls, 99 %",
            "Of unary calls, by method, in the server.",
            "s",
            Query(
                "histogram_quantile(0.99, sum by (grpc_method, le)"
                f" (rate(grpc_server_handling_seconds_bucket{_D}{RATE}))) >= 0",
                "{{grpc_method}}",
            ),
        ),
        chart(
            "Calls that failed",
            "Calls that ended with another code than OK, by code and method.",
            "none",
            Query(
                happened(
                    *(handled, f'{DISPATCHERS}, grpc_code!="OK"', ("grpc_code", "grpc_method")),
                    _ACCEPTED,
                ),
                "{{grpc_code}} {{grpc_method}}",
            ),
            is_stacked=True,
            is_barred=True,
        ),
    )


def _refusals() -> Sequence[Panel]:
    return (
        chart(
            "Refused",
            "Jobs refused for too many unfinished ones, calls turned away unread, results that"
            " cannot be right, sessions and calls without a credential, failed handshakes.",
            "none",
            *(
                Query(f"sum(increase({_NAME}{counter}_total{_D}{RATE}))", legend)
                for counter, legend in (
                    ("overload_refused", "jobs: overload"),
                    ("submits_turned_away", "calls: disk too slow"),
                    ("results_refused", "results: wrong"),
                    ("hello_refused", "sessions: wrong join token"),
                )
            ),
            Query(
                happened(f"{_NAME}access_refused_total", DISPATCHERS, ("kind",), _ACCEPTED),
                "access: {{kind}}",
            ),
            Query(
                happened(f"{_NAME}failed_handshakes_total", DISPATCHERS, ("reason",), _ACCEPTED),
                "handshake: {{reason}}",
            ),
            is_barred=True,
        ),
        chart(
            "Certificates end in",
            "Time until the first certificate of a listener ends.",
            "s",
            Query(
                f"min by (listener) ({_NAME}certificate_expiry_timestamp_seconds{_D}) - time()",
                "{{listener}}",
            ),
        ),
        chart(
            "Files of certificates and tokens",
            "Changed files that were read, and whether they could be used.",
            "none",
            Query(
                happened(
                    *(f"{_NAME}credential_reloads_total", DISPATCHERS, ("setting", "outcome")),
                    _ACCEPTED,
                ),
                "{{setting}}: {{outcome}}",
            ),
            is_barred=True,
        ),
    )
