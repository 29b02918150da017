"""`virtscale simulate`: the scaler's simulator, which is a program of its own."""

import subprocess
import sys

import typer

_PROGRAM = "scaler.simulator"


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(
        "simulate",
        help="Run policies over a trace of arrivals on a virtual clock, with the decisions of the "
        "running scaler, and print the figures. --help lists the options.",
        # Its options are declared once, where they are used: the services do not import another.
        context_settings={
            "allow_extra_args": True,
            "ignore_unknown_options": True,
            "help_option_names": [],
        },
    )(simulate)


def simulate(context: typer.Context) -> None:
    """Runs the simulator with the same arguments."""
    program = subprocess.run([sys.executable, "-P", "-m", _PROGRAM, *context.args])
    raise typer.Exit(program.returncode)
