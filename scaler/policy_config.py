"""How operators write policies, and the translation to the core's values and to queries."""

import zoneinfo
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from scaler.policies import backlog, cron, reference, target
from scaler.policies.backlog import BacklogPolicy
from scaler.policies.proposal import Policy
from scaler.policies.reference import ReferencePolicy
from scaler.policies.schedule import SchedulePolicy, Window
from scaler.policies.seasonal import SeasonalPolicy, history_queries
from scaler.policies.target import Measure, TargetPolicy
from scaler.ports import SignalQuery
from servicekit.config import Settings

Seconds = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]
SomeSeconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
Ratio = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
Tolerance = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
Amount = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Slots = Annotated[float, Field(ge=1, le=10_000)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,31}$")]

_DAY_SECONDS = 86_400
_MOST_WINDOWS = 100


class Query(Settings):
    """How to ask Prometheus for a signal. `$pool` stands for the pool's name."""

    query: str = Field(min_length=1, max_length=10_000)
    """PromQL with exactly one series as its answer."""
    freshness: str | None = None
    """PromQL for the Unix time of the newest sample behind the answer. Unset: the time of the
    answer itself, which for a recording rule is that of its last evaluation."""


_CPU_QUERY = Query(
    query='pool:libvirt_domain_cpu_utilisation:avg30s{pool="$pool"}',
    # The mean outlives its source by its window; the source itself does not.
    freshness='max(timestamp(virtscale_domain_info{pool="$pool"}))',
)
_NEWEST_DEMAND = "max(timestamp(virtscale_dispatcher_jobs_accepted_total))"
# From the scraped series themselves: a recording rule would be up to an evaluation interval behind.
_WAITING = (
    'sum(virtscale_dispatcher_jobs{state="ready"})'
    " + on () sum(virtscale_dispatcher_prefetched_jobs)"
)
_WAITING_QUERY = Query(query=_WAITING, freshness=_NEWEST_DEMAND)
_DEMAND_QUERY = Query(
    query=(
        'sum(virtscale_dispatcher_slots{state="busy"}) + on () (ceil('
        f"({_WAITING}) * on () "
        'clamp_max(pool:virtscale_job_service_seconds:mean1m{pool="$pool"} / 5, 1)'
        f") or on () ({_WAITING}))"
    ),
    freshness=_NEWEST_DEMAND,
)
_DEMAND_AVERAGE_QUERY = Query(
    query='pool:virtscale_demand_slots:avg30s{pool="$pool"}',
    freshness=_NEWEST_DEMAND,
)
_DEMAND_HISTORY = 'pool:virtscale_demand_slots:avg10s{pool="$pool"}'
_BUSY_QUERY = Query(
    query='sum(virtscale_dispatcher_slots{state="busy"})',
    freshness=_NEWEST_DEMAND,
)
_BUSY_AVERAGE_QUERY = Query(
    query='sum(avg_over_time(virtscale_dispatcher_slots{state="busy"}[30s]))',
    freshness=_NEWEST_DEMAND,
)
_SERVICE_QUERY = Query(query='pool:virtscale_job_service_seconds:mean1m{pool="$pool"}')


class ReferenceConfig(Settings):
    """Mean CPU above the target for a while: one more. One fewer could carry it: one fewer."""

    kind: Literal["reference"] = "reference"
    """Which policy this is."""
    name: Name = "reference"
    """Tells it apart in reasons and metrics; its signals are called after it."""
    target_ratio: Ratio = 0.8
    """Mean CPU utilisation to hold, 0 to 1."""
    sustained_seconds: Seconds = 10.0
    """How long the condition must hold without a break."""
    averaging_seconds: Seconds = 30.0
    """The window of `cpu`; after the pool changed the mean is not acted on for so long."""
    cpu: Query = _CPU_QUERY
    """Mean CPU utilisation of the pool's running domains, 0 to 1."""
    fallback: bool = False
    """Its wish counts only while another policy does not know the load."""


