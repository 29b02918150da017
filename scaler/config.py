"""Configuration of the scaler: what operators write, and its translation to the core's values."""

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from scaler.alert_config import (
    AlertRuleConfig,
    AlertSourceConfig,
    LongName,
    alert_faults,
    alert_rules,
)
from scaler.breaker import BreakerSettings
from scaler.decision import Settings as PoolSettings
from scaler.feature_config import HostConfig, RolloutConfig, SaturationConfig, StandbyConfig
from scaler.headroom import Headroom
from scaler.host_room import HostReserve
from scaler.policy_config import (
    BacklogConfig,
    PolicyConfig,
    ReferenceConfig,
    Seconds,
    SomeSeconds,
    checked_policies,
    expanded,
    knows_load,
    policy_queries,
    policy_values,
)
from scaler.ports import SignalQuery
from scaler.rollout import RolloutSettings
from scaler.saturation import HOST_PRESSURE, THROUGHPUT, SaturationSettings
from scaler.shadows import Shadow
from scaler.stabilization import Limits, Rate
from scaler.standby import StandbyPolicy
from scaler.tracking import Timing
from servicekit.config import Contradiction, ContradictionError, Settings
from servicekit.tls import TlsFiles, is_loopback

ENVIRONMENT_PREFIX = "VIRTSCALE_SCALER_"

_MIB = 1024 * 1024
_HOST_NAME = re.compile(r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63}){0,20}\.?")


class RateConfig(Settings):
    """At most so many domains within so many seconds."""

    domains: Annotated[int, Field(ge=1, le=10_000)]
    """So many."""
    seconds: SomeSeconds
    """Within any stretch of so long."""


class OutConfig(Settings):
    """Pace of scaling out."""

    window_seconds: Seconds = 1.0
    """Stabilization window: the lowest wish of so long counts. A queue of one moment is no reason
    to start a domain."""
    cooldown_seconds: Seconds = 0.0
    """No scale-out for so long after one."""
    step: Annotated[int, Field(ge=1, le=10_000)] = 4
    """Most domains more per decision."""
    rate: RateConfig | None = None
    """Most domains started in a stretch of time; null: as many as the step allows."""


class InConfig(Settings):
    """Pace of scaling in."""

    window_seconds: Seconds = 60.0
    """Stabilization window: the highest wish of so long counts."""
    cooldown_seconds: Seconds = 0.0
    """No scale-in for so long after a scale-in or a scale-out."""
    step: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Most domains on their way out at a time; null: all that are too many."""
    rate: RateConfig | None = None
    """Most domains drained in a stretch of time; null: as many as the step allows."""


class TimingConfig(Settings):
    """Deadlines in a domain's life."""

    boot_deadline_seconds: SomeSeconds = 60.0
    """From the start to the worker's Hello; later the boot has failed."""
    silence_deadline_seconds: SomeSeconds = 60.0
    """A running domain without its worker for longer has failed."""
    worker_return_seconds: Seconds = 15.0
    """Workers need so long to reconnect after the dispatcher was away."""
    drain_deadline_seconds: SomeSeconds = 7200.0
    """Leases still held then are taken back and the domain shuts down. Twice as long as the longest
    job may work: a worker that hangs is known by its missing heartbeats, long before."""
    shutdown_resend_seconds: SomeSeconds = 10.0
    """A guest that boots loses the power button's event: it is pressed again."""
    shutdown_deadline_seconds: SomeSeconds = 30.0
    """From the first shutdown request to cutting the power."""
    wake_deadline_seconds: SomeSeconds = 15.0
    """From the wake of a standby domain to its worker's Hello; later the wake has failed."""


class HeadroomConfig(Settings):
    """Spare domains on top of what the load needs.

    Policies that only know how busy the domains are cannot take any: those that know the load are
    `backlog`, and `target` with the measure `total`.
    """

    domains: Annotated[int, Field(ge=0, le=10_000)] = 0
    """So many."""
    ratio: Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)] = 0.0
    """Or such a share of the wish, whichever is more."""


class BreakerConfig(Settings):
    """What boot failures in a row lead to."""

    threshold: Annotated[int, Field(ge=1, le=100)] = 2
    """From so many failures in a row on, no start for the back-off."""
    first_backoff_seconds: SomeSeconds = 30.0
    """The first back-off; each further failure doubles it."""
    max_backoff_seconds: SomeSeconds = 1800.0
    """The longest back-off."""


