import pytest

from scaler.config import ScalerConfig, digest, pool_settings, pool_shadows, signal_queries
from scaler.host_room import HostReserve
from scaler.recommendation import BacklogPolicy, ReferencePolicy
from scaler.stabilization import Limits, Rate
from scaler.standby import StandbyPolicy
from scaler.tracking import Timing
from servicekit.config import ConfigError, check


def config(**values):
    return check(ScalerConfig, values, source="test")


def test_the_defaults_make_both_policies_and_ask_for_their_signals():
    settings = pool_settings(config(pool="web"))
    assert settings.policies == (ReferencePolicy(is_fallback=True), BacklogPolicy())
    assert settings.limits == Limits()
    assert settings.timing == Timing()
    assert (settings.limits.min, settings.limits.max) == (1, 4)
    queries = {one.signal: one for one in signal_queries(config(pool="web"))}
    assert set(queries) == {"cpu", "demand", "demand_average", "host_pressure", "throughput"}
    assert queries["cpu"].query == 'pool:libvirt_domain_cpu_utilisation:avg30s{pool="web"}'
    assert all("$pool" not in f"{one.query}{one.freshness}" for one in queries.values())


def test_everything_can_be_set():
    settings = pool_settings(
        config(
            min=2,
            max=9,
            scale_in={"window_seconds": 5, "step": 2},
            scale_out={"cooldown_seconds": 7, "rate": {"domains": 4, "seconds": 60}},
            timing={"boot_deadline_seconds": 120},
            breaker={"threshold": 5},
            policies=[{"kind": "backlog", "target_ratio": 0.5, "slots_per_domain": 2}],
        )
    )
    assert settings.limits.in_step == 2
    assert settings.limits.out_cooldown_seconds == 7
    assert (settings.limits.out_rate, settings.limits.in_rate) == (Rate(4, 60.0), None)
    assert settings.timing.boot_deadline_seconds == 120
    assert settings.breaker.threshold == 5
    assert settings.policies == (BacklogPolicy(target_ratio=0.5, slots_per_domain=2.0),)


def test_only_signals_that_a_policy_needs_are_asked_for():
    policy = {"kind": "reference", "cpu": {"query": "x", "freshness": "y"}}
    values = config(policies=[policy], saturation=None)
    (query,) = signal_queries(values)
    assert (query.signal, query.query, query.freshness) == ("cpu", "x", "y")


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (
            {"dispatcher": "192.0.2.1:1", "dispatcher_token_file": "t"},
            "would be sent there in clear",
        ),
        ({"pool": 'a"}'}, "pool"),
        ({"min": 5, "max": 2}, "min = 5 must not exceed max = 2"),
        ({"max": 0}, "max = 0"),
        ({"prometheus_url": "prometheus"}, "http://127.0.0.1:9090"),
        ({"dispatcher": "here"}, "HOST:PORT"),
        ({"listen_address": "127.0.0.1:99999"}, "HOST:PORT"),
        ({"policies": []}, "at least one policy"),
        ({"policies": [{"kind": "magic"}]}, "policies.0"),
        ({"policies": [{"kind": "backlog"}, {"kind": "backlog"}]}, "twice"),
        ({"scale_in": {"window": 5}}, "scale_in.window"),
        ({"scale_in": {"rate": {"domains": 0}}}, "scale_in.rate.seconds is not set"),
        ({"timing": {"boot_deadline_seconds": 0}}, "boot_deadline_seconds"),
        ({"tick_seconds": 0}, "tick_seconds"),
        ({"coolness": 1}, "unknown key 'coolness'"),
    ],
)
def test_faults_name_the_field(values, text):
    with pytest.raises(ConfigError) as caught:
        config(**values)
    assert text in str(caught.value)


def test_everything_that_contradicts_is_told_at_once():
    with pytest.raises(ConfigError) as caught:
        config(
            min=5,
            max=2,
            tick_seconds=0,
            headroom={"domains": 1},
            policies=[{"kind": "reference"}],
            alerts=[{"name": "a", "match": {"b": "c"}, "floor": 3}],
            shadow=[{"name": "lean", "max": 1}, {"name": "same"}],
            dispatcher="192.0.2.1:1",
            dispatcher_token_file="t",
        )
    told = [fault.removeprefix("test: ") for fault in caught.value.faults]
    assert [one[:25] for one in told] == [
        one[:25]
        for one in (
            "tick_seconds = 0: input should",
            "min = 5 must not exceed max = 2",
            "headroom needs a policy that",
            "alerts: floor = 3 of 'a' exceeds",
            "alerts are configured, but none",
            "shadow lean: min = 5 must not",
            "dispatcher = 192.0.2.1:1 is another",
        )
    ]