class BacklogConfig(Settings):
    """Slots of demand over slots of a domain; jumps to the capacity needed in one step."""

    kind: Literal["backlog"] = "backlog"
    """Which policy this is."""
    name: Name = "backlog"
    """Tells it apart in reasons and metrics; its signals are called after it."""
    target_ratio: Ratio = 0.8
    """Utilisation that the average demand shall cause, 0 to 1."""
    tolerance_ratio: Tolerance = 0.05
    """Relative difference of demand that is not acted on."""
    slots_per_domain: Slots = 1.0
    """Slots of a domain; used only while no worker is connected to tell."""
    demand: Query = _DEMAND_QUERY
    """Slots that would serve everything leased and waiting now."""
    demand_average: Query = _DEMAND_AVERAGE_QUERY
    """The same, averaged over some seconds."""
    goal_seconds: SomeSeconds | None = None
    """How long a job may wait: set, the four queries below are used instead of the two above."""
    waiting: Query = _WAITING_QUERY
    """Jobs that wait for a slot."""
    busy: Query = _BUSY_QUERY
    """Slots at work now."""
    busy_average: Query = _BUSY_AVERAGE_QUERY
    """The same, averaged over some seconds."""
    service: Query = _SERVICE_QUERY
    """Mean seconds that a slot takes for a job."""
    fallback: bool = False
    """Its wish counts only while another policy does not know the load."""


class TargetConfig(Settings):
    """As many domains as bring a value to its target: Kubernetes' HorizontalPodAutoscaler."""

    kind: Literal["target"] = "target"
    """Which policy this is."""
    name: Name = "target"
    """Tells it apart in reasons and metrics; its signals are called after it."""
    signal: Query
    """Any value that falls when there are more domains, or that domains share."""
    measure: Measure = Measure.RATIO
    """What `signal` is: `ratio`, a mean over domains of a share of what each has; `mean`, a mean
    over domains of anything; `total`, a sum over the pool."""
    target: Amount = 0.8
    """The value to hold; of a `total`, what one domain carries."""
    tolerance_ratio: Tolerance = 0.1
    """Relative distance of value and target that is not acted on."""
    averaging_seconds: Seconds = 0.0
    """The window of `signal`; after the pool changed a mean is not acted on for so long."""
    reporting: Query | None = None
    """How many domains are behind the mean. Unset: all that are ready."""
    fallback: bool = False
    """Its wish counts only while another policy does not know the load."""

    @model_validator(mode="after")
    def _check_measure(self) -> "TargetConfig":
        if self.measure is Measure.RATIO and self.target > 1:
            raise ValueError(
                f"target = {self.target:g} of a ratio is more than all there is; "
                "use a value up to 1, or measure: mean"
            )
        if self.measure is Measure.TOTAL and self.reporting is not None:
            raise ValueError("reporting has no meaning with measure: total; leave it out")
        return self


class WindowConfig(Settings):
    """A time in which there are more domains."""

    start: str
    """Cron expression of five fields: when the window opens."""
    duration_seconds: Annotated[float, Field(ge=60, le=7 * _DAY_SECONDS, allow_inf_nan=False)]
    """How long it stays open; elapsed time, also over a change of the clocks."""
    min: Annotated[int, Field(ge=1, le=10_000)]
    """Fewest domains while it is open."""

    @field_validator("start")
    @classmethod
    def _check_start(cls, value: str) -> str:
        cron.parse(value)
        return value


class ScheduleConfig(Settings):
    """Windows of the calendar that raise the minimum."""

    kind: Literal["schedule"] = "schedule"
    """Which policy this is."""
    name: Name = "schedule"
    """Tells it apart in reasons and metrics."""
    time_zone: str = "UTC"
    """Where the clock of the windows hangs, e.g. Europe/Berlin."""
    windows: tuple[WindowConfig, ...]
    """The highest minimum of those that are open counts."""

    @field_validator("windows")
    @classmethod
    def _check_windows(cls, value: tuple[WindowConfig, ...]) -> tuple[WindowConfig, ...]:
        if not 1 <= len(value) <= _MOST_WINDOWS:
            raise ValueError(f"must be a list of 1 to {_MOST_WINDOWS} windows")
        return value

    @field_validator("time_zone")
    @classmethod
    def _check_time_zone(cls, value: str) -> str:
        try:
            zoneinfo.ZoneInfo(value)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(
                "no such time zone here; use a name such as Europe/Berlin or UTC, "
                "and see that the package tzdata is installed"
            ) from None
        return value


