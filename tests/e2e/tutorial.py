"""The tutorial as steps: what its text tells a reader to type, in order."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.e2e import machine

DOCUMENT = machine.ROOT / "docs" / "TUTORIAL.md"
FOLDER = "/tmp/tutorial"
STATE = "/var/lib/virtscale"

_BLOCK = re.compile(r"^## (?P<title>[^\n]+)$|^```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.M | re.S)


class Step(NamedTuple):
    """One block under a heading: `sh` is typed in a shell, `input` where `./run` runs."""

    title: str
    kind: str
    text: str


def steps(*, folder: Path, state: Path) -> Iterator[Step]:
    """Every block that a reader types, with the places of this machine."""
    title = ""
    for match in _BLOCK.finditer(DOCUMENT.read_text(encoding="utf-8")):
        title = match["title"] or title
        if match["kind"] in ("sh", "input"):
            text = match["text"].replace(FOLDER, str(folder)).replace(STATE, str(state))
            yield Step(title, match["kind"], text)
