"""Looks for numbers and keys where they must not be: in bytes, files and a process' memory."""

import base64
import re
from collections.abc import Mapping
from pathlib import Path


def spellings(name: str, secret: bytes) -> dict[str, bytes]:
    """A secret as it is, in hex and in base64 at any offset."""
    found = {name: secret, f"{name} in hex": secret.hex().encode()}
    for shift in range(3):
        text = base64.b64encode(b"\0" * shift + secret)
        # The first and last characters depend on what is beside it.
        found[f"{name} in base64, shifted by {shift}"] = text[4 if shift else 0 : -4]
    return found


def found_in(content: bytes, secrets: Mapping[str, bytes]) -> list[str]:
    """Which secrets the bytes hold, in either case."""
    low = content.lower()
    return [name for name, secret in secrets.items() if secret.lower() in low]


def leaks(
    directory: Path, secrets: Mapping[str, bytes], *, skip: tuple[str, ...] = ()
) -> dict[str, list[str]]:
    """Secrets by the file that holds them, in a whole directory; `skip` are parts of paths."""
    found = {}
    for path in sorted(directory.rglob("*")):
        name = str(path.relative_to(directory))
        if path.is_file() and not path.is_symlink() and not name.startswith(skip):
            found[name] = found_in(path.read_bytes(), secrets)
    return {name: names for name, names in found.items() if names}


def memory_leaks(pid: int, secrets: Mapping[str, bytes]) -> dict[str, bytes]:
    """Secrets in a process' own memory, freed or not, with what is around them."""
    found: dict[str, bytes] = {}
    pattern = re.compile(b"|".join(re.escape(secret) for secret in secrets.values()))
    names = {secret: name for name, secret in secrets.items()}
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            place, rights, *_ = line.split()
            if not rights.startswith("rw"):
                continue
            start, end = (int(part, 16) for part in place.split("-"))
            try:
                memory.seek(start)
                content = memory.read(end - start)
            except OSError:
                continue  # a mapping that cannot be read, or is gone
            for match in pattern.finditer(content):
                around = content[max(0, match.start() - 40) : match.end() + 40]
                found.setdefault(names[match[0]], around)
    return found


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
