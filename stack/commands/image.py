"""`virtscale image`: the guest image."""

import sys

import typer

from stack.commands import manual, options

_FILES = {"STATE/image/": "built images, a directory each; unused ones are removed"}

app = manual.Application(
    help="Build, show or look inside the guest image.",
    epilog="Examples:  virtscale image build   |   virtscale image show --json   |   "
    "virtscale image boot",
)


@app.command(
    help="Build the guest image if what goes into it has changed. Its packages come from the "
    "distribution's servers; the first time takes a minute or two.",
    epilog="Example:  virtscale image build",
    cls=manual.described(files=_FILES),
)
def build(state: options.State = None) -> None:
    """Builds the image."""
    from stack import guests, progress, terminal, up_entry

    with options.plain_errors():
        directory = options.state_directory(state)
        # What root builds, the stack's user could not replace later.
        up_entry.prepare(directory)
        with progress.shown("the guest image", total=100) as bar:

            def tell(text: str, done: float) -> None:
                if terminal.can_move(sys.stderr):
                    bar.set(round(100 * done), text=text)
                else:
                    typer.echo(f"[{done:4.0%}] {text}")

            built = guests.build_image(directory, tell=tell)
        typer.echo(f"{built.generation} in {built.directory}")


@app.command(
    help="Say which image is used, how big it is and what is in it.",
    epilog="Examples:  virtscale image show   |   virtscale image show --json",
    cls=manual.described(files=_FILES),
)
def show(state: options.State = None, json: options.Json = False) -> None:
    """Shows the image."""
    from stack import guests

    with options.plain_errors():
        typer.echo(guests.show_image(options.state_directory(state), as_json=json))


@app.command(
    help="Boot one guest on this terminal, for looking inside. It has a shell, no worker and no "
    "libvirt; Ctrl-A x ends it.",
    epilog="Example:  virtscale image boot",
)
def boot(state: options.State = None) -> None:
    """Boots one guest."""
    from stack import guests, up_entry

    with options.plain_errors():
        up_entry.prepare(options.state_directory(state))
        raise typer.Exit(guests.boot_image(options.state_directory(state)))
