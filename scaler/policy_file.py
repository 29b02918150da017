"""The policies file: policies and pace of scaling in a file of their own, read again at SIGHUP."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator

from scaler.config import HeadroomConfig, InConfig, OutConfig, ScalerConfig
from scaler.policy_config import PolicyConfig, checked_policies
from servicekit import config as configuration
from servicekit.config import ConfigError, Settings


class PolicyFile(Settings):
    """What such a file may hold. What it leaves out stays as it is in the configuration."""

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


def effective(config: ScalerConfig) -> ScalerConfig:
    """The configuration with what its policies file sets; itself when it names none.

    Raises:
        ConfigError: with every fault of the file.

    """
    path = config.policies_file
    if path is None:
        return config
    given = read(path).model_dump(exclude_unset=True, exclude_none=True)
    values = config.model_dump()
    for name, value in given.items():
        # Groups are merged, so that one key of `scale_in` does not reset the others.
        values[name] = {**values[name], **value} if isinstance(value, dict) else value
    return configuration.check(ScalerConfig, values, source=str(path))


def read(path: Path) -> PolicyFile:
    """The file alone.

    Raises:
        ConfigError: with every fault found.

    """
    if not path.exists():
        raise ConfigError([f"policies_file = {path}: no such file; check the path"])
    return configuration.load(PolicyFile, path=path, environ={}, prefix="", flags={})


def document(config: ScalerConfig) -> dict[str, Any]:
    """What is in effect, as such a file: nothing left out."""
    values = config.model_dump(mode="json", exclude_none=True)
    return {name: values[name] for name in PolicyFile.model_fields}
