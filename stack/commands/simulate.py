"""`virtscale simulate`: the scaler's simulator, which is a program of its own."""

import subprocess
import sys

import typer

_PROGRAM = "scaler.simulator"


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(
        "simulate",
        help="Run policies over a trace of arrivals on a virtual clock. The decisions are those of "
        "the running scaler; printed are the figures of each policy.",
        epilog="Examples:  virtscale simulate --shape sine --length 3600   |   "
        "virtscale simulate --trace monday.csv --policy lean.yaml --policy hpa_v2",
        # Its options are declared once, where they are used: the services do not import another.
        context_settings={
            "allow_extra_args": True,
            "ignore_unknown_options": True,
            "help_option_names": [],
        },
    )(simulate)


def simulate(context: typer.Context) -> None:
    """Runs the simulator with the same arguments."""
    from stack import progress

    with progress.waiting("simulating"):
        # What it prints comes at its end; between the parts of a bar it could not be read.
        program = subprocess.run(
            [sys.executable, "-P", "-m", _PROGRAM, *context.args], capture_output=True, check=False
        )
    for stream, text in ((sys.stderr, program.stderr), (sys.stdout, program.stdout)):
        stream.buffer.write(text)
        stream.flush()
    raise typer.Exit(program.returncode)
