"""`virtscale top`: the live table of a running stack."""

import sys
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from stack.commands import manual, options

if TYPE_CHECKING:
    from stack.top_session import TopSession


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(
        "top",
        help="Show the running stack live: domains, queue, signals, decisions, orders and alerts. "
        "What is away is shown with since when, what has no room is counted. Watching changes "
        "nothing, except by the key p. Keys: q leaves; arrows, Page Up, Page Down, Home and End "
        "select a domain and say why it was, or was not, chosen; Enter shows all of that; s "
        "sorts by name, state, CPU or leases; p pauses or resumes scaling after a question. "
        "Without a terminal it prints one line per interval.",
        epilog="Examples:  virtscale top   |   virtscale top --interval 5   |   "
        "virtscale top --once   |   virtscale top --interval 60 >> pool.log",
        cls=manual.described(
            exits={
                0: "somebody left, by q or Ctrl-C, or the stack has ended",
                1: "no stack runs, or the one that ran is gone without an orderly end",
                129: "its terminal was closed",
                130: "",
                143: "ended by SIGTERM",
            }
        ),
    )(top)


def top(
    interval: Annotated[
        float,
        typer.Option(
            metavar="SECONDS", min=0.2, max=86_400.0, help="Time between two looks, in seconds."
        ),
    ] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Print one look and end; no keys.")] = False,
    state: options.State = None,
) -> None:
    """Shows the live table."""
    import asyncio

    from stack import terminal, top_session

    is_live = terminal.can_move(sys.stdout) and not once
    with options.plain_errors():
        directory = options.state_directory(state)
        session = top_session.TopSession(
            directory, interval=interval, author=options.author(), is_live=is_live, is_once=once
        )
        asyncio.run(_until_left(session))


async def _until_left(session: "TopSession") -> NoReturn:
    from servicekit import lifecycle

    # Questions that nobody answers yet are not waited for: who leaves wants the prompt.
    lifecycle.leave(await session.run())
