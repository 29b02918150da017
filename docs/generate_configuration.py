"""Writes docs/CONFIGURATION.md from the settings: `python docs/generate_configuration.py`.

Key, kind, limits, default and meaning are those of the models that check a configuration, so that
the document cannot say what the code does not do. `--check` fails when it is not current.
"""

import enum
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
import yaml
from pydantic.fields import FieldInfo

ROOT = Path(__file__).resolve().parent.parent
if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "proto")]

from collector.config import CollectorSettings  # noqa: E402
from collector.flags import ENVIRONMENT_PREFIX as COLLECTOR_PREFIX  # noqa: E402
from dispatcher.config import ENV_PREFIX as DISPATCHER_PREFIX  # noqa: E402
from dispatcher.config import DispatcherSettings  # noqa: E402
from dispatcher.database import PostgresqlUrl  # noqa: E402
from docs import page_file  # noqa: E402
from guest_worker.config import USAGE  # noqa: E402
from scaler.config import ENVIRONMENT_PREFIX as SCALER_PREFIX  # noqa: E402
from scaler.config import RateConfig, Rules, ScalerConfig  # noqa: E402
from scaler.policy_config import Query  # noqa: E402
from servicekit.config import Settings  # noqa: E402
from servicekit.tls import TlsFiles  # noqa: E402
from stack.settings import ENVIRONMENT_PREFIX as UP_PREFIX  # noqa: E402
from stack.settings import UpSettings  # noqa: E402

TARGET = ROOT / "docs" / "CONFIGURATION.md"

_INTRODUCTION = """# Configuration

Written by `python docs/generate_configuration.py` from the settings themselves; do not edit. For
what to set when, see the [how-to pages](README.md#how-to) and [SCALING.md](SCALING.md).

A setting comes from, later ones win: its default, the YAML file given with `--config`, the
environment, a flag. A key with its variable in the table can be set by that variable; lists and
groups are written there as YAML: `[in, de]`, `{window_seconds: 90}`. `--check-config` tells every
fault of a file at once and ends with 2 if there is one. An unknown key, a key that stands twice,
and `yes` where a number is expected are faults. Secrets are never set here: a key names the file
that holds one.

*Unset* as a default means that the key has no value until you give it one; `null` says it in YAML.
A *group* is a set of `key: value` lines of its own, and has its own table.
"""

_POLICIES = "`reference` as a fallback, and `backlog`"
_DEFAULTS = {
    (ScalerConfig, "policies"): _POLICIES,
    (ScalerConfig, "state_dir"): "`/var/lib/virtscale/scaler` as root, else "
    "`~/.local/state/virtscale/scaler`",
    (DispatcherSettings, "database"): "`~/.local/state/virtscale/dispatcher/dispatcher.db`",
    (UpSettings, "max"): "number of cores, 2 to 8",
}
"""Defaults that depend on the machine, or that are long."""

_SHARED = {
    Query: "A query",
    RateConfig: "A rate",
    TlsFiles: "TLS files",
}
"""Groups that stand in many places."""


@dataclass(frozen=True)
class Program:
    """One program with a configuration of its own."""

    title: str
    model: type[Settings]
    prefix: str
    text: str


PROGRAMS = (
    Program(
        "Stack",
        UpSettings,
        UP_PREFIX,
        "`./run` and `virtscale up`. Every key is also a flag, with `-` for `_` (`--for` for "
        "`for_seconds`, `--number-format` for `number_formats`): [CLI.md](CLI.md#virtscale-up). "
        "Where everything is kept is no setting but `--state` or `VIRTSCALE_STATE`.",
    ),
    Program(
        "Scaler",
        ScalerConfig,
        SCALER_PREFIX,
        "`python -m scaler --config FILE`. The keys of a policies file are in "
        "[their own table](#policies-file).",
    ),
    Program(
        "Dispatcher", DispatcherSettings, DISPATCHER_PREFIX, "`python -m dispatcher --config FILE`."
    ),
    Program(
        "Collector",
        CollectorSettings,
        COLLECTOR_PREFIX,
        "`virtscale-collector --config FILE`, or `python -m collector`. Its flags are named as "
        "those of Prometheus's exporters; `--help` has them. The web config file is described in "
        "[OPERATIONS.md](OPERATIONS.md#tls-and-passwords).",
    ),
)


