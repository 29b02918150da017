"""What panels of all dashboards have in common. Without data a panel is empty, and no error."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from grafana_foundation_sdk.builders import (
    common,
    heatmap,
    prometheus,
    stat,
    statetimeline,
    timeseries,
)
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog import builder
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.common import (
    AxisPlacement,
    BigValueColorMode,
    BigValueGraphMode,
    BigValueTextMode,
    GraphDrawStyle,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    LineInterpolation,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode, HeatmapColorScale
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

DOMAIN = "virtscale-libvirt-domain"
"""Identifier of the dashboard that panels lead to, part of its address."""
COLUMNS = 24
HOST_ONLY = 'job=~"$job", instance=~"$instance"'
"""Labels that choose one host's collector."""
ONE_DOMAIN = f'{HOST_ONLY}, domain=~"$domain"'
RATE = "[$__rate_interval]"
SOURCE = model.DataSourceRef(type_val="prometheus", uid="${datasource}")
_EMPTY = "-"
_STATES = (
    ("0", "no state", "text"),
    ("1", "running", "green"),
    ("2", "blocked", "yellow"),
    ("3", "paused", "blue"),
    ("4", "being shut down", "orange"),
    ("5", "shut off", "text"),
    ("6", "crashed", "red"),
    ("7", "suspended by its guest", "purple"),
)
Panel = builder.Builder[model.Panel]


@dataclass(frozen=True)
class Query:
    """PromQL, and what its series are called."""

    expr: str
    legend: str
    colour: str = ""
    """One of Grafana's; only for a query whose legend is a plain name."""
    is_dashed: bool = False
    is_below: bool = False
    """Drawn downwards from zero; the values stay positive."""


def largest(series: str) -> str:
    """The ten series with the highest means over the range: never more lines, whatever comes.

    A `topk` of each step would draw all that were among the ten at any of them.
    """
    return f"{series} and topk(10, avg_over_time(({series})[$__range:$__interval] @ end()))"


def _target(query: Query, place: int = 0, *, instant: bool = False) -> prometheus.Dataquery:
    target = prometheus.Dataquery().expr(query.expr).legend_format(query.legend)
    target = target.ref_id(chr(ord("A") + place))
    return target.instant() if instant else target.range()


def _mapping(values: Sequence[tuple[str, str, str]]) -> list[model.ValueMapping]:
    options = {
        value: model.ValueMappingResult(text=text, color=colour, index=place)
        for place, (value, text, colour) in enumerate(values)
    }
    return [model.ValueMap(options=options)]


def _domain_link() -> build.DashboardLink:
    """From a series of a domain to that domain's dashboard."""
    chosen = "var-datasource=${datasource:raw}&var-job=${__field.labels.job}"
    return (
        build.DashboardLink("Show this domain")
        .type(model.DashboardLinkType.LINK)
        .url(
            f"/d/{DOMAIN}?{chosen}&var-instance=${{__field.labels.instance}}"
            "&var-domain=${__field.labels.domain}&${__url_time_range}"
        )
    )


def chart(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    span: int = 12,
    is_stacked: bool = False,
    is_share: bool = False,
    is_counted: bool = False,
    is_barred: bool = False,
    bad_from: float | None = None,
    colours: Mapping[str, str] = MappingProxyType({}),
    links_to_domain: bool = False,
) -> timeseries.Panel:
    """Lines over time. Units are Grafana's (`bytes`, `percentunit`, `s`); shares end at 1.

    What is counted holds until it changes, and is drawn as steps; what happened now and then is
    drawn as bars. A dashed line marks what is bad. `colours` are by name of series.
    """
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .span(span)
        .height(8)
        .line_width(1)
        .fill_opacity(30 if is_stacked else 5)
        .show_points(VisibilityMode.NEVER)
        .no_value(_EMPTY)
        .axis_soft_min(0)
        .legend(
            common.VizLegendOptions()
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .tooltip(
            common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING)
        )
    )
    if is_stacked:
        panel = panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL).group("A"))
    if is_share:
        panel = panel.axis_soft_max(1)
    if is_counted:
        panel = panel.line_interpolation(LineInterpolation.STEP_AFTER).decimals(0)
    if is_barred:
        panel = panel.draw_style(GraphDrawStyle.BARS).fill_opacity(70).decimals(0)
    if bad_from is not None:
        panel = panel.thresholds(_steps(bad_from)).thresholds_style(
            common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED)
        )
    if links_to_domain:
        panel = panel.data_links([_domain_link()])
    for place, query in enumerate(queries):
        panel = panel.with_target(_target(query, place))
        properties = _looks(query)
        if properties:
            panel = panel.override_by_name(query.legend, properties)
    for name, colour in colours.items():
        panel = panel.override_by_name(name, [_colour(colour)])
    return panel