class Rules(Settings):
    """What a pool decides by, as far as somebody sets it; the rest stays the pool's."""

    policies: tuple[PolicyConfig, ...] | None = None
    """Combined: out to the highest wish of those that know, in only when all know and agree."""
    min: Annotated[int, Field(ge=0, le=10_000)] | None = None
    """Fewest domains that serve."""
    max: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Most domains in any state but off."""
    scale_out: OutConfig | None = None
    """Pace of scaling out."""
    scale_in: InConfig | None = None
    """Pace of scaling in."""
    headroom: HeadroomConfig | None = None
    """Spare domains on top of the wish, within `max`."""

    @field_validator("policies")
    @classmethod
    def _check_policies(
        cls, value: tuple[PolicyConfig, ...] | None
    ) -> tuple[PolicyConfig, ...] | None:
        return None if value is None else checked_policies(value)


class ShadowConfig(Rules):
    """Rules on trial: what they would want is exported and recorded, and nothing comes of it."""

    name: LongName
    """Label of its series; letters, digits, `.`, `_` and `-`."""


def default_state_dir() -> Path:
    """Where services of this kind keep state: under /var/lib for root, else in the user's home."""
    if os.geteuid() == 0:
        return Path("/var/lib/virtscale/scaler")
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state"
    return Path(home) / "virtscale/scaler"


class ScalerConfig(Settings):
    """The scaler's configuration file."""

    pool: LongName = "default"
    """Only domains whose metadata name this pool are touched."""
    min: Annotated[int, Field(ge=0, le=10_000)] = 1
    """Fewest domains that serve."""
    max: Annotated[int, Field(ge=1, le=10_000)] = 4
    """Most domains in any state but off."""
    libvirt_uri: str = "qemu:///system"
    """The hypervisor."""
    prometheus_url: str = "http://127.0.0.1:9090"
    """Where the signals come from."""
    dispatcher: str = "127.0.0.1:15051"
    """HOST:PORT of the dispatcher's gRPC API."""
    dispatcher_tls: TlsFiles | None = None
    """TLS towards the dispatcher: `client_ca` is its CA, certificate and key are ours."""
    dispatcher_token_file: Path | None = None
    """File with the token that the dispatcher asks for; it needs the role `fleet`."""
    state_dir: Path = Field(default_factory=default_state_dir)
    """Keeps the decision store, overrides, alerts, lessons and the name of this scaler."""
    tick_seconds: Annotated[float, Field(ge=0.1, le=3600)] = 1.0
    """Longest time from one turn to the next."""
    stale_after_seconds: SomeSeconds = 10.0
    """A signal older than this is not known."""
    metrics_timeout_seconds: SomeSeconds = 2.0
    """For one request to Prometheus."""
    libvirt_timeout_seconds: SomeSeconds = 20.0
    """For one action; libvirt takes 10 s and more to destroy a domain that resists."""
    policies: tuple[PolicyConfig, ...] = (ReferenceConfig(fallback=True), BacklogConfig())
    """Combined: out to the highest wish of those that know, in only when all know and agree. One
    with `fallback` has no wish while the others know."""
    scale_out: OutConfig = OutConfig()
    """Pace of scaling out."""
    scale_in: InConfig = InConfig()
    """Pace of scaling in."""
    timing: TimingConfig = TimingConfig()
    """Deadlines in a domain's life."""
    breaker: BreakerConfig = BreakerConfig()
    """What boot failures lead to."""
    rollout: RolloutConfig = RolloutConfig()
    """How new images roll through the pool."""
    saturation: SaturationConfig | None = SaturationConfig()
    """How a scale-out that does not help is recognised; null: it is not."""
    dry_run: bool = False
    """Decide, log and export everything, do nothing."""
    decision_log_bytes: Annotated[int, Field(ge=10_000)] = 200_000_000
    """Most bytes of the decision store; the oldest turns are forgotten first."""
    listen_address: str = "127.0.0.1:9182"
    """HOST:PORT of metrics and API."""
    remote_control: bool = False
    """Take pause and resume from other hosts, from anybody who reaches `listen_address`."""
    loglevel: Literal["debug", "info", "warning", "error"] = "info"
    """Least important lines that are logged."""
    logfile: Path | None = None
    """Where to log; standard error when unset."""
    logformat: Literal["json", "text"] = "json"
    """For machines or for people."""
    headroom: HeadroomConfig = HeadroomConfig()
    """Spare domains on top of the wish, within `max`."""
    policies_file: Path | None = None
    """YAML file with policies, min, max, scale_out, scale_in and headroom. What it sets replaces
    what is set here; it is read again at SIGHUP."""
    alerts: tuple[AlertRuleConfig, ...] = ()
    """What alerts do while they fire."""
    alert_source: AlertSourceConfig = AlertSourceConfig()
    """Where alerts come from."""
    control_token_file: Path | None = None
    """File with the token that orders must show: pause, resume and overrides. Unset: none."""
    page_hosts: tuple[str, ...] = ()
    """Names besides addresses and `localhost` by which the status page is opened, without port."""
    tls: TlsFiles | None = None
    """TLS of `listen_address`, for metrics, API and webhook alike."""
    insecure: bool = False
    """Take notifications of alerts from other hosts without TLS: their token crosses the network
    in clear."""
    standby: StandbyConfig = StandbyConfig()
    """Domains that wait to be woken."""
    host: HostConfig = HostConfig()
    """What the host keeps for itself."""

    decision_kept_seconds: Annotated[float, Field(ge=60, allow_inf_nan=False)] = 604_800.0
    """How long turns are kept for `explain` and `replay`; a week."""
    shadow: tuple[ShadowConfig, ...] = ()
    """Rules on trial beside those in force."""

    @model_validator(mode="after")
    def _check_whole(self) -> "ScalerConfig":
        found = contradictions(self)
        if found:
            raise ContradictionError(found)
        return self

    @field_validator("prometheus_url")
    @classmethod
    def _check_url(cls, value: str) -> str:
        if re.fullmatch(r"https?://[^\s/?#]+[^\s?#]*", value) is None:
            raise ValueError("must look like http://127.0.0.1:9090")
        return value

    @field_validator("dispatcher", "listen_address")
    @classmethod
    def _check_address(cls, value: str) -> str:
        host, _, port = value.rpartition(":")
        if not host or not port.isdigit() or int(port) > 65535:
            raise ValueError("must be HOST:PORT, e.g. 127.0.0.1:9182")
        return value

    @field_validator("page_hosts")
    @classmethod
    def _check_hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for one in value:
            if _HOST_NAME.fullmatch(one) is None:
                raise ValueError(
                    f"{one[:80]!r} is no host name; write it as kvm1.example.org, without scheme "
                    "and port"
                )
        return tuple(one.lower().removesuffix(".") for one in value)

    @field_validator("policies")
    @classmethod
    def _check_policies(cls, value: tuple[PolicyConfig, ...]) -> tuple[PolicyConfig, ...]:
        return checked_policies(value)

    @field_validator("shadow")
    @classmethod
    def _check_shadows(cls, value: tuple[ShadowConfig, ...]) -> tuple[ShadowConfig, ...]:
        names = [shadow.name for shadow in value]
        if len(set(names)) < len(names):
            raise ValueError("names a shadow twice")
        return value

    @property
    def host_and_port(self) -> tuple[str, int]:
        """Where metrics and API listen."""
        host, _, port = self.listen_address.rpartition(":")
        return host.strip("[]"), int(port)