def document() -> str:
    """The whole page."""
    parts = [_INTRODUCTION]
    parts += ["\n".join(_program(one)) for one in PROGRAMS]
    parts.append("\n".join(_policies_file()))
    parts.append("\n".join(_guest_worker()))
    parts.append("\n".join(_shared()))
    return "\n".join(parts)


def _program(program: Program) -> Iterator[str]:
    yield f"## {program.title}\n"
    yield program.text + "\n"
    yield from _table(program.model, program.prefix)
    for path, model in _groups(program.model):
        yield f"### {program.title.lower()}: {_group_title(path, model)}\n"
        yield _summary(model) + "\n"
        yield from _table(model, None)


def _policies_file() -> Iterator[str]:
    yield "## Policies file\n"
    yield (
        "The file that `policies_file` of the scaler and `--policies-file` of `./run` name. What "
        "it sets replaces what the scaler's configuration sets, key by key; what it leaves out "
        "stays. It is read again at SIGHUP and with `virtscale policy reload`; `virtscale policy "
        "check FILE` tells every fault. Its groups are those of the [scaler](#scaler).\n"
    )
    yield from _table(Rules, None)


def _guest_worker() -> Iterator[str]:
    yield "## Guest worker\n"
    yield "It has no file: flags, the environment, or credentials of systemd.\n"
    yield f"```text\n{USAGE.rstrip()}\n```\n"


def _shared() -> Iterator[str]:
    yield "## Groups used in several places\n"
    for model, title in _SHARED.items():
        yield f"### {title}\n"
        yield _summary(model) + "\n"
        yield from _table(model, None)


def _summary(model: type[Settings]) -> str:
    return " ".join((model.__doc__ or "").split())


def _group_title(path: str, model: type[Settings]) -> str:
    kind = model.model_fields.get("kind")
    return f"`{path}` of kind `{kind.default}`" if kind else f"`{path}`"


def _groups(model: type[Settings]) -> Iterator[tuple[str, type[Settings]]]:
    """Groups below a model with the key under which they stand, each once."""
    seen: set[type[Settings]] = set(_SHARED)
    todo = [(name, one) for name, one in _children(model)]
    while todo:
        path, each = todo.pop(0)
        if each in seen:
            continue
        seen.add(each)
        yield path, each
        todo[:0] = [(f"{path}.{name}", child) for name, child in _children(each)]


def _children(model: type[Settings]) -> Iterator[tuple[str, type[Settings]]]:
    for name, info in model.model_fields.items():
        for child in _models(info.annotation):
            yield info.alias or name, child


def _models(annotation: Any) -> Iterator[type[Settings]]:
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)


def _table(model: type[Settings], prefix: str | None) -> Iterator[str]:
    variable = " Variable |" if prefix else ""
    yield f"| Key | Kind | Default |{variable} Meaning |"
    yield "|---|---|---|" + ("---|" if prefix else "") + "---|"
    for name, info in model.model_fields.items():
        kind = _Kind(model, info)
        cells = [f"`{info.alias or name}`", kind.text(), _default(model, name, info)]
        if prefix:
            cells.append(f"`{prefix}{name.upper()}`")
        cells.append(_meaning(model, name, info))
        yield "| " + " | ".join(_in_a_cell(cell) for cell in cells) + " |"
    yield ""


def _meaning(model: type[Settings], name: str, info: FieldInfo) -> str:
    if not info.description:
        raise SystemExit(f"{model.__name__}.{name} needs a docstring below it")
    text = " ".join(info.description.split())
    shared = [title for group, title in _SHARED.items() if group in set(_models(info.annotation))]
    return text + "".join(f" ([{one.lower()}](#{one.lower().replace(' ', '-')}))" for one in shared)


