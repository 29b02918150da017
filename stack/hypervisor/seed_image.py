"""Seed images, from which cloud-init's data source NoCloud reads: ISO 9660, labelled `cidata`.

An ISO can be read as a disk and as a CD-ROM, which has larger blocks than FAT can live on.
"""

import shutil
import subprocess
import tempfile
from pathlib import Path

from stack.hypervisor.errors import HypervisorError

_PROGRAMS = ("genisoimage", "xorrisofs", "mkisofs")
"""Any of them does: they take the same flags."""
_SECONDS = 60.0


def program() -> str:
    """The path of the program that makes images.

    Raises:
        HypervisorError: there is none.

    """
    for name in _PROGRAMS:
        path = shutil.which(name)
        if path is not None:
            return path
    raise HypervisorError(
        f"--user-data: none of {', '.join(_PROGRAMS)} is installed, and one of them makes the seed "
        "images: apt-get install genisoimage"
    )


def made(user_data: bytes, meta_data: bytes) -> bytes:
    """An image.

    Raises:
        HypervisorError: with the program's reason.

    """
    # User-data may hold passwords: the directory is nobody else's to look into.
    with tempfile.TemporaryDirectory(prefix="virtscale-seed-") as directory:
        sources, image = Path(directory, "sources"), Path(directory, "seed.iso")
        sources.mkdir()
        for name, content in (("user-data", user_data), ("meta-data", meta_data)):
            (sources / name).write_bytes(content)
        command = [program(), "-quiet", "-volid", "cidata", "-joliet", "-rock"]
        command += ["-output", str(image), str(sources)]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=_SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise HypervisorError(f"--user-data: {command[0]}: {error}") from None
        if done.returncode:
            reason = " ".join(done.stderr.split())
            raise HypervisorError(f"--user-data: {command[0]}: {reason}")
        return image.read_bytes()
