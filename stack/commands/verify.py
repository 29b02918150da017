"""`virtscale verify`: does this hash belong to this number."""

import sys
from typing import Annotated

import typer

from stack.commands import manual, options

_MATCHES, _DIFFERS, _UNKNOWN = 0, 1, 2


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(
        "verify",
        help="Say whether a stored hash belongs to a number. With HASH alone the number is asked "
        "for (or read from standard input), so that it stays out of the shell's history. Exit "
        "code 0: it does, 1: it does not, 2: cannot be said.",
        epilog="Examples:  virtscale verify 'KA-47-UT-9173' 'digest:salt'   |   "
        "virtscale verify 'digest:salt'   |   head -1 number.txt | virtscale verify 'digest:salt'",
        cls=manual.described(
            exits={
                0: "the hash belongs to the number",
                1: "it does not",
                2: "it cannot be said; the reason stands on standard error",
            }
        ),
    )(verify)


def verify(
    words: Annotated[
        list[str],
        typer.Argument(metavar="[NUMBER] HASH", help="The number (optional) and the stored hash."),
    ],
    state: options.State = None,
    dispatcher: options.DispatcherAddress = None,
    ca: options.Ca = None,
    insecure: options.Insecure = False,
    token_file: options.Token = None,
    json: options.Json = False,
) -> None:
    """Verifies one number."""
    import asyncio

    if len(words) > 2:
        raise options.usage_error(
            "too many words; quote a number that holds spaces: virtscale verify 'KA 47 UT 9173' "
            "HASH"
        )
    number = words[0] if len(words) == 2 else _ask()
    try:
        with options.plain_errors():
            target = options.target(state, dispatcher, ca, insecure, token_file)
            matches, is_old = asyncio.run(_run(target, number, words[-1]))
    except typer.Exit:
        raise typer.Exit(_UNKNOWN) from None
    if json:
        import json as library

        typer.echo(library.dumps({"matches": matches, "needs_rehash": is_old}))
    else:
        typer.echo("yes: the hash belongs to the number" if matches else "no: it does not")
        if matches and is_old:
            typer.echo("it was made with an older key or profile; hash the number anew")
    raise typer.Exit(_MATCHES if matches else _DIFFERS)


def _ask() -> str:
    if sys.stdin.isatty():
        return str(typer.prompt("number", hide_input=True)).strip()
    number = sys.stdin.readline().strip()
    if not number:
        raise options.usage_error("no number on standard input; see: virtscale verify --help")
    return number


async def _run(target: options.Target, number: str, stored: str) -> tuple[bool, bool]:
    async with target.client() as client:
        verdict = await client.verify(number, stored)
        return verdict.matches, verdict.needs_rehash
