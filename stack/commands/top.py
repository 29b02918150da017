"""`virtscale top`: the live table of a running stack."""

import asyncio
import contextlib
from typing import Annotated, Any

import typer

from stack.commands import options, status


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(
        "top",
        help="Show the live table of the running stack until Ctrl-C. Watching changes nothing.",
        epilog="Examples:  virtscale top   |   virtscale top --interval 5",
    )(top)


def top(
    interval: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.2, help="Time between two looks.")
    ] = 1.0,
    state: options.State = None,
) -> None:
    """Shows the live table."""
    with options.plain_errors(), contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_run(options.state_directory(state), interval))


async def _run(directory: Any, interval: float) -> None:
    from rich.console import Console
    from rich.live import Live

    from stack import endpoints, table, up_entry

    found = endpoints.read(directory)
    up_entry.become_stack_user(directory)
    console = Console(highlight=False)
    async with status.observe(found) as monitor:
        with Live(console=console, auto_refresh=False, screen=console.is_terminal) as live:
            while True:
                # Fails with a sentence when the stack has ended.
                endpoints.read(directory)
                await asyncio.gather(monitor.observe_pool(), monitor.observe_signals())
                snapshot = monitor.snapshot()
                if console.is_terminal:
                    live.update(table.render(snapshot, footer=["Ctrl-C to leave"]), refresh=True)
                else:
                    typer.echo(table.status_line(snapshot))
                await asyncio.sleep(interval)
