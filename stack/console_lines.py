"""What a line typed into the running console means."""

import math
from dataclasses import dataclass
from typing import Literal

HELP = (
    "a number: new mean seconds between requests | pause, resume: hold scaling | "
    "status: print the table | terminate: finish and end | help"
)
_LONGEST_DELTA = 86_400.0
_SHORTEST_DELTA = 0.0001
Word = Literal["pause", "resume", "status", "terminate", "help"]
_WORDS: tuple[Word, ...] = ("pause", "resume", "status", "terminate", "help")


@dataclass(frozen=True)
class Line:
    """A line understood."""

    kind: Literal["delta", "pause", "resume", "status", "terminate", "help", "nothing", "hint"]
    delta: float = 0.0
    hint: str = ""


def understand(text: str) -> Line:
    """The meaning of a line; nonsense becomes a hint, never an error."""
    word = text.strip().lower()
    if not word:
        return Line("nothing")
    for known in _WORDS:
        if word == known:
            return Line(known)
    try:
        delta = float(word.replace(",", "."))
    except ValueError:
        return Line("hint", hint=f"not understood; type {HELP}")
    if not math.isfinite(delta) or not _SHORTEST_DELTA <= delta <= _LONGEST_DELTA:
        return Line("hint", hint="the mean time between requests must be 0.0001 to 86400 seconds")
    return Line("delta", delta=delta)


class LineEditor:
    """Collects key presses of a terminal without its own line editing."""

    def __init__(self) -> None:
        self.text = ""
        self._escape = False

    def feed(self, keys: str) -> list[str]:
        """Takes pressed keys; returns the lines that they finished."""
        lines = []
        for key in keys:
            if self._escape:
                # Arrow keys and the like: ESC [ letters; they end with a letter or a tilde.
                self._escape = not (key.isalpha() or key == "~")
            elif key == "\x1b":
                self._escape = True
            elif key in "\r\n":
                lines.append(self.text)
                self.text = ""
            elif key in "\x7f\b":
                self.text = self.text[:-1]
            elif key == "\x15":
                self.text = ""
            elif key.isprintable():
                self.text += key
        return lines
