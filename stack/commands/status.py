"""`virtscale status`: the pool, the queue and the services, once."""

import asyncio
from typing import TYPE_CHECKING, Any

import typer

from stack.commands import options

if TYPE_CHECKING:
    from stack.endpoints import Endpoints
    from stack.pool_view import Snapshot


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(
        "status",
        help="Show domains, queue, last decisions and services of the running stack.",
        epilog="Examples:  virtscale status   |   virtscale status --json | jq .backlog",
    )(status)


def status(state: options.State = None, json: options.Json = False) -> None:
    """Shows the stack."""
    with options.plain_errors():
        directory = options.state_directory(state)
        snapshot, services = asyncio.run(_run(directory))
    if json:
        import json as library

        typer.echo(library.dumps({**snapshot.to_json(), "services": services}, indent=2))
    else:
        from rich.console import Console

        from stack import table

        Console(highlight=False).print(table.render(snapshot))
        typer.echo("services: " + ", ".join(f"{name} {how}" for name, how in services.items()))
    if any(how != "up" for how in services.values()):
        raise typer.Exit(options.EXIT_FAILED)


async def _run(directory: Any) -> "tuple[Snapshot, dict[str, str]]":
    from stack import endpoints, observation, up_entry

    found = endpoints.read(directory)
    # The private libvirtd answers only its own user.
    up_entry.become_stack_user(directory)
    async with observation.of(found) as monitor:
        await asyncio.gather(monitor.observe_pool(), monitor.observe_signals())
        return monitor.snapshot(), await services(found)


async def services(found: "Endpoints") -> dict[str, str]:
    """Per service `up`, or why not."""
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
