"""Writes docs/METRICS.md from what the services really export: `python docs/generate_metrics.py`.

Each service's own telemetry is filled with one example of everything and asked for its families,
so that the document cannot say what the code does not do. `--check` fails when it is not current.
"""

import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import yaml
from prometheus_client import CollectorRegistry

ROOT = Path(__file__).resolve().parent.parent
if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "proto")]

from virtscale.v1 import license_pb2  # noqa: E402

from collector.catalogue import CATALOGUE  # noqa: E402
from collector.families import NameSet  # noqa: E402
from collector.telemetry import WebMetrics, WebState  # noqa: E402
from dispatcher import telemetry as dispatcher_telemetry  # noqa: E402
from dispatcher.effects import RequeueReason  # noqa: E402
from dispatcher.grpc_api.call_metrics import MeasureCalls  # noqa: E402
from dispatcher.jobs import Counts  # noqa: E402
from dispatcher.sessions import WorkerState, WorkerView  # noqa: E402
from dispatcher.store_metrics import StoreMetrics, file_sizes  # noqa: E402
from docs import page_file  # noqa: E402
from scaler import telemetry as scaler_telemetry  # noqa: E402
from scaler.alert_telemetry import AlertTelemetry  # noqa: E402
from scaler.alerts import Effect  # noqa: E402
from scaler.config import ScalerConfig, pool_settings, signal_queries  # noqa: E402
from scaler.decision import ActionResult, Observation, Outcome, State, decide  # noqa: E402
from scaler.entries import StoreState  # noqa: E402
from scaler.history_metrics import HistoryMetrics  # noqa: E402
from scaler.incidents import Incident  # noqa: E402
from scaler.pool import ActionKind  # noqa: E402
from scaler.readings import Known  # noqa: E402
from scaler.reasons import Reason  # noqa: E402
from scaler.shadows import Verdict  # noqa: E402

TARGET = ROOT / "docs" / "METRICS.md"

_UNITS = (
    ("_timestamp_seconds", "Unix seconds"),
    ("_seconds_squared", "seconds squared"),
    ("_seconds", "seconds"),
    ("_bytes_per_second", "bytes per second"),
    ("_pages_per_second", "pages per second"),
    ("_hertz", "Hz"),
    ("_percent", "percent"),
    ("_pages", "pages"),
    ("_bytes", "bytes"),
    ("_slots", "slots"),
    ("_domains", "domains"),
    ("_info", "always 1"),
)

