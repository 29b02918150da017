"""The guest worker's archive and its installer, with a package that stands for the real ones."""

import hashlib
import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.free_ports import free_ports

GUEST = Path(__file__).parents[2] / "deploy" / "guest"
THIS_PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"


def loaded(name: str) -> ModuleType:
    """A program of deploy/guest, which is in no package."""
    spec = importlib.util.spec_from_file_location(name, GUEST / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def guest(tmp_path: Path) -> "Guest":
    return Guest(tmp_path)


class Guest:
    """Directories in place of a guest's, and a program that notes what systemctl is told."""

    def __init__(self, root: Path) -> None:
        self._installer = loaded("install")
        self._root = root
        self.home, self.units = root / "home", root / "units"
        self.units.mkdir()
        self._systemctl = root / "systemctl"
        self._systemctl.write_text(f'#!/bin/sh\necho "$@" >> {root}/told\n')
        self._systemctl.chmod(0o755)

    def install(self, *arguments: str) -> None:
        places = (str(self.home), str(self.units))
        status = self._installer.main([*arguments], *places, 0.0, str(self._systemctl))
        assert status == 0

    def told(self) -> list[str]:
        path = self._root / "told"
        return path.read_text().splitlines() if path.exists() else []

    def says(self) -> str:
        """What the installed package says, under the installed Python."""
        program = [self.home / "bin/python", "-I", "-c", "import probe; print(probe.WORD)"]
        return subprocess.run(program, capture_output=True, text=True, check=True).stdout


def archive(directory: Path, word: str, python: str = THIS_PYTHON) -> tuple[str, str]:
    """Path and digest."""
    tree = directory / f"tree-{word}"
    library = tree / f"lib/python{python}/site-packages"
    library.mkdir(parents=True)
    (library / "probe.py").write_text(f"WORD = {word!r}\n")
    (tree / "virtscale-guest-worker.service").write_text("[Service]\n")
    build = loaded("build_worker")
    content: bytes = build.packed(tree)
    assert build.packed(tree) == content
    path = directory / f"{word}.tar.gz"
    path.write_bytes(content)
    return str(path), hashlib.sha256(content).hexdigest()


def test_an_archive_is_installed_once_and_a_newer_one_in_its_place(
    guest: Guest, tmp_path: Path
) -> None:
    orders = ["daemon-reload", "enable virtscale-guest-worker.service"]
    orders.append("restart --no-block virtscale-guest-worker.service")
    first, second = archive(tmp_path, "first"), archive(tmp_path, "second")
    guest.install(*first)
    assert (guest.says(), guest.told()) == ("first\n", orders)
    assert (guest.units / "virtscale-guest-worker.service").read_text() == "[Service]\n"
    assert list(guest.home.rglob("probe.*.pyc")) != []
    # As a clone does: the archive's server may be gone by then.
    guest.install("http://127.0.0.1:1/", first[1])
    assert guest.told() == orders
    guest.install(*second)
    assert (guest.says(), guest.told()) == ("second\n", orders * 2)
    guest.install(first[0])
    assert guest.says() == "first\n"


def test_what_cannot_be_installed_is_told_and_nothing_changes(guest: Guest, tmp_path: Path) -> None:
    path, digest = archive(tmp_path, "other", python="3.9")
    nobody = f"http://127.0.0.1:{free_ports(1)}/x"
    for arguments, words in (
        ((path, "0" * 64), f"has the SHA-256 {digest}, not 0000"),
        ((path, digest), f"for python3.9, and this guest has Python {THIS_PYTHON}"),
        ((str(tmp_path / "absent"),), "cannot fetch"),
        ((nobody, digest), "Connection refused"),
        ((), "usage: "),
    ):
        with pytest.raises(SystemExit, match=words):
            guest.install(*arguments)
    assert (guest.told(), guest.home.exists(), list(guest.units.iterdir())) == ([], False, [])
