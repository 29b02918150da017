"""The distribution's packages through apt, in directories of our own and without root.

The host's sources, proxies and keys are used; its package state is neither read nor changed. Its
package lists serve when they are there and fresh enough, else a private copy is fetched.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from stack.image import recipe, tools
from stack.image.values import ImageError

_HOST_LISTS = "/var/lib/apt/lists"


@dataclass(frozen=True)
class Resolved:
    """The packages of an image: file names, which carry name, version and architecture."""

    python: str
    userland: tuple[str, ...]
    kernel: tuple[str, ...]


class Apt:
    """apt with its state in `directory`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lists = _HOST_LISTS
        for name in ("state/lists/partial", "cache/archives/partial"):
            (directory / name).mkdir(parents=True, exist_ok=True)
        # Resolved against an empty system: what this host has installed must not decide.
        self._status = directory / "status"
        self._status.touch()

    def resolve(self) -> Resolved:
        """What to download.

        Raises:
            ImageError: when the packages or the servers cannot be found.

        """
        try:
            return self._resolve()
        except ImageError:
            if self._lists != _HOST_LISTS:
                raise
        self.update()
        return self._resolve()

    def download(self, files: tuple[str, ...], directory: Path) -> None:
        """Brings the packages into `directory`; those already there are not fetched again.

        Raises:
            ImageError: when one cannot be had.

        """
        directory.mkdir(parents=True, exist_ok=True)
        missing = [name for name in files if not (directory / name).is_file()]
        if not missing:
            return
        wanted = [_name_and_version(name) for name in missing]
        try:
            self._get("download", *wanted, directory=directory)
        except ImageError:
            # The lists may be older than the server's newest security update.
            if self._lists != _HOST_LISTS:
                raise
            self.update()
            self._get("download", *wanted, directory=directory)
        absent = [name for name in missing if not (directory / name).is_file()]
        if absent:
            raise ImageError(f"apt-get did not bring {', '.join(absent)}; run it again")

    def update(self) -> None:
        """Fetches private package lists.

        Raises:
            ImageError: when no server answers.

        """
        self._lists = str(self._directory / "state" / "lists")
        try:
            self._get("update", "-o", "APT::Update::Error-Mode=any")
        except ImageError as error:
            raise ImageError(
                f"{error}. Check the network, the proxy settings and /etc/apt/sources.list"
            ) from None

    def _resolve(self) -> Resolved:
        for python in recipe.PYTHON_VERSIONS:
            names = [name.format(python=python) for name in recipe.USERLAND]
            try:
                closure = self._uris("install", "--no-install-recommends", *names)
            except ImageError as error:
                problem = error
                continue
            userland = [name for name in closure if recipe.WANTED.fullmatch(_name(name))]
            return Resolved(python, tuple(sorted(userland)), tuple(sorted(self._kernel())))
        raise problem

    def _kernel(self) -> list[str]:
        for meta in recipe.KERNELS:
            try:
                parts = self._kernel_parts(meta)
            except ImageError as error:
                problem = error
                continue
            if parts:
                return self._uris("download", *sorted(parts))
        raise problem

    def _kernel_parts(self, meta: str) -> set[str]:
        text = self._run("apt-cache", "depends", "--recurse", "--important", meta)
        names = {line.split()[-1] for line in text.splitlines() if line.strip()}
        images = {name for name in names if recipe.KERNEL_PARTS.fullmatch(name)}
        # A package may depend on the signed or the unsigned variant of the same kernel.
        return {name for name in images if "unsigned" not in name}

    def _uris(self, *arguments: str) -> list[str]:
        text = self._get(arguments[0], "--print-uris", *arguments[1:])
        lines = [line.split() for line in text.splitlines() if line.startswith("'")]
        return [fields[1] for fields in lines]

    def _get(self, *arguments: str, directory: Path | None = None) -> str:
        return self._run("apt-get", "-q", "-y", *arguments, directory=directory)

    def _run(self, program: str, *arguments: str, directory: Path | None = None) -> str:
        options = {
            "Dir::State": self._directory / "state",
            "Dir::State::lists": self._lists,
            "Dir::State::status": self._status,
            "Dir::Cache": self._directory / "cache",
            "Acquire::Languages": "none",
            "Acquire::Retries": "3",
            "Debug::NoLocking": "1",
            # Root would download as the user _apt, who may not write to our directories.
            "APT::Sandbox::User": "root" if os.geteuid() == 0 else "",
        }
        given = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
        return tools.run(
            [program, *given, *arguments],
            doing=f"{program} {' '.join(arguments[:4])}",
            directory=directory,
        )


def _name(file: str) -> str:
    return file.partition("_")[0]


def _name_and_version(file: str) -> str:
    name, version, _ = file.split("_")
    return f"{name}={unquote(version)}"
