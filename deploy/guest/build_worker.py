"""Makes the guest worker's archive and the user-data that installs it: `--url URL --out DIR`.

The archive holds the worker and the Python packages it needs, locked and checked by their hashes,
for the Pythons of the guests. So a guest fetches one file, from a place of yours, and needs neither
a package index nor a mirror. URL is where guests will find the archive: serve DIR there, for
example with `python3 -m http.server 8000 --directory DIR`.
"""

import argparse
import gzip
import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "deploy"))

import parts  # noqa: E402

GUEST = ROOT / "deploy/guest"
ARCHIVE = "virtscale-worker.tar.gz"
UNIT = "virtscale-guest-worker.service"
PYTHONS = ("3.11", "3.12", "3.13")
"""Of Debian 12, Ubuntu 24.04 and Debian 13."""
_PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
_LEFT_OUT = ("bin", "__pycache__")


def main(arguments: Sequence[str] | None = None) -> int:
    """Makes both files, prints their paths."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--url",
        required=True,
        help=f"where guests fetch it; its last part may be left out: /{ARCHIVE}",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where to put both")
    parser.add_argument(
        "--python", action="append", metavar="X.Y", help=f"of the guests (default: {PYTHONS})"
    )
    given = parser.parse_args(arguments)
    url = given.url if given.url.endswith(".gz") else f"{given.url.rstrip('/')}/{ARCHIVE}"
    with tempfile.TemporaryDirectory() as name:
        tree = Path(name)
        for python in given.python or PYTHONS:
            _fill(tree / f"lib/python{python}/site-packages", python)
        (tree / UNIT).write_bytes((GUEST / UNIT).read_bytes())
        archive = packed(tree)
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / ARCHIVE).write_bytes(archive)
    digest = hashlib.sha256(archive).hexdigest()
    template = (GUEST / "user-data").read_text(encoding="utf-8")
    (given.out / "user-data").write_text(user_data(template, url, digest), encoding="utf-8")
    for made in (ARCHIVE, "user-data"):
        sys.stdout.write(f"{given.out / made}\n")
    return 0


def user_data(template: str, url: str, digest: str) -> str:
    """The template with what it leaves open."""
    return template.replace("@WORKER_URL@", url).replace("@WORKER_SHA256@", digest)


def packed(tree: Path) -> bytes:
    """The same files give the same bytes: neither times nor users are in it."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for path in _files(tree):
            member = tarfile.TarInfo(str(path.relative_to(tree)))
            content = path.read_bytes()
            member.size, member.mode = len(content), 0o644
            archive.addfile(member, io.BytesIO(content))
    return gzip.compress(raw.getvalue(), mtime=0)


def _files(tree: Path) -> Iterator[Path]:
    return (path for path in sorted(tree.rglob("*")) if path.is_file())


def _fill(library: Path, python: str) -> None:
    """The locked packages for a Python that need not be this one, and ours."""
    with tempfile.TemporaryDirectory() as name:
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", name]
        command += ["--disable-pip-version-check", "--no-compile", "--no-deps", "--require-hashes"]
        command += ["--only-binary", ":all:", "--implementation", "cp", "--python-version", python]
        command += [part for one in _PLATFORMS for part in ("--platform", one)]
        done = subprocess.run([*command, "--requirement", str(ROOT / "locks/guest.lock")])
        if done.returncode:
            raise SystemExit(f"error: no packages for Python {python}; pip says why above")
        for path in _files(Path(name)):
            relative = path.relative_to(name)
            if not set(_LEFT_OUT) & set(relative.parts):
                target = library / relative
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(path.read_bytes())
    parts.copy_own("guest", library)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    parts.write_facts(project, library)


if __name__ == "__main__":
    sys.exit(main())
