"""`virtscale pepper`: the keys of the keyed profiles."""

from typing import Any

import typer

from stack.commands import manual, options

_FILES = {"STATE/secrets/pepper": "the keys, readable by the stack's user only; back it up"}

app = manual.Application(
    help="Show the pepper's keys, without their secrets, or add a new one.",
    epilog="Examples:  virtscale pepper show   |   virtscale pepper rotate",
)


@app.command(
    help="List the pepper's keys, the current one first. Fingerprints tell keys apart; no secret "
    "is shown.",
    epilog="Examples:  virtscale pepper show   |   virtscale pepper show --json",
)
def show(state: options.State = None, json: options.Json = False) -> None:
    """Shows the keys."""
    with options.plain_errors():
        keys = _files().pepper_keys(_path(state))
    if json:
        import json as library

        rows = [{"key_id": key.key_id, "fingerprint": key.fingerprint} for key in keys]
        typer.echo(library.dumps({"current": keys[0].key_id, "keys": rows}))
        return
    for position, key in enumerate(keys):
        use = "new hashes are made with it" if position == 0 else "for verifying older hashes"
        typer.echo(f"{key.key_id}  fingerprint {key.fingerprint}  {use}")


@app.command(
    help="Add a new key and make it the current one. A running dispatcher takes it within two "
    "seconds; older keys stay for verifying. Back up the file: hashes cannot be verified without.",
    epilog="Example:  virtscale pepper rotate",
    cls=manual.described(files=_FILES),
)
def rotate(state: options.State = None) -> None:
    """Adds a key."""
    with options.plain_errors():
        path = _path(state)
        key = _files().rotate_pepper(path)
    typer.echo(f"{key.key_id} (fingerprint {key.fingerprint}) is the current key now; older ones")
    typer.echo(f"stay. Back up {path}: without it, stored hashes cannot be verified.")


def _path(state: Any) -> Any:
    return options.state_directory(state).secrets / "pepper"


def _files() -> Any:
    from stack import secrets_files

    return secrets_files
