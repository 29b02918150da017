"""The scaler's policies, checked by its own program and asked of the one that runs."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from servicekit.config import ConfigError
from stack import http_api, service_plan
from stack.paths import StateDirectory


def check(state: StateDirectory, file: Path, *, limits: Mapping[str, int] | None = None) -> str:
    """What the file holds, in a line; `limits` are the `min` and `max` that it may leave as is.

    Raises:
        ConfigError: with every fault of the file.

    """
    return _run(state, "check", str(file.absolute()), limits=limits or {}).strip()


def ask(state: StateDirectory, file: Path, *, prometheus: str, pool: str) -> str:
    """The same, and what every query of it answers at a Prometheus (`host:port`).

    Raises:
        ConfigError: with every fault of the file, or every query that is refused.

    """
    words = ("check", str(file.absolute()), "--prometheus-url", f"http://{prometheus}")
    return _run(state, *words, limits={"pool": pool}).strip()


def effective(state: StateDirectory, file: Path) -> str:
    """The file with everything that it leaves out, as YAML.

    Raises:
        ConfigError: with every fault of the file.

    """
    return _run(state, "show", str(file.absolute()), limits={})


async def in_effect(address: str) -> dict[str, Any]:
    """What the running scaler decides by, and the faults of a newer file.

    Raises:
        HttpError: when it does not answer.

    """
    return dict(await http_api.get(f"http://{address}/api/v1/policies"))


async def reload(address: str, token: str) -> dict[str, Any]:
    """Has the running scaler read its policies file again; what it decides by then.

    Raises:
        HttpError: when it refuses or does not answer.

    """
    url = f"http://{address}/api/v1/policies/reload"
    return dict(await http_api.post(url, {}, token=token))


def as_yaml(values: Mapping[str, Any]) -> str:
    """As a policies file."""
    return yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True)


def _run(state: StateDirectory, *words: str, limits: Mapping[str, int | str]) -> str:
    given = {f"VIRTSCALE_SCALER_{name.upper()}": str(value) for name, value in limits.items()}
    ended = subprocess.run(
        [sys.executable, "-P", "-m", "scaler", "policy", *words],
        env={**service_plan.environment(state), **given},
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode != 0:
        faults = ended.stderr.strip().splitlines() or [f"ended with {ended.returncode}"]
        raise ConfigError([fault.removeprefix("error: ") for fault in faults])
    return ended.stdout