_RULES = {
    "pool_domain:libvirt_domain_cpu_seconds:running": (
        "domain, instance, job, pool",
        "seconds",
        "CPU clock of a domain of a pool, present only while the domain runs.",
    ),
    "pool_domain:libvirt_domain_cpu_utilisation:avg5s": (
        "domain, instance, job, pool",
        "ratio, 0 to 1",
        "Share of its virtual CPUs that a running domain used in the last 5 s, or since it began "
        "to run if that is less. Absent before its second scrape.",
    ),
    "pool_domain:libvirt_domain_cpu_utilisation:avg30s": (
        "domain, instance, job, pool",
        "ratio, 0 to 1",
        "The same over 30 s.",
    ),
    "pool:libvirt_domain_cpu_utilisation:avg5s": (
        "pool",
        "ratio, 0 to 1",
        "Mean of the above over the running domains of the pool. Absent when there is none.",
    ),
    "pool:libvirt_domain_cpu_utilisation:avg30s": ("pool", "ratio, 0 to 1", "The same over 30 s."),
    "pool:virtscale_job_service_seconds:mean1m": (
        "pool",
        "seconds",
        "Mean CPU time of the jobs that finished in the last minute. Absent when none did.",
    ),
    "pool:virtscale_waiting_jobs:current": (
        "pool",
        "jobs",
        "Jobs that wait for a slot: in the queue, or fetched ahead by a worker.",
    ),
    "pool:virtscale_demand_slots:current": (
        "pool",
        "slots",
        "Busy slots, and as many more as would empty the queue within 5 s at the mean service "
        "time, but no more than jobs are ready; one per ready job while that time is not known.",
    ),
    "pool:virtscale_demand_slots:avg10s": ("pool", "slots", "Mean of the above over 10 s."),
    "pool:virtscale_demand_slots:avg30s": ("pool", "slots", "The same over 30 s."),
    "pool:virtscale_jobs_late:ratio_rate5m": (
        "pool",
        "ratio, 0 to 1",
        "Share of the jobs first leased within 5 minutes that had waited longer than the goal. "
        "Absent when there were none.",
    ),
    **{
        f"pool:virtscale_jobs_late:ratio_rate{window}": (
            "pool",
            "ratio, 0 to 1",
            f"The same over {window}.",
        )
        for window in ("30m", "1h", "2h", "6h", "1d", "3d")
    },
    **{
        f"pool:virtscale_jobs_first_leased:increase{window}": (
            "pool",
            "jobs",
            f"Jobs first leased within {window}.",
        )
        for window in ("1h", "6h", "1d", "3d")
    },
    "pool:virtscale_jobs_wait_seconds:p95_5m": (
        "pool",
        "seconds",
        "Time from acceptance to the first lease that 95 of 100 jobs first leased within 5 minutes "
        "did not exceed, as near as the buckets tell. Absent when there were none.",
    ),
    "domain:libvirt_domain_vcpu_utilisation:rate5m": (
        "domain, instance, job",
        "ratio, 0 to 1",
        "Share of its vCPUs' time that a domain's guest computes.",
    ),
    "domain:libvirt_domain_vcpu_delay:rate5m": (
        "domain, instance, job",
        "ratio, 0 to 1",
        "Share of its vCPUs' time that a domain's guest waits for a CPU of the host.",
    ),
    "domain_device:libvirt_domain_block_request_seconds:rate5m": (
        "domain, instance, job, target_device",
        "seconds",
        "Mean time of a read or write. Absent while the disk is idle.",
    ),
    "instance:libvirt_node_cpu_utilisation:rate5m": (
        "instance, job",
        "ratio, 0 to 1",
        "Share of the host's CPU time that is not idle.",
    ),
    "domain_device:libvirt_domain_interface_drops:ratio_rate5m": (
        "domain, instance, job, target_device",
        "ratio, 0 to 1",
        "Share of an interface's packets that were dropped. Absent while nothing passes.",
    ),
}
_RULE_FILES = ("rules/virtscale.yml", "rules/goal.yml", "collector/rules.yml")


@dataclass(frozen=True, order=True)
class Row:
    """One metric as documented."""

    name: str
    kind: str
    labels: tuple[str, ...]
    help: str

    @property
    def unit(self) -> str:
        """From the suffix of the name, as the naming rules have it."""
        name = self.name.removesuffix("_total")
        if name.endswith("_ratio"):
            return "ratio, 0 to 1"
        return next((unit for suffix, unit in _UNITS if name.endswith(suffix)), "")


def collector_table(names: NameSet) -> str:
    """The collector's catalogue, with the group that must be read for each family."""
    lines = ["| Name | Type | Group | Labels | Unit | Meaning |", "|---|---|---|---|---|---|"]
    for one in CATALOGUE:
        if one.names is names:
            kind = "gauge" if one.kind == "info" else one.kind
            labels = one.labels_with(frozenset({names}))
            row = Row(one.name, kind, labels, one.help)
            lines.append(
                f"| `{row.name}` | {row.kind} | {one.group or ''} | {', '.join(row.labels)} "
                f"| {row.unit} | {row.help} |"
            )
    return "\n".join(lines)


def dispatcher_rows() -> list[Row]:
    """From the dispatcher's telemetry with one worker."""
    registry = CollectorRegistry()
    telemetry = dispatcher_telemetry.Telemetry(registry)
    worker = WorkerView("d0", WorkerState.READY, slots=1, takes_jobs=True)
    snapshot = dispatcher_telemetry.Snapshot(Counts(), 0.0, (worker,))
    telemetry.show(lambda: snapshot)
    telemetry.store.opened(Counts(), 0.0)
    telemetry.requeued(next(iter(RequeueReason)), 1)
    telemetry.certificate_expires("clients", 0.0)
    telemetry.watching("tls")
    telemetry.expecting_handshakes("clients", ["protocol"])
    service = license_pb2.DESCRIPTOR.services_by_name["LicenseService"]
    MeasureCalls(registry, [service])
    with tempfile.NamedTemporaryFile() as file:
        path = Path(file.name)
        StoreMetrics(registry).show_sizes(lambda: file_sizes(path))
        return rows_of(registry)


