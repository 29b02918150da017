"""The guest image: a kernel, a small initramfs and a read-only root that all domains share.

`build` makes it without root, mounts or a change of the host's packages; `latest` finds a built
one.
"""

from stack.image.build import build, latest, prune
from stack.image.values import Image, ImageError, Progress

__all__ = ["Image", "ImageError", "Progress", "build", "latest", "prune"]