def test_standby_is_off_and_can_be_had():
    settings = pool_settings(config())
    assert (settings.standby.paused, settings.standby.saved) == (0, 0)
    settings = pool_settings(
        config(
            standby={"paused": 1, "saved": 2, "refill_seconds": 5, "max_age_seconds": 60},
            host={"memory_reserve_mib": 10, "disk_reserve_mib": 20},
            timing={"wake_deadline_seconds": 3},
        )
    )
    assert settings.standby == StandbyPolicy(1, 2, 5.0, 60.0, None)
    assert settings.reserve == HostReserve(10 * 1024 * 1024, 20 * 1024 * 1024)
    assert settings.timing.wake_deadline_seconds == 3


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"standby": {"paused": -1}}, "standby.paused"),
        ({"standby": {"refill_seconds": 0}}, "standby.refill_seconds"),
        ({"standby": {"warm": 1}}, "standby.warm"),
        ({"host": {"memory_reserve_mib": -1}}, "host.memory_reserve_mib"),
    ],
)
def test_a_wrong_standby_key_is_named(values, fault):
    with pytest.raises(ConfigError) as caught:
        config(**values)
    assert fault in str(caught.value.faults)


def test_a_shadow_has_its_own_rules_and_the_rest_of_the_pool():
    found = config(
        max=6,
        shadow=[
            {"name": "lean", "max": 2, "scale_in": {"window_seconds": 300}},
            {"name": "cpu-only", "policies": [{"kind": "reference", "target_ratio": 0.6}]},
        ],
    )
    lean, cpu_only = pool_shadows(found)
    assert (lean.name, lean.settings.limits.max, lean.settings.limits.min) == ("lean", 2, 1)
    assert lean.settings.limits.in_window_seconds == 300
    assert lean.settings.policies == pool_settings(found).policies
    assert cpu_only.settings.policies == (ReferencePolicy(target_ratio=0.6),)
    assert cpu_only.settings.limits.max == 6


def test_a_key_of_a_group_that_a_shadow_sets_leaves_the_others_to_the_pool():
    (patient,) = pool_shadows(
        config(
            scale_in={"window_seconds": 60, "cooldown_seconds": 77, "step": 3},
            shadow=[{"name": "patient", "scale_in": {"window_seconds": 600}}],
        )
    )
    limits = patient.settings.limits
    assert (limits.in_window_seconds, limits.in_cooldown_seconds, limits.in_step) == (600, 77, 3)


def test_the_signals_of_shadows_are_asked_for_too():
    found = config(
        policies=[{"kind": "reference"}],
        shadow=[
            {
                "name": "one",
                "policies": [
                    {"kind": "backlog"},
                    {"kind": "reference", "name": "mine", "cpu": {"query": "its"}},
                ],
            }
        ],
    )
    queries = {one.signal: one.query for one in signal_queries(found)}
    assert {"cpu", "demand", "demand_average", "mine.cpu"} <= set(queries)
    assert queries["mine.cpu"] == "its"


@pytest.mark.parametrize(
    ("shadow", "text"),
    [
        ([{"name": "a b"}], "shadow.0.name = 'a b'"),
        ([{"name": "a"}, {"name": "a"}], "names a shadow twice"),
        ([{"name": "a", "min": 9}], "shadow a: min = 9 must not exceed max = 4"),
        ([{"name": "a", "dry_run": True}], "unknown key 'shadow.0.dry_run'"),
        ([{}], "shadow.0.name is not set"),
        (
            [{"name": "a", "policies": [{"kind": "reference", "cpu": {"query": "its"}}]}],
            "shadow a: asks for the signal cpu otherwise",
        ),
        ([{"name": "a", "policies": [{"kind": "backlog"}] * 2}], "names a policy twice: backlog"),
        (
            [{"name": "a", "headroom": {"domains": 1}, "policies": [{"kind": "reference"}]}],
            "shadow a: headroom needs a policy that knows the load",
        ),
    ],
)
def test_faults_of_a_shadow_are_named(shadow, text):
    with pytest.raises(ConfigError) as caught:
        config(shadow=shadow)
    assert any(text in fault for fault in caught.value.faults)


def test_the_digest_names_what_decides_and_nothing_else():
    assert digest(config()) == digest(config(loglevel="debug", state_dir="/tmp/x"))
    assert digest(config()) != digest(config(max=5))
    assert pool_settings(config()).digest == digest(config())


def test_names_of_the_page_are_host_names():
    given = {"page_hosts": ["KVM1.example.org.", "kvm-2", "xn--bcher-kva.example"]}
    names = check(ScalerConfig, given, source="test").page_hosts
    assert names == ("kvm1.example.org", "kvm-2", "xn--bcher-kva.example")


@pytest.mark.parametrize("name", ["", "http://kvm1", "kvm1:9182", "*", "*.example.org", "a b", "ä"])
def test_what_is_no_host_name_is_told_with_the_fix(name):
    with pytest.raises(ConfigError, match=r"page_hosts.*without scheme and port"):
        check(ScalerConfig, {"page_hosts": [name]}, source="test")
