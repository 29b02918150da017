"""Image and hypervisor as the stack uses them: where they meet, and in what order."""

import contextlib
import json
import os
import signal
from collections.abc import Callable, Sequence

from servicekit.lifecycle import StartError
from stack import image
from stack.image import sources
from stack.paths import StateDirectory
from stack.settings import UpSettings
from stack.supervisor import Service


def is_image_built(state: StateDirectory) -> bool:
    """True when the newest image is what this installation would build."""
    newest = image.latest(state.root)
    return newest is not None and newest.recipe_key == sources.find().key()


def build_image(state: StateDirectory, *, tell: Callable[[str], None]) -> image.Image:
    """Builds the image, or finds the one that fits.

    Raises:
        StartError: with the reason and the fix.

    """

    def progress(text: str, done: float) -> None:
        tell(f"[{done:4.0%}] {text}")

    try:
        return image.build(state.root, progress)
    except image.ImageError as error:
        raise StartError(str(error)) from None


def uri(state: StateDirectory) -> str:
    """libvirt URI of the private daemon."""
    from stack import hypervisor

    return hypervisor.uri(state.root)


def end_group(pid: int) -> None:
    """Ends a process group that was started as a session of its own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGTERM)
