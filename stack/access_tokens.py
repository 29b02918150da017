"""The dispatcher's tokens file as this machine writes it: one line per token, digests only."""

import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from servicekit.lifecycle import StartError
from stack.certificates import write_private

ROLES = ("submit", "read", "fleet", "admin")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")

_HEAD = (
    "# <name> <role>[,<role>] sha256:<digest of the token> [until:YYYY-MM-DD]\n"
    "# Read again when it changes. Roles: submit, read, fleet, admin (everything).\n"
)


@dataclass(frozen=True)
class Entry:
    """One token without the token."""

    name: str
    roles: tuple[str, ...]
    until: str
    digest: str


def read(path: Path) -> list[Entry]:
    """The file's entries; none when there is no file.

    Raises:
        StartError: the file cannot be read or is not of this form.

    """
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise StartError(f"{path}: cannot be read: {error}") from None
    entries = []
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if not 3 <= len(words) <= 4:
            raise StartError(f"{path}: line {number} is not of the form that its head describes")
        until = words[3].removeprefix("until:") if len(words) == 4 else ""
        entries.append(Entry(words[0], tuple(words[1].split(",")), until, words[2]))
    return entries


def new() -> str:
    """A token that nobody can guess."""
    return "vst_" + secrets.token_urlsafe(32)


def add(path: Path, name: str, roles: Sequence[str], until: str = "") -> str:
    """Makes a token, puts its digest into the file and returns it; an older one is replaced."""
    token = new()
    digest = "sha256:" + hashlib.sha256(token.encode()).hexdigest()
    others = [entry for entry in read(path) if entry.name != name]
    _write(path, [*others, Entry(name, tuple(roles), until, digest)])
    return token


def remove(path: Path, name: str) -> bool:
    """Takes a token out of the file; False when it is not in there."""
    entries = read(path)
    rest = [entry for entry in entries if entry.name != name]
    if len(rest) == len(entries):
        return False
    _write(path, rest)
    return True


def is_of(path: Path, name: str, roles: Sequence[str], token: str) -> bool:
    """Whether the file holds just that token under that name, with those roles."""
    digest = "sha256:" + hashlib.sha256(token.encode()).hexdigest()
    return any(
        entry.name == name and entry.digest == digest and set(entry.roles) == set(roles)
        for entry in read(path)
    )


def _write(path: Path, entries: Sequence[Entry]) -> None:
    lines = [
        f"{entry.name} {','.join(entry.roles)} {entry.digest}"
        + (f" until:{entry.until}" if entry.until else "")
        for entry in entries
    ]
    write_private(path, (_HEAD + "".join(f"{line}\n" for line in lines)).encode())
