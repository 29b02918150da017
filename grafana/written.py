"""Dashboards as their JSON has them: what Grafana would ask and show."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent / "dashboards"
_LABEL = re.compile(r"{{\s*(\w+)\s*}}")


@dataclass(frozen=True)
class Target:
    """One query of a panel."""

    expr: str
    legend: str
    is_instant: bool

    @property
    def labels(self) -> set[str]:
        """Labels that the legend names."""
        return set(_LABEL.findall(self.legend))

    def name(self, metric: Mapping[str, str]) -> str:
        """What the legend calls a series."""
        return _LABEL.sub(lambda found: metric.get(found.group(1), ""), self.legend)


@dataclass(frozen=True)
class Look:
    """How a series is drawn."""

    colour: str = ""
    is_dashed: bool = False
    is_below: bool = False


@dataclass(frozen=True)
class Panel:
    """One panel: where it is, what it asks, how it draws."""

    title: str
    kind: str
    """Grafana's name: `timeseries`, `stat`, `heatmap`, `state-timeline`."""
    unit: str
    targets: tuple[Target, ...]
    left: int
    top: int
    width: int
    height: int
    decimals: int | None = None
    is_stacked: bool = False
    is_stepped: bool = False
    is_barred: bool = False
    soft_max: float | None = None
    bad_from: float | None = None
    looks: Mapping[str, Look] = field(default_factory=dict)
    """By name of series."""
    texts: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """(text, colour) by value."""


@dataclass(frozen=True)
class Choice:
    """A variable whose values are those of a label."""

    name: str
    selector: str
    label: str
    all_value: str = ""
    """What stands for all values; empty when one has to be chosen."""


@dataclass(frozen=True)
class Mark:
    """An annotation. `title` and `text` may name labels of the query's series: `{{reason}}`."""

    name: str
    expr: str
    colour: str
    title: str
    text: str
    tags: tuple[str, ...]
    is_shown: bool = True

    @property
    def labels(self) -> set[str]:
        """Labels that its texts and tags name."""
        return {*_LABEL.findall(self.title + self.text), *self.tags}

    def words(self, metric: Mapping[str, str]) -> str:
        """The title of one event."""
        return _LABEL.sub(lambda found: metric.get(found.group(1), ""), self.title)


@dataclass(frozen=True)
class Board:
    """One dashboard."""

    uid: str
    title: str
    panels: tuple[Panel, ...]
    choices: tuple[Choice, ...]
    texts: Mapping[str, str]
    """Variables that are typed, with their defaults."""
    marks: tuple[Mark, ...]


def boards() -> dict[str, Board]:
    """All dashboards by the name of their file, without its ending."""
    return {path.stem: board(path.read_text("utf-8")) for path in sorted(FOLDER.glob("*.json"))}


def board(text: str) -> Board:
    """Of a dashboard's JSON."""
    document = json.loads(text)
    variables = document["templating"]["list"]
    return Board(
        uid=document["uid"],
        title=document["title"],
        panels=tuple(_panel(one) for one in document["panels"] if one["type"] != "row"),
        choices=tuple(_choice(one) for one in variables if one["type"] == "query"),
        texts={one["name"]: one["query"] for one in variables if one["type"] == "textbox"},
        marks=tuple(_mark(one) for one in document.get("annotations", {}).get("list", [])),
    )


def _choice(variable: Mapping[str, Any]) -> Choice:
    found = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"])
    if found is None:
        raise ValueError(f"variable {variable['name']}: {variable['query']} is no label_values()")
    return Choice(variable["name"], found[1], found[2], variable.get("allValue", ""))


def _mark(annotation: Mapping[str, Any]) -> Mark:
    return Mark(
        annotation["name"],
        annotation["expr"],
        annotation["iconColor"],
        annotation["titleFormat"],
        annotation["textFormat"],
        tuple(annotation["tagKeys"].split(",")),
        annotation["enable"],
    )


def _panel(panel: Mapping[str, Any]) -> Panel:
    defaults = panel["fieldConfig"]["defaults"]
    custom = defaults.get("custom", {})
    place = panel["gridPos"]
    steps = defaults.get("thresholds", {}).get("steps", [])
    unit = defaults.get("unit", "none")
    if panel["type"] == "heatmap":
        unit = panel["options"]["yAxis"]["unit"]
    return Panel(
        title=panel["title"],
        kind=panel["type"],
        unit=unit,
        targets=tuple(
            Target(one["expr"], one["legendFormat"], one.get("instant", False))
            for one in panel["targets"]
        ),
        left=place["x"],
        top=place["y"],
        width=place["w"],
        height=place["h"],
        decimals=defaults.get("decimals"),
        is_stacked=custom.get("stacking", {}).get("mode", "none") != "none",
        is_stepped=custom.get("lineInterpolation", "").startswith("step"),
        is_barred=custom.get("drawStyle") == "bars",
        soft_max=custom.get("axisSoftMax"),
        bad_from=next((one["value"] for one in steps if one.get("value") is not None), None),
        looks=dict(_looks(panel["fieldConfig"].get("overrides", []))),
        texts={
            value: (result["text"], result["color"])
            for mapping in defaults.get("mappings", [])
            for value, result in mapping["options"].items()
        },
    )


def _looks(overrides: list[Mapping[str, Any]]) -> Iterator[tuple[str, Look]]:
    for one in overrides:
        values = {change["id"]: change.get("value") for change in one["properties"]}
        yield (
            one["matcher"]["options"],
            Look(
                colour=(values.get("color") or {}).get("fixedColor", ""),
                is_dashed="custom.lineStyle" in values,
                is_below=values.get("custom.transform") == "negative-Y",
            ),
        )
