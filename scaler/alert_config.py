"""Configuration of alerts: rules for what they do, and where they come from."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, field_validator, model_validator

from scaler.alerts import AlertRule, Matcher
from servicekit.config import Settings

Count = Annotated[int, Field(ge=1, le=10_000)]
SomeSeconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]

_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def _checked(value: str) -> str:
    if _NAME.fullmatch(value) is None:
        raise ValueError("letters, digits, '.', '_' and '-' only, 64 at most")
    return value


LongName = Annotated[str, AfterValidator(_checked)]
"""What people call pools, rules and the like: it becomes a label's value."""


class AlertRuleConfig(Settings):
    """While an alert that matches fires, the pool is kept larger, or from shrinking."""

    name: LongName
    """In logs, metrics and decisions."""
    match: dict[str, str] = Field(default_factory=dict)
    """Labels and their values; `$pool` stands for the pool's name."""
    match_regex: dict[str, str] = Field(default_factory=dict)
    """Labels and regular expressions for the whole value."""
    raise_by: Count | None = Field(default=None, alias="raise")
    """At least so many domains more than ran when it began. Written `raise`."""
    floor: Count | None = None
    """At least so many domains."""
    block_scale_in: bool = False
    """Nothing is scaled in."""

    @field_validator("match", "match_regex")
    @classmethod
    def _check_labels(cls, value: dict[str, str]) -> dict[str, str]:
        wrong = [name for name in value if _LABEL.fullmatch(name) is None]
        if wrong:
            raise ValueError(f"{wrong[0]!r} is no name of a label")
        return value

    @field_validator("match_regex")
    @classmethod
    def _check_expressions(cls, value: dict[str, str]) -> dict[str, str]:
        for label, expression in value.items():
            try:
                re.compile(expression)
            except re.error as error:
                raise ValueError(f"the expression for {label} cannot be used: {error}") from None
        return value

    @model_validator(mode="after")
    def _check_whole(self) -> "AlertRuleConfig":
        if not self.match and not self.match_regex:
            raise ValueError(f"rule {self.name!r} matches every alert; set match or match_regex")
        if self.raise_by is None and self.floor is None and not self.block_scale_in:
            raise ValueError(
                f"rule {self.name!r} does nothing; set raise, floor or block_scale_in: true"
            )
        return self


class AlertSourceConfig(Settings):
    """Where alerts come from, and how long they count."""

    token_file: Path | None = None
    """File with the token that Alertmanager shows at `/api/v1/alerts`; unset: none is taken."""
    alertmanager_url: str | None = None
    """Alertmanager to ask which alerts fire."""
    ask_prometheus: bool = False
    """Ask `prometheus_url` too. It knows of no silences."""
    resync_seconds: SomeSeconds = 15.0
    """How often they are asked."""
    ttl_seconds: SomeSeconds = 120.0
    """An alert that nobody has named for so long counts as resolved."""

    @field_validator("alertmanager_url")
    @classmethod
    def _check_url(cls, value: str | None) -> str | None:
        if value is not None and re.fullmatch(r"https?://[^\s/?#]+[^\s?#]*", value) is None:
            raise ValueError("must look like http://127.0.0.1:9093")
        return value

    @model_validator(mode="after")
    def _check_times(self) -> "AlertSourceConfig":
        if self.is_asking and self.ttl_seconds < 2 * self.resync_seconds:
            raise ValueError(
                f"ttl_seconds = {self.ttl_seconds:g} must be at least twice resync_seconds = "
                f"{self.resync_seconds:g}, or an alert that fires ends between two questions"
            )
        return self

    @property
    def is_asking(self) -> bool:
        """True when a server is asked."""
        return self.alertmanager_url is not None or self.ask_prometheus


def alert_faults(
    rules: tuple[AlertRuleConfig, ...], source: AlertSourceConfig, most: int
) -> list[str]:
    """What is wrong between the rules, their source and the pool's `max`."""
    faults = []
    names = [rule.name for rule in rules]
    faults += [
        f"alerts name {name!r} twice" for name in sorted(set(names)) if names.count(name) > 1
    ]
    faults += [
        f"alerts: floor = {rule.floor} of {rule.name!r} exceeds max = {most}, which always holds"
        for rule in rules
        if rule.floor is not None and rule.floor > most
    ]
    if rules and source.token_file is None and not source.is_asking:
        faults.append(
            "alerts are configured, but none can arrive; set alert_source.token_file (webhook), "
            "alert_source.alertmanager_url or alert_source.ask_prometheus: true"
        )
    return faults


def alert_rules(rules: tuple[AlertRuleConfig, ...], pool: str) -> tuple[AlertRule, ...]:
    """The values that the core decides by."""
    return tuple(
        AlertRule(
            name=rule.name,
            matchers=(
                *(
                    Matcher(label, value.replace("$pool", pool))
                    for label, value in rule.match.items()
                ),
                *(
                    Matcher(label, expression, is_regex=True)
                    for label, expression in rule.match_regex.items()
                ),
            ),
            raise_by=rule.raise_by,
            floor=rule.floor,
            blocks_in=rule.block_scale_in,
        )
        for rule in rules
    )