class SeasonalConfig(Settings):
    """As many domains as the same time of earlier days, or of earlier weeks, needed."""

    kind: Literal["seasonal"] = "seasonal"
    """Which policy this is."""
    name: Name = "seasonal"
    """Tells it apart in reasons and metrics; its signals are called after it."""
    season: Literal["day", "week"] = "day"
    """What repeats itself."""
    seasons: Annotated[int, Field(ge=1, le=60)] = 7
    """How many of them to look back at; Prometheus must keep as many."""
    least_seasons: Annotated[int, Field(ge=1, le=60)] = 3
    """It wishes for nothing until so many are known."""
    quantile: Annotated[float, Field(ge=0, le=1)] = 0.8
    """Which of their peaks counts: 1 is the highest."""
    lead_seconds: Annotated[int, Field(ge=0, le=21_600)] = 300
    """How long before its time capacity is started."""
    spread_seconds: Annotated[int, Field(ge=60, le=21_600)] = 600
    """How long after its time a peak still counts."""
    every_seconds: Annotated[float, Field(ge=10, le=3600)] = 180.0
    """How often Prometheus is asked."""
    target_ratio: Ratio = 0.8
    """Utilisation that the value of then shall cause."""
    slots_per_domain: Slots = 1.0
    """Slots of a domain; used only while no worker is connected to tell."""
    value_per_domain: Amount | None = None
    """What one domain carries of `series`. Unset: `series` is in slots."""
    series: str = Field(default=_DEMAND_HISTORY, min_length=1, max_length=10_000)
    """PromQL with one series, whose past is looked at."""

    @model_validator(mode="after")
    def _check_seasons(self) -> "SeasonalConfig":
        if self.least_seasons > self.seasons:
            raise ValueError(
                f"least_seasons = {self.least_seasons} must not exceed seasons = {self.seasons}"
            )
        return self


_Measuring = ReferenceConfig | BacklogConfig | TargetConfig
"""What follows the load; `schedule` and `seasonal` only raise."""
PolicyConfig = Annotated[
    ReferenceConfig | BacklogConfig | TargetConfig | ScheduleConfig | SeasonalConfig,
    Field(discriminator="kind"),
]


def checked_policies(policies: tuple[PolicyConfig, ...]) -> tuple[PolicyConfig, ...]:
    """The policies of one pool.

    Raises:
        ValueError: there is none, or two have one name.

    """
    names = [policy.name for policy in policies]
    if not names:
        raise ValueError(
            "needs at least one policy: reference, backlog, target, schedule, seasonal"
        )
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"names a policy twice: {', '.join(twice)}; give each a `name` of its own")
    standing_by = [policy.name for policy in policies if is_fallback(policy)]
    measuring = [policy for policy in policies if isinstance(policy, _Measuring)]
    if standing_by and len(standing_by) == len(measuring):
        raise ValueError(
            f"{', '.join(standing_by)}: fallback = true, but no other policy measures the load; "
            "leave fallback out, or add a policy of kind backlog, target or reference"
        )
    return policies


def is_fallback(config: PolicyConfig) -> bool:
    """True when the policy's wish counts only while another one does not know."""
    return isinstance(config, _Measuring) and config.fallback


def knows_load(config: PolicyConfig) -> bool:
    """True when the policy's wish is the load in domains, so that headroom can go on top."""
    is_total = isinstance(config, TargetConfig) and config.measure is Measure.TOTAL
    return is_total or isinstance(config, BacklogConfig)


def policy_values(policies: Sequence[PolicyConfig]) -> tuple[Policy, ...]:
    """The values that the core decides by."""
    return tuple(_value(policy) for policy in policies)