def scaler_rows() -> list[Row]:
    """From the scaler's telemetry after two turns with known signals."""
    config = ScalerConfig()
    registry = CollectorRegistry()
    telemetry = scaler_telemetry.Telemetry(config.pool, registry)
    alert_telemetry = AlertTelemetry(config.pool, registry)
    alert_telemetry.asked("alertmanager", True)
    readings = {query.signal: Known(0.5, 0.0) for query in signal_queries(config)}
    observation = Observation(domains=(), workers=(), readings=readings)
    state, decision = decide(pool_settings(config), State(), observation, 0.0)
    effect = Effect("more", ("Busy",), 2, Reason.ALERT_RAISE)
    decision = replace(decision, incidents=(("d0", Incident.BOOT_FAILED),), effects=(effect,))
    telemetry.decided(decision, state, 0.0)
    telemetry.decided(decision, state, 1.0)
    telemetry.resulted(ActionResult(ActionKind.START, "d0", Outcome.DONE))
    telemetry.judged((Verdict("lean", 1, Reason.STEADY),))
    HistoryMetrics(registry, lambda: StoreState(0, 0, 0, is_failing=False))
    return rows_of(registry)


def collector_web_rows() -> list[Row]:
    """From the metrics of the collector's web server."""
    registry = CollectorRegistry()
    state = WebState(
        is_config_current=True,
        config_read_at=0.0,
        certificate_ends_at=0.0,
        connections=0,
        scrapes=0,
        refusals={"password": 0},
        evictions=0,
    )
    registry.register(WebMetrics(lambda: state))
    return rows_of(registry)


def rows_of(registry: CollectorRegistry) -> list[Row]:
    """Every family of a registry; its labels are those of its first series."""
    rows = []
    for family in registry.collect():
        if not family.samples:
            raise SystemExit(f"{family.name} has no series: give its service one to show")
        suffix = {"counter": "_total", "info": "_info"}.get(family.type, "")
        kind = "gauge" if family.type == "info" else family.type
        labels = tuple(name for name in family.samples[0].labels if name != "le")
        rows.append(Row(family.name + suffix, kind, labels, family.documentation))
    return rows


def table(rows: Iterable[Row]) -> str:
    """A Markdown table."""
    lines = ["| Name | Type | Labels | Unit | Meaning |", "|---|---|---|---|---|"]
    lines += [
        f"| `{row.name}` | {row.kind} | {', '.join(row.labels)} | {row.unit} | {row.help} |"
        for row in rows
    ]
    return "\n".join(lines)


def recording_rules(file: str) -> list[str]:
    """Names of the rules of a file, in the order in which Prometheus runs them."""
    document = yaml.safe_load((ROOT / "prometheus" / file).read_text(encoding="utf-8"))
    return [
        rule["record"]
        for group in document["groups"]
        for rule in group["rules"]
        if "record" in rule
    ]


def rules_table(file: str) -> str:
    """The recording rules of a file."""
    names = {one: recording_rules(one) for one in _RULE_FILES}
    undescribed = {name for one in names.values() for name in one} ^ set(_RULES)
    if undescribed:
        raise SystemExit(f"describe in {Path(__file__).name}: {undescribed}")
    lines = ["| Name | Labels | Unit | Meaning |", "|---|---|---|---|"]
    for name in names[file]:
        labels, unit, meaning = _RULES[name]
        lines.append(f"| `{name}` | {labels} | {unit} | {meaning} |")
    return "\n".join(lines)