def _in_a_cell(text: str) -> str:
    """A bar would end the cell; outside of code, `<` begins a tag and `*` is markup."""
    parts = text.replace("|", "\\|").split("`")
    parts[::2] = [one.replace("<", "&lt;").replace("*", "\\*") for one in parts[::2]]
    return "`".join(parts)


def _default(model: type[Settings], name: str, info: FieldInfo) -> str:
    if (model, name) in _DEFAULTS:
        return _DEFAULTS[model, name]
    if info.is_required():
        return "required"
    value = info.get_default(call_default_factory=True)
    return _value(value)


def _value(value: Any) -> str:
    if value is None:
        return "unset"
    if isinstance(value, Query):
        return f"`{value.query}`"
    if isinstance(value, Settings):
        return "its own"
    if isinstance(value, Mapping | tuple | frozenset) and not value:
        return "none"
    if isinstance(value, enum.Enum):
        value = value.value
    plain = list(value) if isinstance(value, tuple) else value
    text = yaml.safe_dump(plain, default_flow_style=True, width=1000).removesuffix("...\n").strip()
    return f"`{_number(plain)}`" if isinstance(plain, float) else f"`{text}`"


def _number(value: float) -> str:
    return f"{int(value)}" if value == int(value) else f"{value:g}"


_PLAIN: dict[Any, str] = {
    bool: "true or false",
    int: "whole number",
    float: "number",
    str: "text",
    Path: "path",
    PostgresqlUrl: "URL",
}
_BOUNDS: tuple[tuple[type[Any], str, str], ...] = (
    (annotated_types.Ge, "ge", "from {}"),
    (annotated_types.Gt, "gt", "above {}"),
    (annotated_types.Le, "le", "to {}"),
    (annotated_types.Lt, "lt", "below {}"),
    (annotated_types.MinLen, "min_length", "at least {} long"),
    (annotated_types.MaxLen, "max_length", "at most {} long"),
)


@dataclass
class _Kind:
    """What may be written, in words."""

    model: type[Settings]
    info: FieldInfo
    bounds: list[str] = field(default_factory=list)

    def text(self) -> str:
        self._bound(self.info.metadata)
        name = self._name(self.info.annotation)
        return ", ".join([name, " ".join(self.bounds)]) if self.bounds else name

    def _bound(self, metadata: Any) -> None:
        for one in metadata:
            for kind, attribute, words in _BOUNDS:
                if isinstance(one, kind):
                    value = getattr(one, attribute)
                    shown = _number(value) if isinstance(value, float) else f"{value}"
                    self.bounds.append(words.format(shown))

    def _name(self, annotation: Any) -> str:
        if annotation in _PLAIN:
            return _PLAIN[annotation]
        if isinstance(annotation, type):
            return self._class(annotation)
        origin, parts = get_origin(annotation), get_args(annotation)
        if origin is Annotated:
            for one in parts[1:]:
                self._bound(getattr(one, "metadata", ()))
            return self._name(parts[0])
        if origin is Literal:
            return ", ".join(f"`{one}`" for one in parts)
        if origin in (Union, UnionType):
            names = dict.fromkeys(self._name(one) for one in parts if one is not type(None))
            return " or ".join(names)
        if origin is dict:
            return f"group of names, each with {self._name(parts[1])}"
        if origin in (tuple, list, frozenset):
            return f"list of: {self._name(parts[0])}"
        if origin is re.Pattern:
            return "regular expression"
        raise SystemExit(f"{self.model.__name__}: no words for {annotation}")

    def _class(self, kind: type[Any]) -> str:
        if issubclass(kind, Settings):
            return "group"
        if issubclass(kind, enum.Enum):
            return ", ".join(f"`{one.value}`" for one in kind)
        raise SystemExit(f"{self.model.__name__}: no words for {kind}")


if __name__ == "__main__":
    sys.exit(page_file.main(__doc__, TARGET, document))
