"""Builds an image, or finds the one that is already built."""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TextIO

from stack import ticking
from stack.image import initramfs, kernel, packages, recipe, root, sources
from stack.image.values import Image, ImageError, Progress

_BUILDING = ".building-"
_COUNT_SECONDS = 1.0
# Less than this free after a failure: the disk is full, whatever the program that failed said.
_FULL_BYTES = 5_000_000


def build(
    state: Path, progress: Progress = lambda _text, _done: None, *, refresh: bool = False
) -> Image:
    """The image for this installation: the newest built one if it still fits, else a new one.

    `refresh` asks the distribution for newer packages even if an image fits.

    Raises:
        ImageError: no network, no disk space, a missing program; nothing half done is left.

    """
    directory = state / "image"
    found = sources.find()
    key = found.key()
    image = None if refresh else _fitting(directory, key)
    if image is not None:
        return image
    directory.mkdir(parents=True, exist_ok=True)
    with _lock(directory, progress):
        for left in directory.glob(_BUILDING + "*"):
            shutil.rmtree(left, ignore_errors=True)
        # Another build may have made it while this one waited.
        image = None if refresh else _fitting(directory, key)
        return image or _build(directory, found, key, progress)


def latest(state: Path) -> Image | None:
    """The newest built image, whether or not it fits this installation."""
    return _newest(_images(state / "image"))


def prune(state: Path, keep: Collection[str]) -> list[str]:
    """Removes images that are neither the newest nor in `keep` (generations); returns theirs.

    The caller knows which images defined domains boot from.
    """
    newest = latest(state)
    removed = []
    for image in _images(state / "image"):
        if image.generation in keep or (newest and image.generation == newest.generation):
            continue
        shutil.rmtree(image.directory, ignore_errors=True)
        removed.append(image.generation)
    return removed


def _images(directory: Path) -> list[Image]:
    if not directory.is_dir():
        return []
    found = (Image.read(path) for path in directory.iterdir() if not path.name.startswith("."))
    return [image for image in found if image is not None]


def _newest(images: list[Image]) -> Image | None:
    return max(images, key=lambda image: image.built_at, default=None)


def _fitting(directory: Path, key: str) -> Image | None:
    return _newest([image for image in _images(directory) if image.recipe_key == key])


