"""Configuration: defaults < YAML file < environment < flags, checked as a whole.

Every fault is reported at once, each with the field, the value it has and what is allowed, because
an operator who mends one fault per restart learns to skip the check.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, NamedTuple, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    SecretBytes,
    SecretStr,
    ValidationError,
    model_validator,
)

Model = TypeVar("Model", bound="Settings")

_VALUE_SHOWN = 80
_WORDS = {
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "model_type": "must be a group of `key: value` lines",
    "model_attributes_type": "must be a group of `key: value` lines",
    "dict_type": "must be a group of `key: value` lines",
}
"""For faults that are told in words of Python otherwise."""


class Contradiction(NamedTuple):
    """Fields that are each right by themselves and cannot be together."""

    fields: tuple[str, ...]
    text: str


class ContradictionError(ValueError):
    """For a model's check of itself: everything that contradicts."""

    def __init__(self, found: Iterable[Contradiction]) -> None:
        self.found = tuple(found)
        super().__init__("; ".join(one.text for one in self.found))


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

    @model_validator(mode="before")
    @classmethod
    def _take_no_truth_for_a_number(cls, values: Any) -> Any:
        """YAML reads a bare yes, no, on or off as a truth, and Python counts that as 1 or 0."""
        if not isinstance(values, dict):
            return values
        fields = cls.model_fields
        return {
            key: str(value).lower()
            if isinstance(value, bool) and key in fields and _is_number(fields[key].annotation)
            else value
            for key, value in values.items()
        }


def load(
    model: type[Model],
    *,
    path: Path | None,
    environ: Mapping[str, str],
    prefix: str,
    flags: Mapping[str, Any],
    context: Any = None,
) -> Model:
    """Builds `model` from its defaults, a YAML file, the environment and flags; later ones win.

    A top-level field `listen_port` is read from the variable `<prefix>LISTEN_PORT`; lists and
    groups are written there as YAML (`[a, b]`). Flags that are None count as not given. `context`
    is handed to the model's validators.

    Raises:
        ConfigError: with every fault found.

    """
    values: dict[str, Any] = {} if path is None else _read_yaml(path)
    for field in model.model_fields:
        text = environ.get(f"{prefix}{field.upper()}")
        if text is not None:
            values[field] = _from_environment(model, field, text)
    values.update({key: value for key, value in flags.items() if value is not None})
    source = str(path) if path else "flags and environment"
    return check(model, values, source=source, context=context)


def check(
    model: type[Model], values: Mapping[str, Any], *, source: str, context: Any = None
) -> Model:
    """Validates `values` against `model`.

    Raises:
        ConfigError: with every fault found; each sentence starts with `source`.

    """
    try:
        return model.model_validate(dict(values), context=context)
    except ValidationError as error:
        found = [text for fault in error.errors() for text in _sentences(model, fault)]
        wrong = {str(fault["loc"][0]) for fault in error.errors() if fault["loc"]}
        right = {key: value for key, value in values.items() if key not in wrong}
        if wrong:
            found += _contradictions(model, right, wrong, context)
        raise ConfigError([f"{source}: {text}" for text in found]) from None


def _contradictions(
    model: type[Model], right: Mapping[str, Any], wrong: set[str], context: Any
) -> list[str]:
    """What contradicts among the fields that are right by themselves.

    A model that has a wrong field does not come to check itself.
    """
    try:
        model.model_validate(dict(right), context=context)
    except ValidationError as error:
        errors = (fault.get("ctx", {}).get("error") for fault in error.errors())
        return [
            one.text
            for found in errors
            if isinstance(found, ContradictionError)
            for one in found.found
            if wrong.isdisjoint(one.fields)
        ]
    return []


def _sentences(model: type[BaseModel], fault: Any) -> list[str]:
    error = fault.get("ctx", {}).get("error")
    if isinstance(error, ContradictionError):
        return [one.text for one in error.found]
    return [_sentence(model, fault)]


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        content = yaml.safe_load(text)
        doubles = list(_doubles(yaml.compose(text, yaml.SafeLoader), set()))
    except FileNotFoundError:
        raise ConfigError([f"{path}: no such file; check the path given with --config"]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}: cannot be read: {error}"]) from None
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f"line {where.line + 1}" if where is not None else "somewhere"
        raise ConfigError([f"{path}: not valid YAML at {line}"]) from None
    if doubles:
        raise ConfigError([f"{path}: {one}" for one in doubles])
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError([f"{path}: must hold `key: value` lines, holds a {_kind(content)}"])
    return {str(key): value for key, value in content.items()}


def _doubles(node: Any, known: set[int]) -> Iterator[str]:
    """Keys that stand twice in one group: YAML would take the last and say nothing.

    `known` are the nodes looked at, because an alias may lead back to one.
    """
    if id(node) in known:
        return
    known.add(id(node))
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                line = key.start_mark.line + 1
                yield f"{key.value!r} stands twice, again at line {line}; keep one"
            if isinstance(key.value, str):
                seen.add(key.value)
            yield from _doubles(value, known)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _doubles(value, known)


def _from_environment(model: type[BaseModel], field: str, text: str) -> Any:
    if not _is_structured(model.model_fields[field].annotation):
        return text
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _is_number(annotation: Any) -> bool:
    return annotation in (int, float) or any(map(_is_number, get_args(annotation)))


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
    message = _WORDS.get(fault["type"]) or fault["msg"].removeprefix("Value error, ")
    if fault["type"].startswith("union_tag"):
        key = fault["ctx"]["discriminator"].strip("'")
        if "tag" not in fault["ctx"]:
            return f"{field}.{key} is not set and has no default"
        known = fault["ctx"]["expected_tags"].replace("'", "")
        return f"{field}.{key} = {fault['ctx']['tag']!r}: must be one of {known}"
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
