"""The host's programs that a build runs. None of them needs root."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from stack.image.values import ImageError

_PACKAGES = {
    "dpkg-deb": "dpkg",
    "mke2fs": "e2fsprogs",
    "lz4": "lz4",
    "zstd": "zstd",
    "qemu-system-x86_64": "qemu-system-x86",
}
_SAID_LINES = 6


def find(name: str) -> str:
    """A program's path.

    Raises:
        ImageError: when it is not installed; names the Debian package.

    """
    # An ordinary user's PATH often lacks the sbin directories, where mke2fs is.
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    found = shutil.which(name, path=path)
    if found is None and name.startswith("apt-"):
        raise ImageError(
            f"the program {name} is missing: the guest image is made of Debian's or Ubuntu's "
            "packages; use virtscale on Debian 12 or Ubuntu 22.04 or newer"
        )
    if found is None:
        package = _PACKAGES.get(name, name)
        raise ImageError(
            f"the program {name} is missing; install it with: apt-get install "
            f"--no-install-recommends {package}"
        )
    return found


def run(
    command: Sequence[str | Path],
    *,
    doing: str,
    directory: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Runs a program to its end; its standard output.

    Raises:
        ImageError: when it fails, with what was being done and the end of what it said.

    """
    result = subprocess.run(
        [find(str(command[0])), *command[1:]],
        cwd=directory,
        env={**os.environ, "LC_ALL": "C.UTF-8", **(environment or {})},
        capture_output=True,
        text=True,
        errors="replace",
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if result.returncode != 0:
        said = (result.stderr.strip() or result.stdout.strip()).splitlines()[-_SAID_LINES:]
        raise ImageError(f"{doing} failed: {' | '.join(said) or f'code {result.returncode}'}")
    return result.stdout