@contextlib.contextmanager
def _lock(directory: Path, progress: Progress) -> Iterator[TextIO]:
    with (directory / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("Another build of the guest image is under way; waiting for it", 0.0)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file


def _build(directory: Path, found: sources.Sources, key: str, progress: Progress) -> Image:
    free = shutil.disk_usage(directory).free
    if free < recipe.NEEDED_FREE_BYTES:
        raise ImageError(
            f"{directory}: {free // 1_000_000} MB free, building the guest image needs "
            f"{recipe.NEEDED_FREE_BYTES // 1_000_000} MB; make room or choose another --state"
        )
    downloads = directory / ".downloads"
    with _told_when_full(directory, downloads):
        return _build_from(directory, downloads, found, key, progress)


@contextlib.contextmanager
def _told_when_full(directory: Path, downloads: Path) -> Iterator[None]:
    """Failures of a disk that fills up, whichever program meets it, as one error with the fix."""
    try:
        yield
    except (OSError, ImageError) as error:
        full = getattr(error, "errno", None) == errno.ENOSPC
        if not full and shutil.disk_usage(directory).free > _FULL_BYTES:
            if isinstance(error, ImageError):
                raise
            raise ImageError(f"building the guest image failed: {error}") from None
        # A package cut short would look like a complete one to the next build.
        shutil.rmtree(downloads, ignore_errors=True)
        raise ImageError(
            f"{directory}: the disk became full while the guest image was built; make room for "
            f"{recipe.NEEDED_FREE_BYTES // 1_000_000} MB or choose another --state"
        ) from None
    finally:
        for left in directory.glob(f"{_BUILDING}{os.getpid()}"):
            shutil.rmtree(left, ignore_errors=True)


def _build_from(
    directory: Path, downloads: Path, found: sources.Sources, key: str, progress: Progress
) -> Image:
    started = time.monotonic()
    apt = packages.Apt(directory / ".apt")
    progress("Choosing the guest's packages", 0.02)
    resolved = apt.resolve()
    files = (*resolved.userland, *resolved.kernel)
    generation = _generation(key, files)
    final = directory / generation.removeprefix("sha256:")[:16]
    existing = Image.read(final)
    if existing is not None:
        return existing
    progress(f"Downloading {len(files)} packages of the guest", 0.1)
    with _counted(downloads, files, progress):
        apt.download(files, downloads)
    for path in downloads.iterdir():
        if path.name not in files:
            path.unlink()
    work = directory / f"{_BUILDING}{os.getpid()}"
    result = work / "image"
    result.mkdir(parents=True)
    release = _assemble(work, downloads, resolved, found, progress)
    image = Image(
        directory=result,
        generation=generation,
        kernel_arguments=" ".join(recipe.KERNEL_ARGUMENTS),
        kernel_release=release,
        python=resolved.python,
        packages=files,
        recipe_key=key,
        built_at=time.time(),
        build_seconds=round(time.monotonic() - started, 1),
    )
    image.write()
    shutil.rmtree(final, ignore_errors=True)
    result.replace(final)
    progress("The guest image is built", 1.0)
    built = Image.read(final)
    assert built is not None
    return built


@contextlib.contextmanager
def _counted(downloads: Path, files: tuple[str, ...], progress: Progress) -> Iterator[None]:
    """Tells how many packages are there while others come: apt says so to a terminal only."""
    told = 0

    def count() -> None:
        nonlocal told
        there = sum((downloads / name).is_file() for name in files)
        if there > told:
            told = there
            share = 0.1 + 0.2 * there / len(files)
            progress(f"Downloading packages: {there} of {len(files)}", share)

    with ticking.beside(count, seconds=_COUNT_SECONDS):
        yield


def _generation(key: str, files: tuple[str, ...]) -> str:
    return "sha256:" + hashlib.sha256(json.dumps([key, sorted(files)]).encode()).hexdigest()


def _assemble(
    work: Path,
    downloads: Path,
    resolved: packages.Resolved,
    found: sources.Sources,
    progress: Progress,
) -> str:
    """Makes the three files in `work/image`; the kernel's release."""
    tree, kernel_tree, result = work / "root", work / "kernel", work / "image"
    progress("Unpacking", 0.3)
    root.unpack((downloads / name for name in resolved.userland), tree)
    root.merge_usr(tree)
    root.unpack((downloads / name for name in resolved.kernel), kernel_tree)
    progress("Installing the worker and its Python packages", 0.45)
    root.install_wheels(tree, found.lock, resolved.python)
    root.install_worker(tree, found.packages)
    root.strip(tree, resolved.python)
    progress("Compiling", 0.6)
    root.compile_python(tree, resolved.python)
    progress("Packing the root file system", 0.8)
    root.pack(tree, result / "root.ext4")
    progress("Preparing the kernel", 0.9)
    return _kernel_files(kernel_tree, tree, result)


def _kernel_files(kernel_tree: Path, tree: Path, result: Path) -> str:
    bzimage = next(iter(sorted((kernel_tree / "boot").glob("vmlinuz-*"))), None)
    if bzimage is None:
        raise ImageError("the kernel package has no kernel; run it again with a fresh image cache")
    release = bzimage.name.removeprefix("vmlinuz-")
    content = bzimage.read_bytes()
    (result / "kernel").write_bytes(kernel.extract(content) or content)
    places = (kernel_tree / "lib" / "modules", kernel_tree / "usr" / "lib" / "modules")
    modules = kernel.Modules(next(path for path in places if path.is_dir()) / release)
    early = modules.load_order(recipe.EARLY_MODULES)
    late = modules.load_order(recipe.LATE_MODULES, loaded=early)
    entries = [
        initramfs.directory(name)
        for name in ("bin", "dev", "proc", "root", "modules", "etc", "etc/acpi", "etc/acpi/PWRF")
    ]
    # The kernel's first console is opened before anything can be mounted on /dev.
    entries.append(initramfs.character_device("dev/console", 5, 1))
    busybox = next(tree / p for p in ("bin/busybox", "usr/bin/busybox") if (tree / p).is_file())
    entries.append(initramfs.file("bin/busybox", busybox.read_bytes(), executable=True))
    entries.append(initramfs.link("bin/sh", "busybox"))
    for path, script in (
        ("init", "init.sh"),
        ("bin/udhcpc.script", "udhcpc.sh"),
        ("etc/acpi/PWRF/00000080", "power-button.sh"),
    ):
        entries.append(initramfs.file(path, (sources.GUEST / script).read_bytes(), executable=True))
    for phase, names in (("early", early), ("late", late)):
        listing = "".join(f"{name}.ko\n" for name in names)
        entries.append(initramfs.file(f"modules/{phase}", listing.encode()))
        entries += [initramfs.file(f"modules/{n}.ko", modules.content(n)) for n in names]
    (result / "initramfs").write_bytes(initramfs.pack(entries))
    return release
