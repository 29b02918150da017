"""README.md by its sections, for the tests that type its commands as they stand there."""

import re
from pathlib import Path

from tests.markdown_blocks import commands

DOCUMENT = Path(__file__).resolve().parents[1] / "README.md"
_SECTION = re.compile(r"^## (?P<title>.+)\n(?P<text>(?:(?!## ).*\n?)*)", re.M)
_IN_PASSING = re.compile(r"`((?:\./|deploy/|python |python3 |\.venv/|man |docker )[^`]*)`")


def sections(markdown: str) -> dict[str, str]:
    """Text by heading."""
    return {found["title"]: found["text"] for found in _SECTION.finditer(markdown)}


def commands_under(title: str) -> list[str]:
    """The command lines below a heading, as a reader types them, without what is said of them."""
    text = sections(DOCUMENT.read_text(encoding="utf-8"))[title]
    return [line.partition("  #")[0].rstrip() for line in commands(text)]


def the_one(title: str, beginning: str) -> str:
    """The one command line below a heading that begins so."""
    (line,) = [line for line in commands_under(title) if line.startswith(beginning)]
    return line


def in_passing(markdown: str) -> list[str]:
    """Commands in the running text, such as `./run --help`."""
    return _IN_PASSING.findall(re.sub(r"^```.*?^```$", "", markdown, flags=re.M | re.S))
