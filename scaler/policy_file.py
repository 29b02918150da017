"""The policies file: policies and pace of scaling in a file of their own, read again at SIGHUP."""

from pathlib import Path
from typing import Any

from scaler.config import Rules, ScalerConfig
from servicekit import config as configuration
from servicekit.config import ConfigError


class PolicyFile(Rules):
    """What such a file may hold. What it leaves out stays as it is in the configuration."""


def effective(config: ScalerConfig) -> ScalerConfig:
    """The configuration with what its policies file sets; itself when it names none.

    Raises:
        ConfigError: with every fault of the file.

    """
    path = config.policies_file
    if path is None:
        return config
    given = read(path).model_dump(exclude_unset=True, exclude_none=True)
    values = config.model_dump(by_alias=True)
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
