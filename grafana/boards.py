"""What dashboards have in common: identifiers, variables, links to each other, rows of panels."""

from collections.abc import Sequence

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import dashboard as model

from grafana.panels import DOMAIN, SOURCE, Panel

FLEET, DISPATCHER, ELASTICITY = "virtscale-fleet", "virtscale-dispatcher", "virtscale-elasticity"
HOST = "virtscale-libvirt-host"
UIDS = (FLEET, DISPATCHER, ELASTICITY, HOST, DOMAIN)
"""Identifiers of the dashboards, part of their addresses."""
LIBVIRT, VIRTSCALE = "libvirt", "virtscale"
"""Tags: of what the collector alone has, and of what needs the whole of virtscale."""


def _dashboard(uid: str, title: str, description: str, tag: str) -> build.Dashboard:
    board = (
        build.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags([tag])
        .refresh("30s")
        .time("now-1h", "now")
        .timezone("browser")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
    )
    for linked in (VIRTSCALE, LIBVIRT):
        board = board.link(
            build.DashboardLink(linked)
            .type(model.DashboardLinkType.DASHBOARDS)
            .tags([linked])
            .include_vars(True)
            .keep_time(True)
        )
    return board.with_variable(
        build.DatasourceVariable("datasource").label("Data source").type("prometheus")
    )


def libvirt_dashboard(uid: str, title: str, description: str) -> build.Dashboard:
    """An empty dashboard with what chooses one host's collector."""
    return (
        _dashboard(uid, title, description, LIBVIRT)
        .with_variable(choice("job", "Job", "label_values(libvirt_up, job)"))
        .with_variable(
            choice("instance", "Host", 'label_values(libvirt_up{job=~"$job"}, instance)')
        )
    )


def pool_dashboard(uid: str, title: str, description: str) -> build.Dashboard:
    """An empty dashboard with what chooses a pool, its dispatcher and the CPU it aims at."""
    return (
        dispatcher_dashboard(uid, title, description)
        .with_variable(choice("pool", "Pool", "label_values(virtscale_scaler_paused, pool)"))
        .with_variable(
            build.TextBoxVariable("target")
            .label("Target CPU")
            .description("Share of its CPU that a domain should use: the policies' target_ratio.")
            .default_value("0.8")
            .current(model.VariableOption(selected=True, text="0.8", value="0.8"))
        )
    )


def dispatcher_dashboard(uid: str, title: str, description: str) -> build.Dashboard:
    """An empty dashboard with what chooses a dispatcher; all of them unless one is chosen."""
    dispatchers = (
        choice(
            *("dispatcher", "Dispatcher"),
            "label_values(virtscale_dispatcher_jobs_accepted_total, instance)",
        )
        .include_all(True)
        .all_value(".+")
        .current(model.VariableOption(selected=True, text="All", value="$__all"))
    )
    return _dashboard(uid, title, description, VIRTSCALE).with_variable(dispatchers)


def choice(name: str, text: str, query: str) -> build.QueryVariable:
    """A variable with one value at a time, from the labels that exist."""
    return (
        build.QueryVariable(name)
        .label(text)
        .datasource(SOURCE)
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
