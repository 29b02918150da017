"""The guest's root file system: a tree from packages, wheels and the worker, packed as ext4."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from stack.image import recipe, sources, tools
from stack.image.values import ImageError

_BLOCK = 4096
_DIRECTORIES = ("dev", "proc", "sys", "tmp", "srv", "run", "etc")
_FEATURES = "^has_journal,^resize_inode,^metadata_csum,^64bit,^huge_file,extent,sparse_super"


def unpack(packages: Iterable[Path], tree: Path) -> None:
    """Unpacks packages into a directory; runs none of their scripts."""
    tree.mkdir(parents=True, exist_ok=True)
    for package in packages:
        tools.run(["dpkg-deb", "-x", package, tree], doing=f"unpacking {package.name}")


def merge_usr(tree: Path) -> None:
    """Moves /lib, /lib64, /bin and /sbin into /usr and leaves links in their place.

    Older releases ship the loader under /lib64, newer ones under /usr/lib64 only, trusting the
    link that their installer makes. Programs name it as /lib64 in either.
    """
    for name in ("bin", "lib", "lib64", "sbin"):
        top, merged = tree / name, tree / "usr" / name
        if top.is_symlink():
            continue
        merged.mkdir(parents=True, exist_ok=True)
        if top.is_dir():
            shutil.copytree(top, merged, symlinks=True, dirs_exist_ok=True)
            shutil.rmtree(top)
        top.symlink_to(merged.relative_to(tree))


def install_wheels(tree: Path, lock: Path, python: str) -> None:
    """Installs the locked wheels for the guest's Python, whatever Python runs here.

    Raises:
        ImageError: when pip cannot get one of them.

    """
    tools.run(
        [
            sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "install",
            "--quiet", "--target", tree / "srv", "--require-hashes", "--no-deps", "--no-compile",
            "--only-binary", ":all:", "--implementation", "cp", "--python-version", python,
            "--platform", "manylinux_2_28_x86_64", "--platform", "manylinux2014_x86_64",
            "--platform", "any", "--no-warn-script-location", "-r", lock,
        ],
        doing="downloading the worker's Python packages",
        environment={"PYTHONWARNINGS": "ignore"},
    )  # fmt: skip


def install_worker(tree: Path, packages: Iterable[Path]) -> None:
    """Copies the worker and its protocol, and makes the directories that init mounts on."""
    for name in _DIRECTORIES:
        (tree / name).mkdir(exist_ok=True)
    for package in packages:
        ignore = shutil.ignore_patterns("__pycache__", "*.pyi", "*.proto")
        shutil.copytree(package, tree / "srv" / package.name, ignore=ignore, dirs_exist_ok=True)
    shutil.copy(sources.GUEST / "start.py", tree / "srv" / "start.py")
    (tree / "etc" / "passwd").write_text("root:x:0:0::/:/bin/sh\nworker:x:65534:65534::/tmp:\n")


def strip(tree: Path, python: str) -> None:
    """Removes what a worker never opens, and names the interpreter `python3`."""
    for pattern in recipe.UNNEEDED:
        for path in tree.glob(pattern):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    interpreter = tree / "usr" / "bin" / "python3"
    interpreter.unlink(missing_ok=True)
    interpreter.symlink_to(f"python{python}")


def compile_python(tree: Path, python: str) -> None:
    """Byte-compiles everything with the guest's own interpreter and tries the worker's imports.

    Unchecked: the guest neither compares time stamps nor reads the sources, which are removed.

    Raises:
        ImageError: when the guest's Python does not run or a module is missing.

    """
    guest = _guest_python(tree, python)
    library = tree / "usr" / "lib" / f"python{python}"
    _run_guest(
        guest,
        ["-m", "compileall", "-q", "-f", "-o", "0", "--invalidation-mode", "unchecked-hash",
         "-s", str(tree), "-p", "/", str(library), str(tree / "srv")],
        tree,
        doing="compiling Python",
    )  # fmt: skip
    names = "sys, hashlib, argon2.low_level, grpc, virtscale.v1.worker_pb2_grpc"
    trial = f"import {names}; import guest_worker.__main__"
    _run_guest(guest, ["-c", trial], tree, doing="trying the guest's Python")
    compiled = next((tree / "srv" / "__pycache__").glob("start.*.pyc"))
    compiled.replace(tree / "srv" / "start.pyc")


def _guest_python(tree: Path, python: str) -> list[str]:
    # Through its own loader and libraries: no chroot, no matter which distribution this host is.
    libraries = [tree / name / "x86_64-linux-gnu" for name in ("lib", "usr/lib")]
    loader = next(
        (path for path in (tree / "lib64" / "ld-linux-x86-64.so.2",
                           tree / "usr/lib64" / "ld-linux-x86-64.so.2",
                           *(directory / "ld-linux-x86-64.so.2" for directory in libraries))
         if path.is_file()),
        None,
    )  # fmt: skip
    if loader is None:
        raise ImageError("the package libc6 brought no loader; this architecture is not supported")
    search = os.pathsep.join(str(path) for path in libraries if path.is_dir())
    return [str(loader), "--library-path", search, str(tree / "usr" / "bin" / f"python{python}")]


def _run_guest(guest: list[str], arguments: list[str], tree: Path, *, doing: str) -> None:
    result = subprocess.run(
        [*guest, "-S", "-B", *arguments],
        env={"PYTHONHOME": str(tree / "usr"), "PYTHONPATH": str(tree / "srv"), "PATH": ""},
        capture_output=True,
        text=True,
        errors="replace",
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if result.returncode != 0:
        lines = (result.stderr or result.stdout).strip().splitlines()
        raise ImageError(f"{doing} failed: {lines[-1] if lines else result.returncode}")


def pack(tree: Path, target: Path) -> None:
    """Writes the tree as an ext4 image without a journal, just large enough.

    Uncompressed and built into every kernel: on an emulated CPU unpacking costs more than reading.
    """
    blocks = files = 0
    for directory, names, plain in os.walk(tree):
        for name in [*names, *plain]:
            status = os.lstat(os.path.join(directory, name))
            blocks += -(-status.st_size // _BLOCK) + 1
            files += 1
    blocks += files // 8 + blocks // 50 + 1024
    tools.run(
        [
            "mke2fs", "-q", "-F", "-t", "ext4", "-b", str(_BLOCK), "-I", "256", "-m", "0",
            "-N", str(files + 64), "-O", _FEATURES, "-E", "root_owner=0:0", "-d", tree,
            target, str(blocks),
        ],
        doing="packing the root file system",
    )  # fmt: skip
