"""What an image is, and how building one can fail."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

MANIFEST = "image.json"

Progress = Callable[[str, float], None]
"""Takes what is being done, for a person, and the share that is done (0 to 1)."""


class ImageError(Exception):
    """The image cannot be built or read. The text names the thing and the fix, for a person."""


@dataclass(frozen=True)
class Image:
    """A built image. The three files are in `directory`; sizes in bytes."""

    directory: Path
    generation: str
    """`sha256:<hex>` of everything that went in: recipe, packages, wheels, worker."""
    kernel_arguments: str
    kernel_release: str
    python: str
    packages: tuple[str, ...]
    recipe_key: str
    """Hash of what this machine alone decides: recipe, worker, lock, distribution."""
    built_at: float
    """Unix seconds."""
    build_seconds: float

    @property
    def kernel(self) -> Path:
        """The kernel, for `-kernel`: an uncompressed ELF file where that was possible."""
        return self.directory / "kernel"

    @property
    def initramfs(self) -> Path:
        """The initramfs, for `-initrd`."""
        return self.directory / "initramfs"

    @property
    def root(self) -> Path:
        """The root file system, a raw read-only disk."""
        return self.directory / "root.ext4"

    @property
    def size_bytes(self) -> int:
        """Disk space that the image takes."""
        files = (self.kernel, self.initramfs, self.root)
        return sum(path.stat().st_blocks * 512 for path in files)

    def write(self) -> None:
        """Writes the manifest: last, because its presence says that the image is whole."""
        values = asdict(self)
        del values["directory"]
        text = json.dumps(values, indent=1, sort_keys=True)
        (self.directory / MANIFEST).write_text(text + "\n", encoding="utf-8")

    @staticmethod
    def read(directory: Path) -> "Image | None":
        """The image in a directory; None when there is no whole one."""
        try:
            values = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
            image = Image(directory=directory, **{**values, "packages": tuple(values["packages"])})
        except (OSError, ValueError, TypeError, KeyError):
            return None
        files = (image.kernel, image.initramfs, image.root)
        return image if all(path.is_file() for path in files) else None