def _value(config: PolicyConfig) -> Policy:
    match config:
        case ReferenceConfig():
            return ReferencePolicy(
                config.name,
                target_ratio=config.target_ratio,
                sustained_seconds=config.sustained_seconds,
                averaging_seconds=config.averaging_seconds,
                cpu_signal=f"{_prefix(config)}{reference.CPU}",
                is_fallback=config.fallback,
            )
        case BacklogConfig():
            return BacklogPolicy(
                config.name,
                target_ratio=config.target_ratio,
                tolerance_ratio=config.tolerance_ratio,
                slots_per_domain=config.slots_per_domain,
                goal_seconds=config.goal_seconds,
                signal_prefix=_prefix(config),
                is_fallback=config.fallback,
            )
        case TargetConfig():
            return TargetPolicy(
                config.name,
                measure=config.measure,
                target=config.target,
                tolerance_ratio=config.tolerance_ratio,
                averaging_seconds=config.averaging_seconds,
                counts_reporting=config.reporting is not None,
                is_fallback=config.fallback,
            )
        case ScheduleConfig():
            windows = (
                Window(cron.parse(one.start), one.duration_seconds, one.min)
                for one in config.windows
            )
            return SchedulePolicy(config.name, tuple(windows), zoneinfo.ZoneInfo(config.time_zone))
        case SeasonalConfig():
            return SeasonalPolicy(
                config.name,
                least_seasons=config.least_seasons,
                target_ratio=config.target_ratio,
                slots_per_domain=config.slots_per_domain,
                value_per_domain=config.value_per_domain,
            )


def policy_queries(policies: Sequence[PolicyConfig], pool: str) -> tuple[SignalQuery, ...]:
    """One query per signal that the policies need, `$pool` replaced."""
    return tuple(
        SignalQuery(
            one.signal,
            one.query.replace("$pool", pool),
            None if one.freshness is None else one.freshness.replace("$pool", pool),
            one.every_seconds,
            one.is_share,
        )
        for policy in policies
        for one in _queries(policy)
    )


def expanded(signal: str, query: Query, pool: str, *, is_share: bool = False) -> SignalQuery:
    """The query of a signal, `$pool` replaced."""
    freshness = None if query.freshness is None else query.freshness.replace("$pool", pool)
    text = query.query.replace("$pool", pool)
    return SignalQuery(signal, text, freshness, is_share=is_share)


def _queries(config: PolicyConfig) -> Iterator[SignalQuery]:
    match config:
        case ReferenceConfig():
            yield _query(f"{_prefix(config)}{reference.CPU}", config.cpu, is_share=True)
        case BacklogConfig():
            signals = {backlog.DEMAND: config.demand, backlog.DEMAND_AVERAGE: config.demand_average}
            if config.goal_seconds is not None:
                signals = {
                    backlog.WAITING: config.waiting,
                    backlog.BUSY: config.busy,
                    backlog.BUSY_AVERAGE: config.busy_average,
                    backlog.SERVICE: config.service,
                }
            for signal, query in signals.items():
                yield _query(f"{_prefix(config)}{signal}", query)
        case TargetConfig():
            is_share = config.measure is Measure.RATIO
            yield _query(f"{config.name}.{target.VALUE}", config.signal, is_share=is_share)
            if config.reporting is not None:
                yield _query(f"{config.name}.{target.REPORTING}", config.reporting)
        case ScheduleConfig():
            return
        case SeasonalConfig():
            yield from _seasonal_queries(config)


def _seasonal_queries(config: SeasonalConfig) -> Iterator[SignalQuery]:
    texts = history_queries(
        config.series,
        quantile=config.quantile,
        seasons=config.seasons,
        season_seconds=_DAY_SECONDS * (7 if config.season == "week" else 1),
        lead_seconds=config.lead_seconds,
        spread_seconds=config.spread_seconds,
    )
    for signal, text in zip(_value(config).signals, texts, strict=True):
        # What has been is never stale.
        yield SignalQuery(signal, text, "vector(time())", config.every_seconds)


def _query(signal: str, query: Query, *, is_share: bool = False) -> SignalQuery:
    return SignalQuery(signal, query.query, query.freshness, is_share=is_share)


def _prefix(config: ReferenceConfig | BacklogConfig) -> str:
    """Signals are called `policy.signal`; those of the two default policies were there before."""
    return "" if config.name == config.kind else f"{config.name}."
