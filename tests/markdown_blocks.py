"""What documents show in fenced blocks: commands, files, queries."""

import re
from collections.abc import Iterator
from typing import NamedTuple

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)
_SHELL = ("sh", "bash", "console")


class Block(NamedTuple):
    """One fenced block: the word behind its fence, and its lines."""

    language: str
    text: str


def blocks(markdown: str) -> list[Block]:
    """All blocks that have a language, in order."""
    return [Block(*found) for found in _BLOCK.findall(markdown)]


def commands(markdown: str) -> Iterator[str]:
    """Each command line of the shell blocks; without prompts, comments and here-documents."""
    for block in blocks(markdown):
        if block.language in _SHELL:
            yield from _lines(block.text)


def _lines(text: str) -> Iterator[str]:
    end = None
    for line in text.replace("\\\n", " ").splitlines():
        if end is not None:
            end = None if line == end else end
            continue
        here = re.search(r"<<-?'?(\w+)'?$", line)
        end = here[1] if here else None
        command = line.removeprefix("$ ").split("  #")[0].strip()
        if command and not command.startswith("#"):
            yield command
