"""`virtscale replay`: what another policy would have wanted of the situations that occurred."""

from pathlib import Path
from typing import Annotated

import typer

from stack.commands import options


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(
        "replay",
        help="Let another policy judge every situation that the scaler recorded. Printed is where "
        "it "
        "would have wanted another number of domains. The pool is as it was (open loop).",
        epilog="Examples:  virtscale replay --policy lean.yaml --from -24h   |   "
        "virtscale replay --policy lean.yaml --from 10:00 --to 12:00 --json",
    )(replay)


def replay(
    policy: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="YAML as in the scaler's configuration: policies, min, max, scale_out, scale_in; "
            "what it leaves out is as in force.",
        ),
    ] = None,
    since: Annotated[
        str, typer.Option("--from", metavar="TIME", help="Begin: 10:42, -5m, ISO time.")
    ] = "-1h",
    until: Annotated[
        str | None,
        typer.Option("--to", metavar="TIME", help="End, in the same forms; default: now."),
    ] = None,
    prometheus: Annotated[
        bool,
        typer.Option(
            "--prometheus", help="From Prometheus' history instead of the scaler's own record."
        ),
    ] = False,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw what both wanted into an .html or .png file."),
    ] = None,
    state: options.State = None,
    json: options.Json = False,
) -> None:
    """Replays a policy."""
    from stack import progress, scaler_history

    arguments = ["replay", f"--from={since}"]
    arguments += [] if until is None else [f"--to={until}"]
    arguments += [] if policy is None else [f"--policy={policy.resolve()}"]
    arguments += ["--prometheus"] if prometheus else []
    arguments += [] if plot is None else [f"--plot={plot.absolute()}"]
    arguments += ["--json"] if json else []
    with options.plain_errors(), progress.waiting("judging what was recorded"):
        done = scaler_history.run(options.state_directory(state), arguments)
    typer.echo(done.stderr, err=True, nl=False)
    typer.echo(done.stdout, nl=False)
    raise typer.Exit(done.returncode)
