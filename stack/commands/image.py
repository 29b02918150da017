"""`virtscale image`: the guest image."""

import typer

from stack.commands import options

app = typer.Typer(
    help="Build, show or look inside the guest image.",
    no_args_is_help=True,
    rich_markup_mode=None,
    epilog="Examples:  virtscale image build   |   virtscale image show --json   |   "
    "virtscale image boot",
)


@app.command(help="Build the image if what goes into it has changed.")
def build(state: options.State = None) -> None:
    """Builds the image."""
    from stack import guests

    with options.plain_errors():
        guests.build_image(options.state_directory(state), tell=typer.echo)


@app.command(help="Say which image is used, how big it is and what is in it.")
def show(state: options.State = None, json: options.Json = False) -> None:
    """Shows the image."""
    from stack import guests

    with options.plain_errors():
        typer.echo(guests.show_image(options.state_directory(state), as_json=json))


@app.command(help="Boot one guest on this terminal, for looking inside.")
def boot(state: options.State = None) -> None:
    """Boots one guest."""
    from stack import guests

    with options.plain_errors():
        raise typer.Exit(guests.boot_image(options.state_directory(state)))
