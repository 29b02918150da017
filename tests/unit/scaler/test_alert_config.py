import pytest

from scaler.alerts import AlertRule, Matcher
from scaler.config import ScalerConfig, pool_settings
from servicekit.config import ConfigError, check

RULE = {"name": "more", "match": {"alertname": "Busy"}, "raise": 1}
ASKING = {"alertmanager_url": "http://127.0.0.1:9093"}


def config(*rules, source=ASKING, **values):
    values = {"alerts": list(rules), "alert_source": source, **values}
    return check(ScalerConfig, values, source="test")


def test_a_rule_becomes_what_the_core_decides_by():
    rule = {
        "name": "more",
        "match": {"pool": "$pool"},
        "match_regex": {"severity": "warning|critical"},
        "raise": 2,
        "floor": 3,
        "block_scale_in": True,
    }
    settings = pool_settings(config(rule, pool="web"))
    assert settings.alert_rules == (
        AlertRule(
            "more",
            (Matcher("pool", "web"), Matcher("severity", "warning|critical", is_regex=True)),
            raise_by=2,
            floor=3,
            blocks_in=True,
        ),
    )
    assert settings.alert_base_kept_seconds == 120.0


@pytest.mark.parametrize(
    ("rules", "values", "text"),
    [
        ([{**RULE, "name": "a b"}], {}, "alerts.0.name"),
        ([{"name": "x", "raise": 1}], {}, "matches every alert"),
        ([{"name": "x", "match": {"a": "b"}}], {}, "does nothing"),
        ([{**RULE, "match": {"a-b": "c"}}], {}, "'a-b' is no name of a label"),
        ([{**RULE, "match_regex": {"a": "("}}], {}, "cannot be used"),
        ([{**RULE, "raise": 0}], {}, "alerts.0.raise = 0"),
        ([{**RULE, "raise_by": 1}], {}, "unknown key 'alerts.0.raise_by'"),
        ([RULE, RULE], {}, "alerts name 'more' twice"),
        ([{**RULE, "floor": 9}], {}, "floor = 9 of 'more' exceeds max = 4"),
        ([RULE], {"source": {}}, "none can arrive"),
        ([RULE], {"source": {"alertmanager_url": "here"}}, "http://127.0.0.1:9093"),
        (
            [RULE],
            {"source": {**ASKING, "ttl_seconds": 20}},
            "ttl_seconds = 20 must be at least twice resync_seconds = 15",
        ),
        (
            [RULE],
            {"source": {"token_file": "t"}, "listen_address": "0.0.0.0:9182"},
            "sent in clear",
        ),
    ],
)
def test_a_fault_says_what_is_wrong(rules, values, text):
    with pytest.raises(ConfigError) as caught:
        config(*rules, **values)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    "values",
    [
        {"listen_address": "127.0.0.1:9182"},
        {"listen_address": "0.0.0.0:9182", "insecure": True},
        {"listen_address": "0.0.0.0:9182", "tls": {"certificate": "c", "key": "k"}},
    ],
)
def test_a_token_is_taken_on_loopback_with_tls_or_when_told_so(values):
    assert config(RULE, source={"token_file": "t"}, **values).alerts
