"""`virtscale up`: the whole stack on this machine, with load."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from stack.commands import manual, options

_STACK, _LOAD, _PORTS = "Stack", "Load", "Ports"


def _port(service: str, default: int) -> Any:
    return typer.Option(
        metavar="PORT", help=f"Port of the {service} (default {default}).", rich_help_panel=_PORTS
    )


_ForSeconds = Annotated[
    float | None,
    typer.Option("--for", metavar="SECONDS", help="End by itself after so many seconds of load."),
]
_Summary = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Write the run's figures there as JSON."),
]
_Report = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Write a page of the run there at its end (see: virtscale report)."
    ),
]
_Url = Annotated[
    str | None,
    typer.Option(
        metavar="URI",
        help="Use this libvirt (such as qemu:///system) and only domains in it that carry "
        "virtscale's metadata; default: a private libvirtd.",
    ),
]
_Define = Annotated[
    bool | None,
    typer.Option("--define", help="With --url: define the pool's domains there for this run."),
]
_Pool = Annotated[
    str | None, typer.Option(metavar="NAME", help="Name of the pool (default: default).")
]
_Delta = Annotated[
    float | None,
    typer.Option(metavar="SECONDS", help="Mean time between requests in seconds (default 1)."),
]
_Load = Annotated[
    str | None,
    typer.Option(
        metavar="none|collision|busy|verify|auto",
        help="Extra work per job; auto (default) measures the first guest and saturates it.",
    ),
]
_Difficulty = Annotated[
    float | None,
    typer.Option(
        metavar="X", help="Bits of collision, repetitions of verify, CPU seconds of busy."
    ),
]
_Shape = Annotated[
    str | None,
    typer.Option(
        metavar="wave|steady",
        help="How the rate moves: rising and falling, or not at all (default wave).",
    ),
]
_MinDomains = Annotated[
    int | None, typer.Option("--min", metavar="N", help="Fewest running domains (default 1).")
]
_MaxDomains = Annotated[
    int | None, typer.Option("--max", metavar="N", help="Most domains (default: the cores).")
]
_Vcpus = Annotated[int | None, typer.Option(metavar="N", help="vCPUs of each domain (default 1).")]
_Memory = Annotated[
    int | None, typer.Option(metavar="MIB", help="Memory of each domain in MiB (default 192).")
]
_Policy = Annotated[
    str | None,
    typer.Option(
        metavar="both|reference|backlog", help="What the scaler decides by (default both)."
    ),
]
_PoliciesFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Policies of your own (see: virtscale policy --help)."),
]
_StandbyPaused = Annotated[
    int | None,
    typer.Option(metavar="N", help="Domains kept booted and suspended in memory (default 0)."),
]
_StandbySaved = Annotated[
    int | None, typer.Option(metavar="N", help="Domains kept booted and saved on disk (default 0).")
]
_Seed = Annotated[
    int | None,
    typer.Option(
        metavar="N", help="Same seed, same numbers and arrivals (default: another each time)."
    ),
]
_Profile = Annotated[
    str | None,
    typer.Option(
        metavar="legacy-sha256|hmac-sha256|argon2id",
        help="How numbers are hashed (default legacy-sha256).",
    ),
]
_ResultsKeptSeconds = Annotated[
    float | None,
    typer.Option(metavar="SECONDS", help="How long final jobs are kept (default for ever)."),
]
_ResultsKeptCount = Annotated[
    int | None, typer.Option(metavar="N", help="How many results are kept (default all).")
]
_NumberFormats = Annotated[
    list[str] | None,
    typer.Option(
        "--number-format",
        metavar="in|in-legacy|gb|de|fr|es|it|nl|free",
        help="Numbers to accept; may be given several times (default in: India).",
    ),
]
_NoLoad = Annotated[
    bool | None, typer.Option("--no-load", help="Only the stack; submit jobs yourself.")
]
_Loglevel = Annotated[
    str | None,
    typer.Option(
        metavar="debug|info|warning|error", help="Least level that the services log (default info)."
    ),
]
_Logfile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Log of this command itself (default: STATE/logs/up.log)."),
]
_Config = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="YAML with these options as keys (for_seconds, min...)."),
]
_PortBase = Annotated[
    int | None,
    typer.Option(
        metavar="PORT",
        help="First of seven ports in a row, for a stack beside another.",
        rich_help_panel=_PORTS,
    ),
]
_DispatcherPort = Annotated[int | None, _port("dispatcher (gRPC)", 15051)]
_DispatcherWorkersPort = Annotated[int | None, _port("dispatcher for guests (gRPC)", 15052)]
_DispatcherMetricsPort = Annotated[int | None, _port("dispatcher's metrics", 9181)]
_ScalerPort = Annotated[int | None, _port("scaler", 9182)]
_CollectorPort = Annotated[int | None, _port("collector", 9177)]
_PrometheusPort = Annotated[int | None, _port("Prometheus", 9090)]
_AlertmanagerPort = Annotated[int | None, _port("Alertmanager", 9093)]


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(
        "up",
        help="Start everything on this machine and feed it load until `terminate` is typed. "
        "While it runs: a number sets the mean seconds between requests; pause, resume, status, "
        "terminate, help.",
        epilog="Examples:  virtscale up   |   virtscale up --for 120 --summary out.json   |   "
        "virtscale up --for 120 --report run.html   |   "
        "virtscale up --no-load --max 4   |   virtscale up --url qemu:///system --define",
        cls=manual.described(
            exits={
                0: "every job has one result, nothing was lost and no domain is left running",
                130: "",
                1: "it could not start, or something is missing at the end; the reason is told",
            },
            environment={"VIRTSCALE_UP_...": "any option, such as VIRTSCALE_UP_MAX=4; options win"},
            files={"STATE/secrets/": "keys and tokens of the site; back up the pepper"},
        ),
    )(up)


def up(
    for_seconds: _ForSeconds = None,
    summary: _Summary = None,
    report: _Report = None,
    url: _Url = None,
    define: _Define = None,
    pool: _Pool = None,
    delta: _Delta = None,
    load: _Load = None,
    difficulty: _Difficulty = None,
    shape: _Shape = None,
    min_domains: _MinDomains = None,
    max_domains: _MaxDomains = None,
    vcpus: _Vcpus = None,
    memory: _Memory = None,
    policy: _Policy = None,
    policies_file: _PoliciesFile = None,
    seed: _Seed = None,
    profile: _Profile = None,
    number_formats: _NumberFormats = None,
    results_kept_seconds: _ResultsKeptSeconds = None,
    results_kept_count: _ResultsKeptCount = None,
    standby_paused: _StandbyPaused = None,
    standby_saved: _StandbySaved = None,
    no_load: _NoLoad = None,
    loglevel: _Loglevel = None,
    logfile: _Logfile = None,
    state: options.State = None,
    config: _Config = None,
    port_base: _PortBase = None,
    dispatcher_port: _DispatcherPort = None,
    dispatcher_workers_port: _DispatcherWorkersPort = None,
    dispatcher_metrics_port: _DispatcherMetricsPort = None,
    scaler_port: _ScalerPort = None,
    collector_port: _CollectorPort = None,
    prometheus_port: _PrometheusPort = None,
    alertmanager_port: _AlertmanagerPort = None,
) -> None:
    """Runs the stack."""
    began_at = time.time()
    flags: dict[str, Any] = dict(locals())
    for name in ("state", "config", "began_at"):
        del flags[name]
    # Not given is an empty list to typer, and would be no format at all.
    flags["number_formats"] = number_formats or None
    flags["min"], flags["max"] = flags.pop("min_domains"), flags.pop("max_domains")
    with options.plain_errors():
        raise typer.Exit(_run(state, config, flags, began_at))


def _run(state: Path | None, config: Path | None, flags: dict[str, Any], began_at: float) -> int:
    from stack.up_entry import run_up

    return run_up(options.state_directory(state), config, flags, began_at=began_at)
