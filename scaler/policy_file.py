"""The policies file: policies and pace of scaling in a file of their own, read again at SIGHUP."""

from pathlib import Path
from typing import Any

from pydantic import ValidationInfo, model_validator

from scaler.config import Rules, ScalerConfig, contradictions, with_rules
from scaler.feature_config import SaturationConfig
from servicekit import config as configuration
from servicekit.config import ConfigError, ContradictionError


class PolicyFile(Rules):
    """What such a file may hold. What it leaves out stays as it is in the configuration."""

    @model_validator(mode="after")
    def _check_with_the_rest(self, info: ValidationInfo) -> "PolicyFile":
        if isinstance(info.context, ScalerConfig):
            # An alert's floor above the file's `max` is no fault of the file: `max` holds.
            pool = info.context.model_copy(update={"alerts": ()})
            found = contradictions(with_rules(pool, self))
            if found:
                raise ContradictionError(found)
        return self


def effective(config: ScalerConfig) -> ScalerConfig:
    """The configuration with what its policies file sets; itself when it names none.

    Raises:
        ConfigError: with every fault of the file, and of the file and the configuration together.

    """
    path = config.policies_file
    if path is None:
        return config
    if not path.exists():
        raise ConfigError([f"policies_file = {path}: no such file; check the path"])
    rules = configuration.load(
        PolicyFile, path=path, environ={}, prefix="", flags={}, context=config
    )
    return with_rules(config, rules)


class PolicyOnTrial(PolicyFile):
    """What of a configuration file, or of a policies file, decides how many domains are wished for.

    The other keys of a configuration are taken and do not count.
    """

    saturation: SaturationConfig | None = None
    """As in the configuration."""

    @model_validator(mode="before")
    @classmethod
    def _leave_out_the_rest(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        rest = ScalerConfig.model_fields.keys() - cls.model_fields.keys()
        return {key: value for key, value in values.items() if key not in rest}


def on_trial(config: ScalerConfig, path: Path) -> ScalerConfig:
    """The configuration with what a file sets in place of it.

    Raises:
        ConfigError: with every fault of the file.

    """
    # Nothing of the environment: it configures the scaler that runs, not the rules on trial.
    pool = config.model_copy(update={"shadow": ()})
    rules = configuration.load(
        PolicyOnTrial, path=path, environ={}, prefix="", flags={}, context=pool
    )
    changed = with_rules(pool, rules)
    if "saturation" in rules.model_fields_set:
        changed = changed.model_copy(update={"saturation": rules.saturation})
    return changed


def document(config: ScalerConfig) -> dict[str, Any]:
    """What is in effect, as such a file: nothing left out."""
    values = config.model_dump(mode="json", exclude_none=True)
    return {name: values[name] for name in PolicyFile.model_fields}