def contradictions(config: ScalerConfig) -> list[Contradiction]:
    """What is right by itself and cannot be together."""
    found = _rule_contradictions(config)
    alerts = alert_faults(config.alerts, config.alert_source, config.max)
    found += [Contradiction(("alerts", "alert_source", "max"), fault) for fault in alerts]
    for shadow in config.shadow:
        # What it leaves out is the pool's, and what is wrong with that is told of the pool.
        changed = with_rules(config, shadow)
        found += [
            Contradiction(("shadow", *one.fields), f"shadow {shadow.name}: {one.text}")
            for one in _rule_contradictions(changed)
            if not shadow.model_fields_set.isdisjoint(one.fields)
        ]
    try:
        signal_queries(config)
    except ValueError as error:
        found.append(Contradiction(("shadow", "policies"), str(error)))
    return found + _sent_in_clear(config)


def _rule_contradictions(config: ScalerConfig) -> list[Contradiction]:
    found = []
    if config.min > config.max:
        text = f"min = {config.min} must not exceed max = {config.max}"
        found.append(Contradiction(("min", "max"), text))
    is_wanted = config.headroom.domains > 0 or config.headroom.ratio > 0
    if is_wanted and not any(knows_load(policy) for policy in config.policies):
        text = "headroom needs a policy that knows the load: backlog, or target with measure: total"
        found.append(Contradiction(("headroom", "policies"), text))
    return found


def _sent_in_clear(config: ScalerConfig) -> list[Contradiction]:
    """Tokens that would cross a network without TLS."""
    found: list[Contradiction] = []
    is_open = not is_loopback(config.host_and_port[0])
    is_plain = config.tls is None or not config.tls.is_set
    if config.alert_source.token_file is not None and is_open and is_plain and not config.insecure:
        text = (
            f"listen_address = {config.listen_address} can be reached from other hosts, and the "
            "token for alerts would be sent in clear; set tls.certificate and tls.key "
            "(virtscale certs makes them), or insecure: true"
        )
        found.append(Contradiction(("listen_address", "alert_source", "tls", "insecure"), text))
    host = config.dispatcher.rpartition(":")[0]
    if config.dispatcher_token_file and not config.dispatcher_tls and not is_loopback(host):
        text = (
            f"dispatcher = {config.dispatcher} is another host, and dispatcher_token_file would "
            "be sent there in clear; set dispatcher_tls with client_ca, its CA"
        )
        concerned = ("dispatcher", "dispatcher_token_file", "dispatcher_tls")
        found.append(Contradiction(concerned, text))
    return found


