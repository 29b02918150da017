"""What `virtscale pool create` reads before it makes clones, and says of its plan."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from stack.commands import options

if TYPE_CHECKING:
    from stack.hypervisor.clones import ClonePlan


def user_data_of(path: Path | None) -> bytes:
    """The file's content; empty without one.

    Raises:
        typer.Exit: cloud-init would not understand it; what is wrong was printed.

    """
    from stack.hypervisor import user_data

    if path is None:
        return b""
    try:
        with path.open("rb") as file:
            content = file.read(user_data.MOST_BYTES + 1)
    except OSError as error:
        raise options.usage_error(f"--user-data {path}: cannot be read: {error.strerror}") from None
    faults = user_data.faults(content)
    for fault in faults[:-1]:
        typer.echo(f"error: --user-data {path}: {fault}", err=True)
    if faults:
        raise options.usage_error(f"--user-data {path}: {faults[-1]}")
    for remark in user_data.remarks(content):
        typer.echo(f"note: --user-data {path}: {remark}", err=True)
    return content


def tell(planned: "ClonePlan", user_data: Path | None) -> None:
    """Says what `pool create` is going to do; `user_data` is the file that was given."""
    from stack.hypervisor import clone_xml

    for one in planned.made:
        parts = [
            f"{disk.target} over {disk.path} in {planned.places[disk.target].directory}"
            for disk in planned.disks
        ]
        if planned.seeds is not None:
            directory = planned.seeds.directory
            parts.append(f"{user_data} in {directory}/{clone_xml.seed_name(one)}")
        typer.echo(f"to make: {one} ({', '.join(parts) or 'no disk of its own'})")
    if planned.seeds is not None:
        for target, file in clone_xml.shared_media(planned.template.xml):
            typer.echo(
                f"note: clones see the template's {target} ({file}), too: if that is a seed image, "
                f"take it out first (virsh change-media {planned.template.name} {target} --eject)",
                err=True,
            )
    for seen in planned.surplus:
        typer.echo(f"to remove: {seen.name}")
    for one in planned.kept:
        typer.echo(f"kept: {one} is active; shut it down and do this again to remove it")
