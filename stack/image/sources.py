"""What this installation of virtscale puts into the image: the worker, its protocol, its lock."""

import hashlib
import importlib.util
import json
import platform
from dataclasses import dataclass
from pathlib import Path

from stack.image import recipe
from stack.image.values import ImageError

HERE = Path(__file__).resolve().parent
GUEST = HERE / "guest"
_PACKAGES = ("guest_worker", "virtscale")


@dataclass(frozen=True)
class Sources:
    """Where things are. `packages` go into the guest's /srv as they are."""

    packages: tuple[Path, ...]
    lock: Path

    def files(self) -> list[Path]:
        """Every file that decides what the image is, in a fixed order."""
        found = [self.lock, *sorted(p for p in GUEST.iterdir() if p.is_file())]
        found += sorted(HERE.glob("*.py"))
        for package in self.packages:
            found += sorted(package.rglob("*.py"))
        return found

    def key(self) -> str:
        """Hash of recipe, worker, lock and distribution: equal keys need no new build."""
        digest = hashlib.sha256()
        release = platform.freedesktop_os_release()
        head = [recipe.VERSION, release.get("ID"), release.get("VERSION_ID"), platform.machine()]
        digest.update(json.dumps(head).encode())
        for path in self.files():
            digest.update(f"{path.parent.name}/{path.name}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()


def find() -> Sources:
    """The sources beside this package: a checkout's or an installed wheel's.

    Raises:
        ImageError: when one is missing.

    """
    packages = []
    for name in _PACKAGES:
        # Looked up, not imported: the stack must not run the worker's code.
        spec = importlib.util.find_spec(name)
        places = list(spec.submodule_search_locations or []) if spec else []
        if not places:
            raise ImageError(f"the Python package {name} is not installed; run ./run again")
        packages.append(Path(places[0]))
    for lock in (HERE / "guest.lock", HERE.parent.parent / "locks" / "guest.lock"):
        if lock.is_file():
            return Sources(tuple(packages), lock)
    raise ImageError("the lock file guest.lock is missing from this installation; run ./run again")
