"""What a service consists of, for the builders of packages and images.

Python's packages come from the environment that runs the builder, which is made from the locks:
nothing is downloaded, and each keeps the `.dist-info` by which inventories know it.
"""

import importlib.metadata
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
_GRPC = ("proto/virtscale",)
_OWN = {
    "collector": ("collector", "servicekit"),
    "scaler": ("scaler", "servicekit", *_GRPC),
    "dispatcher": ("dispatcher", "servicekit", *_GRPC),
    "guest": ("guest_worker", *_GRPC),
    "stack": ("stack", "collector", "scaler", "dispatcher", "guest_worker", "servicekit", *_GRPC),
}


def copy_own(service: str, library: Path) -> None:
    """The service's own packages of this checkout."""
    for own in _OWN[service]:
        target = library / Path(own).name
        shutil.copytree(ROOT / own, target, ignore=shutil.ignore_patterns("__pycache__"))


def copy_needed(service: str, project: Mapping[str, Any], library: Path) -> None:
    """The distributions that the service needs; `project` is that table of pyproject.toml."""
    for needed in sorted(_needed(service, project)):
        _copy(importlib.metadata.distribution(needed), library)


def write_facts(project: Mapping[str, Any], library: Path) -> None:
    """By which the service knows its own version, and an inventory the service."""
    facts = library / f"virtscale-{project['version']}.dist-info" / "METADATA"
    facts.parent.mkdir()
    facts.write_text(
        f"Metadata-Version: 2.4\nName: virtscale\nVersion: {project['version']}\n"
        f"License-Expression: {project['license']}\n"
    )


def _needed(service: str, project: Mapping[str, Any]) -> set[str]:
    """Names of the distributions that a service needs, all the way down."""
    extras = project["optional-dependencies"]
    waiting = [*extras[service]]
    if any(own in _GRPC for own in _OWN[service]):
        waiting += project["dependencies"]
    found: set[str] = set()
    seen: set[str] = set()
    while waiting:
        requirement = waiting.pop()
        name = re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0].lower()
        if name == "virtscale":
            for extra in _extras(requirement) - seen:
                seen.add(extra)
                waiting += extras[extra]
            continue
        if name in found or re.search(r"\bextra\b", requirement):
            continue
        try:
            waiting += importlib.metadata.distribution(name).requires or []
        except importlib.metadata.PackageNotFoundError:
            if ";" in requirement:
                continue  # for another platform or an older Python
            text = f"error: {name} is not installed; run this with the Python of .venv"
            raise SystemExit(text) from None
        found.add(name)
    return found


def _extras(requirement: str) -> set[str]:
    named = re.search(r"\[(.*?)\]", requirement)
    return {extra.strip() for extra in named[1].split(",")} if named else set()


def _copy(distribution: importlib.metadata.Distribution, library: Path) -> None:
    for file in distribution.files or ():
        # Programs and manuals lie outside; no service needs either.
        if ".." in file.parts or "__pycache__" in file.parts:
            continue
        target = library / file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(str(distribution.locate_file(file)), target)
