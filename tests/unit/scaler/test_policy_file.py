import pytest
import yaml

from scaler.config import ScalerConfig
from scaler.policy_file import document, effective
from servicekit.config import ConfigError, check


@pytest.fixture
def with_file(tmp_path):
    def make(text, **values):
        path = tmp_path / "policies.yaml"
        path.write_text(text)
        return check(ScalerConfig, {"policies_file": path, **values}, source="test")

    return make


def test_what_the_file_sets_replaces_what_is_configured(with_file):
    text = "max: 9\nscale_in: {step: 3}\npolicies: [{kind: backlog}]\n"
    configured = with_file(text, min=2, scale_in={"window_seconds": 15})
    config = effective(configured)
    assert (config.min, config.max) == (2, 9)
    assert (config.scale_in.window_seconds, config.scale_in.step) == (15, 3)
    assert [policy.kind for policy in config.policies] == ["backlog"]
    assert configured.max == 4


def test_what_the_file_does_not_set_stays_whatever_it_is(with_file):
    configured = with_file(
        "max: 9",
        alerts=[{"name": "behind", "match": {"alertname": "Behind"}, "raise": 2}],
        alert_source={"ask_prometheus": True},
        shadow=[{"name": "lean", "max": 2}],
        tls={"certificate": "/c", "key": "/k"},
        standby={"paused": 1},
    )
    assert effective(configured) == configured.model_copy(update={"max": 9})


def test_a_maximum_below_the_floor_of_an_alert_is_no_fault(with_file):
    configured = with_file(
        "max: 1",
        alerts=[{"name": "long", "match": {"alertname": "QueueLong"}, "floor": 2}],
        alert_source={"ask_prometheus": True},
    )
    assert effective(configured).max == 1


def test_without_a_file_nothing_changes(with_file):
    config = ScalerConfig()
    assert effective(config) is config
    assert effective(with_file("")).policies == config.policies


def test_contradictions_are_told_with_the_other_faults(with_file):
    text = "min: 9\nheadroom: {domains: 1}\npolicies: [{kind: reference}]\nscale_in: {step: 0}\n"
    with pytest.raises(ConfigError) as caught:
        effective(with_file(text))
    told = str(caught.value)
    assert len(caught.value.faults) == 3
    assert "scale_in.step = 0" in told
    assert "min = 9 must not exceed max = 4" in told
    assert "headroom needs a policy" in told


def test_every_fault_of_the_file_is_told_at_once(with_file, tmp_path):
    text = """
min: -1
maximum: 3
policies:
  - {kind: magic}
  - {kind: schedule, windows: [{start: 0 8 * *, duration_seconds: 60, min: 1}]}
"""
    with pytest.raises(ConfigError) as caught:
        effective(with_file(text))
    assert len(caught.value.faults) == 4
    assert all(fault.startswith(str(tmp_path / "policies.yaml")) for fault in caught.value.faults)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("min: 7", "min = 7 must not exceed max = 4"),
        ("policies: []", "needs at least one policy"),
        ("policies: [{kind: backlog}, {kind: backlog}]", "twice: backlog"),
        ("- a", "must hold `key: value` lines"),
        ("a: [", "not valid YAML"),
        ("headroom: {domains: 1}\npolicies: [{kind: reference}]", "headroom needs a policy"),
    ],
)
def test_faults(with_file, text, fault):
    with pytest.raises(ConfigError) as caught:
        effective(with_file(text))
    assert fault in str(caught.value)


def test_what_is_in_effect_can_be_written_as_such_a_file(with_file):
    text = "policies: [{kind: backlog, goal_seconds: 9}, {kind: seasonal}]\nheadroom: {ratio: 0.2}"
    config = effective(with_file(text, max=7))
    written = yaml.safe_dump(document(config))
    again = effective(with_file(written))
    assert document(again) == document(config)
    assert again.max == 7


def test_a_file_that_is_not_there_is_named(tmp_path):
    config = check(ScalerConfig, {"policies_file": tmp_path / "none"}, source="test")
    with pytest.raises(ConfigError, match="none: no such file"):
        effective(config)
