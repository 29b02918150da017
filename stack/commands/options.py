"""Options that several sub-commands share, and how their faults end a command."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from virtscale.client.asynchronous import AsyncClient

EXIT_FAILED = 1
EXIT_USAGE = 2

State = Annotated[
    Path | None,
    typer.Option(
        "--state",
        metavar="DIR",
        help="State directory of the stack (default: /var/lib/virtscale as root, "
        "~/.local/state/virtscale otherwise, or $VIRTSCALE_STATE).",
    ),
]
DispatcherAddress = Annotated[
    str | None,
    typer.Option(
        "--dispatcher",
        metavar="HOST:PORT",
        help="A dispatcher elsewhere instead of the stack running on this machine.",
    ),
]
Ca = Annotated[
    Path | None,
    typer.Option("--ca", metavar="FILE", help="With --dispatcher: its certificate authority."),
]
Insecure = Annotated[
    bool,
    typer.Option(
        "--insecure", help="With --dispatcher: no TLS, numbers cross the network in clear."
    ),
]
Token = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        metavar="FILE",
        envvar="VIRTSCALE_TOKEN_FILE",
        help="With --dispatcher: file with the token to show it.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def state_directory(given: Path | None) -> Any:
    """The state directory to use (a `StateDirectory`)."""
    from stack import paths

    return paths.state_directory(
        given, environ=os.environ, is_root=os.geteuid() == 0, home=Path.home()
    )


@dataclass(frozen=True)
class Target:
    """Which dispatcher to talk to."""

    address: str
    ca: Path | None = None
    insecure: bool = False
    token_file: Path | None = None

    def client(self) -> "AsyncClient":
        """A client of it that does not retry: a dispatcher that is not there is told at once."""
        from virtscale.client.asynchronous import AsyncClient
        from virtscale.client.connection import Tls
        from virtscale.client.retries import ONCE

        from servicekit.tls import TokenFile

        tls = None if self.ca is None else Tls(ca=self.ca)
        token = None if self.token_file is None else TokenFile(self.token_file).read
        return AsyncClient(self.address, tls=tls, insecure=self.insecure, token=token, retry=ONCE)


def target(
    state: Path | None,
    dispatcher: str | None,
    ca: Path | None,
    insecure: bool,
    token_file: Path | None,
) -> Target:
    """The dispatcher named, or that of the running stack.

    Raises:
        StartError: when no stack runs.

    """
    if dispatcher is not None:
        return Target(dispatcher, ca, insecure, token_file)
    from stack import endpoints

    found = endpoints.read(state_directory(state))
    return Target(found.dispatcher, token_file=Path(found.token_file))


@contextlib.contextmanager
def plain_errors() -> Iterator[None]:
    """Ends the command with one sentence per fault instead of a traceback."""
    from virtscale.client.errors import DispatcherError

    from servicekit.config import ConfigError
    from servicekit.lifecycle import StartError
    from stack.http_api import HttpError
    from stack.ports import DomainsError

    try:
        yield
    except ConfigError as error:
        for fault in error.faults:
            typer.echo(f"error: {fault}", err=True)
        raise typer.Exit(EXIT_USAGE) from None
    except (StartError, DispatcherError, DomainsError, HttpError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(EXIT_FAILED) from None
    except BrokenPipeError:
        # Somebody piped us into `head`. Standard output is gone; say nothing more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        raise typer.Exit(EXIT_FAILED) from None


def author() -> str:
    """Who types; behind sudo it is not root."""
    import getpass

    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def usage_error(text: str) -> typer.Exit:
    """Prints the sentence; raise what it returns."""
    typer.echo(f"error: {text}", err=True)
    return typer.Exit(EXIT_USAGE)


def failure(text: str) -> typer.Exit:
    """Prints each line as a fault; raise what it returns."""
    for line in text.splitlines():
        typer.echo(f"error: {line}", err=True)
    return typer.Exit(EXIT_FAILED)
