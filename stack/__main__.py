"""The `virtscale` command."""

import os
import sys

from stack.commands import (
    adopt,
    backup,
    certs,
    down,
    explain,
    export,
    failed,
    image,
    manual,
    override,
    pepper,
    policy,
    pool,
    replay,
    report,
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

app = manual.Application(
    name="virtscale",
    help="Autoscaler for plain libvirt/KVM hosts: the one-machine stack and its tools. "
    "It starts and shuts down virtual machines as load changes and feeds them work. "
    "`virtscale up` starts everything; the other commands use what runs.",
    epilog=_EPILOG,
    add_completion=True,
)
for module in (up, down, status, top, submit, verify, watch, export, failed, explain, backup):
    module.register(app)
simulate.register(app)
replay.register(app)
report.register(app)
adopt.register(app)
app.add_typer(image.app, name="image")
app.add_typer(certs.app, name="certs")
app.add_typer(pepper.app, name="pepper")
app.add_typer(policy.app, name="policy")
app.add_typer(pool.app, name="pool")
app.add_typer(override.app, name="override")


def main() -> int:
    """Runs the command line; returns the exit code."""
    try:
        app(prog_name="virtscale", standalone_mode=True)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    except Exception as error:
        if os.environ.get("VIRTSCALE_TRACEBACK"):
            raise
        sys.stderr.write(f"error: {_in_words(error)}\n")
        return 1
    return 0


def _in_words(error: Exception) -> str:
    """What nobody foresaw. An exception's text may hold anything, so it is not shown."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    code = trace.tb_frame.f_code if trace is not None else None
    place = "" if code is None or trace is None else f" in {code.co_filename}:{trace.tb_lineno}"
    return (
        f"a fault of virtscale itself: {type(error).__name__}{place}; VIRTSCALE_TRACEBACK=1 before "
        "the command shows all of it"
    )


if __name__ == "__main__":
    sys.exit(main())
