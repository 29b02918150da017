"""What the architecture tests look at: the tracked files of this checkout."""

import ast
import functools
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("servicekit", "collector", "scaler", "dispatcher", "guest_worker", "stack", "bench")


@dataclass(frozen=True)
class Sources:
    """The checkout's files, as git sees them (tracked, or new and not ignored)."""

    root: Path
    paths: tuple[Path, ...]

    def python(self, *tops: str) -> list[Path]:
        """Hand-written Python files below the given top directories; all of them without."""
        return [
            path
            for path in self.paths
            if path.suffix == ".py"
            and not path.stem.endswith(("_pb2", "_pb2_grpc"))
            and (not tops or path.relative_to(self.root).parts[0] in tops)
        ]

    def tree(self, path: Path) -> ast.Module:
        """The parsed file."""
        return _parsed(path)

    def name(self, path: Path) -> str:
        """The path as people write it."""
        return path.relative_to(self.root).as_posix()


@functools.cache
def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


@pytest.fixture(scope="session")
def sources() -> Sources:
    listing = subprocess.run(
        [
            *("git", "-c", f"safe.directory={ROOT}", "ls-files", "-z"),
            *("--cached", "--others", "--exclude-standard"),
        ],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    found = (ROOT / name for name in sorted(set(listing.split("\0"))) if name)
    return Sources(ROOT, tuple(path for path in found if path.is_file()))


@pytest.fixture(scope="session")
def packages() -> tuple[str, ...]:
    return PACKAGES
