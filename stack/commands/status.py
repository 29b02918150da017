"""`virtscale status`: the pool, the queue and the services, once or again and again."""

import contextlib
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stack.commands import manual, options

if TYPE_CHECKING:
    from stack.endpoints import Endpoints
    from stack.pool_view import Snapshot


_WATCH_SECONDS = "2"
_CLEAR = "\x1b[H\x1b[2J"


class _Watched(manual.Command):
    """Lets `--watch` stand without its number."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, _with_value(args, "--watch", _WATCH_SECONDS))


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(
        "status",
        help="Show domains, queue, last decisions and services of the running stack. "
        "With --watch it does so again and again until Ctrl-C or the end of the stack; at a "
        "terminal each look replaces the one before. With --json --watch each look is one line.",
        epilog="Examples:  virtscale status   |   virtscale status --watch   |   "
        "virtscale status --watch 10 >> pool.log   |   virtscale status --json | jq .backlog",
        cls=manual.described(
            exits={
                0: "every service is up; with --watch: ended by Ctrl-C",
                1: "no stack runs, or a service is not ready; with --watch: the stack has ended",
                130: "",
            },
            base=_Watched,
        ),
    )(status)


def status(
    watch: Annotated[
        float | None,
        typer.Option(
            "--watch",
            metavar="[SECONDS]",
            min=0.2,
            max=86_400.0,
            help=f"Again after so many seconds; without a number every {_WATCH_SECONDS}.",
        ),
    ] = None,
    state: options.State = None,
    json: options.Json = False,
) -> None:
    """Shows the stack."""
    import asyncio

    with options.plain_errors(), contextlib.suppress(KeyboardInterrupt):
        directory = options.state_directory(state)
        if not asyncio.run(_run(directory, watch, as_json=json)):
            raise typer.Exit(options.EXIT_FAILED)


async def _run(directory: Any, every: float | None, *, as_json: bool) -> bool:
    """True when every service was up at the last look."""
    import asyncio

    from stack import endpoints, observation, up_entry

    found = endpoints.read(directory)
    # The private libvirtd answers only its own user.
    up_entry.become_stack_user(directory)
    async with observation.of(found) as monitor:
        while True:
            await asyncio.gather(monitor.observe_pool(), monitor.observe_signals())
            ready = await services(found)
            _show(monitor.snapshot(), ready, as_json=as_json, is_watch=every is not None)
            if every is None:
                return all(how == "up" for how in ready.values())
            await asyncio.sleep(every)
            # Fails with a sentence when the stack has ended.
            endpoints.read(directory)


def _show(snapshot: "Snapshot", ready: dict[str, str], *, as_json: bool, is_watch: bool) -> None:
    if as_json:
        import json

        document = {**snapshot.to_json(), "services": ready}
        typer.echo(json.dumps(document, indent=None if is_watch else 2))
        return
    from stack import table, terminal

    if is_watch and terminal.can_move(sys.stdout):
        typer.echo(_CLEAR, nl=False)
    elif is_watch:
        typer.echo(table.clock(snapshot.at))
    console = terminal.console()
    console.print(table.render(snapshot), soft_wrap=False)
    typer.echo("services: " + ", ".join(f"{name} {how}" for name, how in ready.items()))
    if is_watch and not terminal.can_move(sys.stdout):
        typer.echo()
    sys.stdout.flush()


async def services(found: "Endpoints") -> dict[str, str]:
    """Per service `up`, or why not."""
    import asyncio

    from stack import http_api

    addresses = {
        "dispatcher": found.dispatcher_metrics,
        "scaler": found.scaler,
        "collector": found.collector,
        "prometheus": found.prometheus,
        "alertmanager": found.alertmanager,
    }
    reasons = await asyncio.gather(
        *(http_api.not_ready(f"http://{address}/-/ready") for address in addresses.values())
    )
    return {
        name: "up" if reason is None else f"not ready ({reason})"
        for name, reason in zip(addresses, reasons, strict=True)
    }


def _with_value(args: list[str], option: str, value: str) -> list[str]:
    """The arguments, with a value for an option that stands without one."""
    filled = []
    for position, word in enumerate(args):
        filled.append(word)
        following = args[position + 1 : position + 2]
        if word == option and (not following or following[0].startswith("-")):
            filled.append(value)
    return filled
