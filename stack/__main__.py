"""The `virtscale` command."""

import sys

import typer

from stack.commands import (
    adopt,
    backup,
    certs,
    down,
    explain,
    export,
    failed,
    image,
    override,
    pepper,
    policy,
    replay,
    simulate,
    status,
    submit,
    top,
    up,
    verify,
    watch,
)

_EPILOG = (
    "Examples:  virtscale up   |   virtscale up --for 120 --summary out.json   |   "
    "virtscale submit plates.csv --out hashes.csv   |   virtscale explain"
)

app = typer.Typer(
    name="virtscale",
    help="Autoscaler for plain libvirt/KVM hosts: the one-machine stack and its tools.",
    epilog=_EPILOG,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (up, down, status, top, submit, verify, watch, export, failed, explain, backup):
    module.register(app)
simulate.register(app)
replay.register(app)
adopt.register(app)
app.add_typer(image.app, name="image")
app.add_typer(certs.app, name="certs")
app.add_typer(pepper.app, name="pepper")
app.add_typer(policy.app, name="policy")
app.add_typer(override.app, name="override")


def main() -> int:
    """Runs the command line; returns the exit code."""
    try:
        app(prog_name="virtscale", standalone_mode=True)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