def pool_settings(config: ScalerConfig) -> PoolSettings:
    """The values that the core decides by."""
    return PoolSettings(
        pool=config.pool,
        limits=Limits(
            min=config.min,
            max=config.max,
            out_window_seconds=config.scale_out.window_seconds,
            in_window_seconds=config.scale_in.window_seconds,
            out_cooldown_seconds=config.scale_out.cooldown_seconds,
            in_cooldown_seconds=config.scale_in.cooldown_seconds,
            out_step=config.scale_out.step,
            in_step=config.scale_in.step,
            headroom=Headroom(**config.headroom.model_dump()),
            out_rate=_rate(config.scale_out.rate),
            in_rate=_rate(config.scale_in.rate),
        ),
        timing=Timing(**config.timing.model_dump()),
        breaker=BreakerSettings(**config.breaker.model_dump()),
        rollout=RolloutSettings(**config.rollout.model_dump()),
        policies=policy_values(config.policies),
        alert_rules=alert_rules(config.alerts, config.pool),
        alert_base_kept_seconds=config.alert_source.ttl_seconds,
        saturation=_saturation(config.saturation),
        standby=StandbyPolicy(**config.standby.model_dump()),
        reserve=HostReserve(
            memory_bytes=config.host.memory_reserve_mib * _MIB,
            disk_bytes=config.host.disk_reserve_mib * _MIB,
        ),
        digest=digest(config),
    )


def _rate(config: RateConfig | None) -> Rate | None:
    return None if config is None else Rate(config.domains, config.seconds)


def _saturation(config: SaturationConfig | None) -> SaturationSettings | None:
    if config is None:
        return None
    return SaturationSettings(**config.model_dump(exclude={"pressure", "throughput"}))


_DECIDING = (
    *("pool", "min", "max", "policies", "scale_out", "scale_in", "timing", "breaker", "headroom"),
    *("rollout", "saturation", "alerts", "shadow", "standby", "host"),
)


def deciding(config: ScalerConfig) -> dict[str, Any]:
    """The part of the configuration that decisions are made by, as plain data."""
    # Of the rest, the files and addresses may change without another decision.
    kept_seconds = config.alert_source.ttl_seconds
    return {
        **config.model_dump(mode="json", include=set(_DECIDING)),
        "alert_source": {"ttl_seconds": kept_seconds},
    }


def digest(config: ScalerConfig) -> str:
    """Twelve hexadecimal digits that are equal when all that decides is equal."""
    text = json.dumps(deciding(config), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def with_rules(config: ScalerConfig, rules: Rules) -> ScalerConfig:
    """The pool's configuration with these rules in place of its own. May contradict itself."""
    given = {
        name: _merged(getattr(config, name), value)
        for name in Rules.model_fields
        if (value := getattr(rules, name)) is not None
    }
    return config.model_copy(update=given)


def _merged(of_pool: Any, value: Any) -> Any:
    """One key of a group that the rules set leaves the pool's others as they are."""
    if not isinstance(value, Settings):
        return value
    given = {name: getattr(value, name) for name in value.model_fields_set}
    return of_pool.model_copy(update=given)


def pool_shadows(config: ScalerConfig) -> tuple[Shadow, ...]:
    """The shadows, as the core judges by them."""
    pool = config.model_copy(update={"shadow": ()})
    return tuple(Shadow(one.name, pool_settings(with_rules(pool, one))) for one in config.shadow)


def signal_queries(config: ScalerConfig) -> tuple[SignalQuery, ...]:
    """One query per signal that the policies of the pool and of its shadows need.

    Raises:
        ValueError: a shadow asks for a signal of the pool in another way.

    """
    queries = {one.signal: one for one in policy_queries(config.policies, config.pool)}
    for shadow in config.shadow:
        for one in policy_queries(shadow.policies or (), config.pool):
            if queries.setdefault(one.signal, one) != one:
                raise ValueError(
                    f"shadow {shadow.name}: asks for the signal {one.signal} otherwise than the "
                    "pool or another shadow; give its policy a `name` of its own"
                )
    if config.saturation is not None:
        pressure, throughput = config.saturation.pressure, config.saturation.throughput
        queries[HOST_PRESSURE] = expanded(HOST_PRESSURE, pressure, config.pool, is_share=True)
        queries[THROUGHPUT] = expanded(THROUGHPUT, throughput, config.pool)
    return tuple(queries.values())