def collector_section() -> str:
    """What is to be known of the collector's metrics, and its tables."""
    return f"""\
Default port 9177. Names are those of inovex's exporter where it has one. A series is there when \
its group is read: all groups but `block_traffic`, `blkiotune`, `vcpu_cpu`, `iothread`, \
`perf` and `dirtyrate` are, unless the operator says otherwise. A domain without our metadata has \
no `virtscale_domain_info` and so belongs to no pool. Counters exist for \
active domains only and start again with the domain. While a domain's hypervisor does not answer \
(`libvirt_domain_timed_out` is 1), its disk counters and resident size are absent and its CPU \
times, which the host knows, are not.

{collector_table(NameSet.INOVEX)}

### Coming from another exporter

What a domain's XML says is on info metrics; join them where a label is missing:

```
rate(libvirt_domain_block_stats_read_bytes_total[1m])
  * on (domain, target_device) group_left (source_file) libvirt_domain_block_stats_info
```

Different on purpose:

- A series is absent where others say 0 or NaN: disk counters of a domain that does not answer, \
`used_percent` of a guest that tells nothing.
- `libvirt_domain_job_info_` is there while a job runs, and its times are seconds.
- CD drives are listed; `device="disk"` on `libvirt_domain_block_stats_info` leaves them out.
- Domains that are off have their limits and disk sizes, and no counters.
- `libvirt_domain_vcpu_cpu` needs a call for each domain, and so `--collector.vcpu_cpu`.

### Names of Tinkoff's exporter

Beside the above when asked for, with the same values.

{collector_table(NameSet.TINKOFF)}

### Names of Kumina's exporter

Beside the above when asked for; Debian's prometheus-libvirt-exporter has them. A metric has one \
set of labels in a scrape, so then every series of a domain has its `uuid` too, those of its disks \
have `source_file` and those of its interfaces `source_bridge`.

{collector_table(NameSet.KUMINA)}"""


def document() -> str:
    """The whole file."""
    return f"""# Metrics

<!-- Written by docs/generate_metrics.py; a test says when it is not current. -->

Every service answers `/metrics` on its own port, and exports beside the tables below \
`virtscale_SERVICE_build_info` (label `version`) and the usual `process_` and `python_` metrics. \
Base units; what is not known is absent, never 0. Prometheus adds the labels `job` and `instance`; \
a label `instance` of a series becomes `exported_instance`.

## Collector

{collector_section()}

## Dispatcher

Default port 9181. At every scrape the accepted jobs are the sum of `virtscale_dispatcher_jobs` \
over all states. Series of a worker vanish with its session. `grpc_server_` metrics have the names \
and labels of go-grpc-prometheus; a batch of jobs is one message.

Arrival rate: `rate(virtscale_dispatcher_jobs_accepted_total[1m])`. Mean service time S: \
`rate(virtscale_dispatcher_job_service_seconds_sum[1m]) / \
rate(virtscale_dispatcher_job_service_seconds_count[1m])`. Its squared coefficient of variation, \
for a sizing model: `rate(virtscale_dispatcher_job_service_seconds_squared_total[1m]) / \
rate(virtscale_dispatcher_job_service_seconds_count[1m]) / S^2 - 1`.

{table(dispatcher_rows())}

## Scaler

Default port 9182.

{table(scaler_rows())}

## The collector's pages

Beside the domains at `/metrics`, not at `/probe`. `by` is `rate`, `certificate` or `password`.

{table(collector_web_rows())}

## Recording rules

From `prometheus/rules/virtscale.yml`, evaluated every second. A dispatcher serves one pool and \
does not know its name; the rules give its demand the label `pool="default"`.

{rules_table("rules/virtscale.yml")}

From `prometheus/rules/goal.yml`, evaluated every 15 s, windows from two hours on every minute. \
The goal is a first lease within 30 s; that file says where to change it.

{rules_table("rules/goal.yml")}

From `prometheus/collector/rules.yml`, for any Prometheus that scrapes the collector, evaluated \
every 30 s.

{rules_table("collector/rules.yml")}
"""


if __name__ == "__main__":
    sys.exit(page_file.main(__doc__, TARGET, document))
