"""Configuration: defaults < YAML file < environment < flags, checked as a whole.

Every fault is reported at once, each with the field, the value it has and what is allowed, because
an operator who mends one fault per restart learns to skip the check.
"""

from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, SecretBytes, SecretStr, ValidationError

Model = TypeVar("Model", bound="Settings")

_VALUE_SHOWN = 80


class ConfigError(Exception):
    """The configuration cannot be used. `faults` holds one sentence per fault."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults
        super().__init__("; ".join(faults))


class Settings(BaseModel):
    """Base of every configuration model: unknown keys are faults, values are frozen."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, use_attribute_docstrings=True
    )


def load(
    model: type[Model],
    *,
    path: Path | None,
    environ: Mapping[str, str],
    prefix: str,
    flags: Mapping[str, Any],
) -> Model:
    """Builds `model` from its defaults, a YAML file, the environment and flags; later ones win.

    A top-level field `listen_port` is read from the variable `<prefix>LISTEN_PORT`; lists and
    groups are written there as YAML (`[a, b]`). Flags that are None count as not given.

    Raises:
        ConfigError: with every fault found.

    """
    values: dict[str, Any] = {} if path is None else _read_yaml(path)
    for field in model.model_fields:
        text = environ.get(f"{prefix}{field.upper()}")
        if text is not None:
            values[field] = _from_environment(model, field, text)
    values.update({key: value for key, value in flags.items() if value is not None})
    return check(model, values, source=str(path) if path else "flags and environment")


def check(model: type[Model], values: Mapping[str, Any], *, source: str) -> Model:
    """Validates `values` against `model`.

    Raises:
        ConfigError: with every fault found; each sentence starts with `source`.

    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise ConfigError(
            [f"{source}: {_sentence(model, fault)}" for fault in error.errors()]
        ) from None


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError([f"{path}: no such file; check the path given with --config"]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}: cannot be read: {error}"]) from None
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f"line {where.line + 1}" if where is not None else "somewhere"
        raise ConfigError([f"{path}: not valid YAML at {line}"]) from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError([f"{path}: must hold `key: value` lines, holds a {_kind(content)}"])
    return {str(key): value for key, value in content.items()}


def _from_environment(model: type[BaseModel], field: str, text: str) -> Any:
    if not _is_structured(model.model_fields[field].annotation):
        return text
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _is_structured(annotation: Any) -> bool:
    kind = get_origin(annotation) or annotation
    if kind in (Union, UnionType):
        return any(_is_structured(part) for part in get_args(annotation))
    return isinstance(kind, type) and issubclass(kind, (list, tuple, set, dict, BaseModel))


def _kind(value: object) -> str:
    return {"dict": "group", "str": "single text", "int": "single number"}.get(
        type(value).__name__, type(value).__name__
    )


def _sentence(model: type[BaseModel], fault: Any) -> str:
    field = ".".join(str(part) for part in fault["loc"]) or "(whole file)"
    if fault["type"] == "extra_forbidden":
        known = ", ".join(sorted(model.model_fields)) if len(fault["loc"]) == 1 else ""
        return f"unknown key {field!r}" + (f"; known keys: {known}" if known else "")
    if fault["type"] == "missing":
        return f"{field} is not set and has no default"
    message = fault["msg"].removeprefix("Value error, ")
    if not fault["loc"]:
        return f"{message[0].lower()}{message[1:]}"
    return f"{field} = {_shown(model, fault)}: {message[0].lower()}{message[1:]}"


def _shown(model: type[BaseModel], fault: Any) -> str:
    """The faulty value; secrets never reach an error, nor do groups, which may hold some."""
    if _is_secret(model, fault["loc"]):
        return "(secret)"
    if isinstance(fault["input"], (dict, list, tuple, set, BaseModel)):
        return f"({_kind(fault['input'])})"
    text = repr(fault["input"])
    return text if len(text) <= _VALUE_SHOWN else text[: _VALUE_SHOWN - 3] + "..."


def _is_secret(annotation: Any, location: tuple[int | str, ...]) -> bool:
    """True when a field on the way to `location` is secret."""
    if annotation in (SecretStr, SecretBytes):
        return True
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        field = annotation.model_fields.get(str(location[0])) if location else None
        return field is not None and _is_secret(field.annotation, location[1:])
    return any(
        _is_secret(part, rest) for part in get_args(annotation) for rest in (location, location[1:])
    )
