"""`virtscale image`: the guest image."""

import typer

from stack.commands import manual, options

app = manual.Application(
    help="Build, show or look inside the guest image.",
    epilog="Examples:  virtscale image build   |   virtscale image show --json   |   "
    "virtscale image boot",
)


@app.command(help="Build the image if what goes into it has changed.")
def build(state: options.State = None) -> None:
    """Builds the image."""
    from stack import guests, up_entry

    with options.plain_errors():
        directory = options.state_directory(state)
        # What root builds, the stack's user could not replace later.
        up_entry.prepare(directory)
        built = guests.build_image(directory, tell=typer.echo)
        typer.echo(f"{built.generation} in {built.directory}")


@app.command(help="Say which image is used, how big it is and what is in it.")
def show(state: options.State = None, json: options.Json = False) -> None:
    """Shows the image."""
    from stack import guests

    with options.plain_errors():
        typer.echo(guests.show_image(options.state_directory(state), as_json=json))


@app.command(help="Boot one guest on this terminal, for looking inside.")
def boot(state: options.State = None) -> None:
    """Boots one guest."""
    from stack import guests, up_entry

    with options.plain_errors():
        up_entry.prepare(options.state_directory(state))
        raise typer.Exit(guests.boot_image(options.state_directory(state)))
