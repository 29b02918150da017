"""The policies file: policies and pace of scaling in a file of their own, read again at SIGHUP."""

from typing import Any

from pydantic import ValidationInfo, model_validator

from scaler.config import Rules, ScalerConfig, contradictions, with_rules
from servicekit import config as configuration
from servicekit.config import ConfigError, ContradictionError


class PolicyFile(Rules):
    """What such a file may hold. What it leaves out stays as it is in the configuration."""

    @model_validator(mode="after")
    def _check_with_the_rest(self, info: ValidationInfo) -> "PolicyFile":
        if isinstance(info.context, ScalerConfig):
            found = contradictions(with_rules(info.context, self))
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


def document(config: ScalerConfig) -> dict[str, Any]:
    """What is in effect, as such a file: nothing left out."""
    values = config.model_dump(mode="json", exclude_none=True)
    return {name: values[name] for name in PolicyFile.model_fields}