def _steps(bad_from: float | None) -> build.ThresholdsConfig:
    steps = [model.Threshold(value=None, color="green")]
    if bad_from is not None:
        steps.append(model.Threshold(value=bad_from, color="red"))
    return build.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps)


def _colour(name: str) -> model.DynamicConfigValue:
    return model.DynamicConfigValue(
        id_val="color", value=model.FieldColor(mode=model.FieldColorModeId.FIXED, fixed_color=name)
    )


def _looks(query: Query) -> list[model.DynamicConfigValue]:
    """What sets a query's series apart from the others of its panel."""
    properties = [_colour(query.colour)] if query.colour else []
    if query.is_dashed:
        style = {"fill": "dash", "dash": [8, 6]}
        properties.append(model.DynamicConfigValue(id_val="custom.lineStyle", value=style))
        properties.append(model.DynamicConfigValue(id_val="custom.fillOpacity", value=0))
    if query.is_below:
        properties.append(model.DynamicConfigValue(id_val="custom.transform", value="negative-Y"))
    return properties


def histogram(
    title: str, description: str, buckets: str, *, unit: str = "s", span: int = 12
) -> heatmap.Panel:
    """How many fell into which bucket, over time. `buckets` is a histogram's selector."""
    name, _, labels = buckets.partition("{")
    query = Query(f"sum by (le) (increase({name}_bucket{{{labels}{RATE}))", "{{le}}")
    return (
        heatmap.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit("none")
        .span(span)
        .height(8)
        .no_value(_EMPTY)
        .calculate(False)
        .cell_gap(1)
        .color(
            heatmap.HeatmapColorOptions()
            .mode(HeatmapColorMode.SCHEME)
            .scheme("Oranges")
            .scale(HeatmapColorScale.EXPONENTIAL)
            .exponent(0.5)
            .steps(64)
            .fill("dark-orange")
        )
        # Empty cells are left out.
        .filter_values(heatmap.FilterValueRange().le(1e-9))
        .y_axis(heatmap.YAxisConfig().unit(unit).axis_placement(AxisPlacement.LEFT))
        .show_legend()
        .show_value(VisibilityMode.NEVER)
        .with_target(_target(query).format(PromQueryFormat.HEATMAP))
    )


def number(
    title: str,
    description: str,
    unit: str,
    query: Query,
    *,
    bad_from: float | None = None,
    span: int = 4,
    decimals: int | None = None,
    texts: Sequence[tuple[str, str, str]] = (),
) -> stat.Panel:
    """One figure; red from `bad_from` on. `texts` are (value, text, colour) shown instead."""
    panel = (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .span(span)
        .height(4)
        .graph_mode(BigValueGraphMode.NONE)
        .color_mode(BigValueColorMode.VALUE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .thresholds(_steps(bad_from))
        .mappings(_mapping(texts) if texts else [])
        .no_value(_EMPTY)
        .with_target(_target(query, instant=True))
    )
    return panel if decimals is None else panel.decimals(decimals)


def label(title: str, description: str, query: Query, *, span: int = 4) -> stat.Panel:
    """What a label says: the legend is shown, not the value."""
    panel = number(title, description, "none", query, span=span)
    return panel.text_mode(BigValueTextMode.NAME)


def state(title: str, description: str, query: Query) -> stat.Panel:
    """The state of a domain in words."""
    return number(title, description, "none", query, texts=_STATES)


def state_timeline(title: str, description: str, query: Query) -> statetimeline.Panel:
    """States of domains over time, a line each."""
    return (
        statetimeline.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .span(COLUMNS)
        .height(6)
        .mappings(_mapping(_STATES))
        .show_value(VisibilityMode.AUTO)
        .merge_values(True)
        .no_value(_EMPTY)
        .with_target(_target(query))
    )
