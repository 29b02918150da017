"""`virtscale override`: orders to the scaler that win over its policies."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from stack.commands import manual, options

app = manual.Application(
    help="Give the scaler orders that win over its policies. Pause or hold scaling, set a floor or "
    "ceiling, block a direction, drain a domain; each order has an author, a reason and, with "
    "--for, an end.",
    epilog="Examples:  virtscale override floor 3 --for 2h --reason fair   |   "
    "virtscale override drain vs-2   |   virtscale override list",
)

For = Annotated[
    str | None,
    typer.Option("--for", metavar="TIME", help="How long: 90s, 30m, 2h, 1d (default: for good)."),
]
Reason = Annotated[
    str, typer.Option("--reason", metavar="TEXT", help="Why, for those who come after.")
]
Domains = Annotated[int, typer.Argument(metavar="N", min=0, help="Number of domains.")]
Domain = Annotated[str, typer.Argument(metavar="DOMAIN", help="Name of a domain of the pool.")]


class Direction(StrEnum):
    """Of scaling."""

    OUT = "out"
    IN = "in"


class Switch(StrEnum):
    """On or off."""

    ON = "on"
    OFF = "off"


@app.command(
    "list",
    help="List the overrides in force, and what of them contradicts.",
    epilog="Examples:  virtscale override list   |   virtscale override list --json | jq "
    ".overrides",
)
def list_(state: options.State = None, json: options.Json = False) -> None:
    """Lists them."""
    answer = _call(state, "GET")
    if json:
        _print_json(answer)
    elif not answer["overrides"]:
        typer.echo("no override is in force")
    else:
        _print_all(answer)


@app.command(
    help="Take no action until resumed. Decisions are made and recorded as before, so that "
    "`explain` says what would have been done.",
    epilog="Examples:  virtscale override pause --for 30m --reason upgrade   |   virtscale "
    "override pause",
)
def pause(
    length: For = None,
    reason: Reason = "",
    state: options.State = None,
    json: options.Json = False,
) -> None:
    """Pauses."""
    _give(state, json, length, reason, kind="pause")


@app.command(
    help="Lift every pause; other overrides stay.", epilog="Example:  virtscale override resume"
)
def resume(state: options.State = None, json: options.Json = False) -> None:
    """Resumes."""
    _call(state, "POST", path="resume", body={})
    answer = _call(state, "GET")
    if json:
        _print_json(answer)
        return
    typer.echo("scaling goes on")
    _print_all(answer)


@app.command(
    help="Keep the pool at N domains, whatever the policies wish. Only the pool's max wins over "
    "it.",
    epilog="Example:  virtscale override hold 4 --for 2h --reason fair",
)
def hold(
    domains: Domains,
    length: For = None,
    reason: Reason = "",
    state: options.State = None,
    json: options.Json = False,
) -> None:
    """Holds."""
    _give(state, json, length, reason, kind="hold", domains=domains)


@app.command(
    help="Keep at least N domains. Policies may want more.",
    epilog="Example:  virtscale override floor 3 --for 1d --reason holiday",
)
def floor(
    domains: Domains,
    length: For = None,
    reason: Reason = "",
    state: options.State = None,
    json: options.Json = False,
) -> None:
    """Sets a floor."""
    _give(state, json, length, reason, kind="floor", domains=domains)


@app.command(
    help="Keep at most N domains; wins over a floor. Domains beyond it are drained: their "
    "jobs finish first.",
    epilog="Example:  virtscale override ceiling 2 --for 90s",
)
def ceiling(
    domains: Domains,
    length: For = None,
    reason: Reason = "",
    state: options.State = None,
    json: options.Json = False,
) -> None:
    """Sets a ceiling."""
    _give(state, json, length, reason, kind="ceiling", domains=domains)


@app.command(
    help="Block scaling out or scaling in. The other direction goes on.",
    epilog="Examples:  virtscale override block in --for 1h   |   virtscale override block out",
)
def block(
    direction: Annotated[Direction, typer.Argument(help="Direction of scaling that is blocked.")],
    length: For = None,
    reason: Reason = "",
    state: options.State = None,
    json: options.Json = False,
) -> None:
    """Blocks a direction."""
    _give(state, json, length, reason, kind=f"block_{direction}")


@app.command(
    "dry-run",
    help="Decide and record but do nothing (on), or act again (off).",
    epilog="Examples:  virtscale override dry-run on --for 1h   |   virtscale override dry-run off",
)
def dry_run(
    switch: Annotated[Switch, typer.Argument(help="Whether only to decide.")],
    length: For = None,
    reason: Reason = "",
    state: options.State = None,
    json: options.Json = False,
) -> None:
    """Switches it."""
    if switch is Switch.ON:
        _give(state, json, length, reason, kind="dry_run")
    else:
        _lift(state, json, "no dry run is ordered", kind="dry_run")


@app.command(
    help="Drain a domain, shut it down and keep it off, for maintenance. Its jobs finish first.",
    epilog="Example:  virtscale override drain vs-2 --reason disk",
)
def drain(
    domain: Domain,
    length: For = None,
    reason: Reason = "",
    state: options.State = None,
    json: options.Json = False,
) -> None:
    """Drains."""
    _give(state, json, length, reason, kind="drain", domain=domain)


@app.command(
    help="Give a drained domain back to the pool.",
    epilog="Example:  virtscale override release vs-2",
)
def release(domain: Domain, state: options.State = None, json: options.Json = False) -> None:
    """Lifts the drains of a domain."""
    _lift(state, json, f"no drain of {domain} is ordered", kind="drain", domain=domain)


@app.command(help="Lift one override.", epilog="Example:  virtscale override remove 5350e677")
def remove(
    override_id: Annotated[
        str, typer.Argument(metavar="ID", help="Of the override, as `list` shows it.")
    ],
    state: options.State = None,
    json: options.Json = False,
) -> None:
    """Removes it."""
    from urllib.parse import quote

    from stack import override_orders

    answer = _call(state, "DELETE", path=f"overrides/{quote(override_id, safe='')}")
    if json:
        _print_json(answer)
    else:
        typer.echo(f"removed: {override_orders.line(answer['removed'])}")


def _give(state: Path | None, as_json: bool, length: str | None, reason: str, **order: Any) -> None:
    from stack import override_orders

    body = {**order, "author": options.author(), "reason": reason}
    if length is not None:
        try:
            body["seconds"] = override_orders.seconds(length)
        except ValueError as error:
            raise options.usage_error(f"--for {error}") from None
    answer = _call(state, "POST", body=body)
    if as_json:
        _print_json(answer)
        return
    typer.echo(override_orders.line(answer["override"]))
    _print_contradictions(answer)


def _lift(state: Path | None, as_json: bool, none: str, **order: str) -> None:
    """Removes every override that is as `order` says."""
    from stack import override_orders

    answer = _call(state, "GET")
    found = [one for one in answer["overrides"] if order.items() <= one.items()]
    if not found:
        raise options.usage_error(f"{none}; `virtscale override list` shows what is")
    for one in found:
        answer = _call(state, "DELETE", path=f"overrides/{one['id']}")
        if not as_json:
            typer.echo(f"removed: {override_orders.line(one)}")
    if as_json:
        _print_json(answer)


def _call(
    state: Path | None, method: str, *, path: str = "overrides", body: Any = None
) -> dict[str, Any]:
    import asyncio

    from stack import endpoints, scaler_api, site_secrets

    with options.plain_errors():
        directory = options.state_directory(state)
        found = endpoints.read(directory)
        token = "" if method == "GET" else site_secrets.control_token(directory)
        return asyncio.run(scaler_api.order(found.scaler, method, path, body, token=token))


def _print_json(answer: dict[str, Any]) -> None:
    import json

    typer.echo(json.dumps(answer, indent=2))


def _print_all(answer: dict[str, Any]) -> None:
    from stack import override_orders

    for one in answer["overrides"]:
        typer.echo(override_orders.line(one))
    _print_contradictions(answer)


def _print_contradictions(answer: dict[str, Any]) -> None:
    for text in answer["contradictions"]:
        typer.echo(f"note: {text}")
