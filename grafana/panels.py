"""What panels of both dashboards have in common. Without data a panel is empty, and no error."""

from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import common, prometheus, stat, statetimeline, timeseries
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog import builder
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    BigValueTextMode,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
)

HOST, DOMAIN = "virtscale-libvirt-host", "virtscale-libvirt-domain"
"""Identifiers of the dashboards, part of their addresses."""
TAG = "libvirt"
COLUMNS = 24
HOST_ONLY = 'job=~"$job", instance=~"$instance"'
"""Labels that choose one host's collector."""
ONE_DOMAIN = f'{HOST_ONLY}, domain=~"$domain"'
RATE = "[$__rate_interval]"
_SOURCE = model.DataSourceRef(type_val="prometheus", uid="${datasource}")
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
    variables = "&".join(f"var-{name}=${{{name}:raw}}" for name in ("datasource", "job"))
    return (
        build.DashboardLink("Show this domain")
        .type(model.DashboardLinkType.LINK)
        .url(
            f"/d/{DOMAIN}?{variables}&var-instance=${{__field.labels.instance}}"
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
    links_to_domain: bool = False,
) -> timeseries.Panel:
    """Lines over time. Units are Grafana's (`bytes`, `percentunit`, `s`); shares end at 1."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(_SOURCE)
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
    if links_to_domain:
        panel = panel.data_links([_domain_link()])
    for place, query in enumerate(queries):
        panel = panel.with_target(_target(query, place))
    return panel


def number(
    title: str,
    description: str,
    unit: str,
    query: Query,
    *,
    bad_from: float | None = None,
    span: int = 4,
    texts: Sequence[tuple[str, str, str]] = (),
) -> stat.Panel:
    """One figure; red from `bad_from` on. `texts` are (value, text, colour) shown instead."""
    steps = [model.Threshold(value=None, color="green")]
    if bad_from is not None:
        steps.append(model.Threshold(value=bad_from, color="red"))
    return (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(_SOURCE)
        .unit(unit)
        .span(span)
        .height(4)
        .graph_mode(BigValueGraphMode.NONE)
        .color_mode(BigValueColorMode.VALUE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .thresholds(build.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps))
        .mappings(_mapping(texts) if texts else [])
        .no_value(_EMPTY)
        .with_target(_target(query, instant=True))
    )


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
        .datasource(_SOURCE)
        .span(COLUMNS)
        .height(6)
        .mappings(_mapping(_STATES))
        .show_value(VisibilityMode.AUTO)
        .merge_values(True)
        .no_value(_EMPTY)
        .with_target(_target(query))
    )


def dashboard(uid: str, title: str, description: str) -> build.Dashboard:
    """An empty dashboard with what chooses the host, and a link to the others of the tag."""
    return (
        build.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags([TAG])
        .refresh("30s")
        .time("now-1h", "now")
        .timezone("browser")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .link(
            build.DashboardLink("libvirt")
            .type(model.DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .include_vars(True)
            .keep_time(True)
        )
        .with_variable(
            build.DatasourceVariable("datasource").label("Data source").type("prometheus")
        )
        .with_variable(choice("job", "Job", "label_values(libvirt_up, job)"))
        .with_variable(
            choice("instance", "Host", 'label_values(libvirt_up{job=~"$job"}, instance)')
        )
    )


def choice(name: str, text: str, query: str) -> build.QueryVariable:
    """A variable with one value at a time, from the labels that exist."""
    return (
        build.QueryVariable(name)
        .label(text)
        .datasource(_SOURCE)
        .query(query)
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
    )


def with_rows(
    board: build.Dashboard, rows: Sequence[tuple[str, Sequence[Panel]]]
) -> build.Dashboard:
    """Adds rows of panels, each under its title."""
    for title, panels in rows:
        board = board.with_row(build.Row(title))
        for panel in panels:
            board = board.with_panel(panel)
    return board
