"""Text in a terminal's cells: what fits, what is cut, bars and small curves. Pure."""

import unicodedata
from collections.abc import Iterable, Sequence

from rich.cells import cell_len

Span = tuple[str, str]
"""Text, and its style as rich writes it; the style may be empty."""
Line = tuple[Span, ...]

CUT = "…"
BLANK = "·"
_CURVE = "▁▂▃▄▅▆▇█"


def printable(text: str) -> str:
    """The text without what could steer a terminal: names and reasons are anybody's.

    Control characters, and the invisible ones that turn the direction of writing, become `?`.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join("?" if unicodedata.category(char)[0] == "C" else char for char in text)


def width(text: str) -> int:
    """Cells that the text takes."""
    return cell_len(text)


def fit(text: str, cells: int) -> str:
    """The text, or as much of its beginning as fits with a mark that something is missing."""
    if width(text) <= cells:
        return text
    if cells <= 0:
        return ""
    return _first(text, cells - 1) + CUT


def fit_name(name: str, cells: int) -> str:
    """The same for a name, whose end tells it from others as much as its beginning."""
    if width(name) <= cells or cells < 5:
        return fit(name, cells)
    end = _first(name[::-1], (cells - 1) // 2)[::-1]
    return _first(name, cells - 1 - width(end)) + CUT + end


def left(text: str, cells: int) -> str:
    """The text in exactly so many cells, at their left."""
    fitting = fit(text, cells)
    return fitting + " " * (cells - width(fitting))


def right(text: str, cells: int) -> str:
    """The text in exactly so many cells, at their right."""
    fitting = fit(text, cells)
    return " " * (cells - width(fitting)) + fitting


def cut(line: Line, cells: int) -> Line:
    """The line in at most so many cells."""
    if sum(width(text) for text, _ in line) <= cells:
        return line
    kept: list[Span] = []
    for text, style in line:
        if width(text) > cells - 1:
            # What follows is missing too, even where this piece would just fill the line.
            kept.append((fit(text + " ", cells) if cells > 0 else "", style))
            return tuple(kept)
        kept.append((text, style))
        cells -= width(text)
    return tuple(kept)


def flow(pieces: Iterable[Span], cells: int, *, between: str = "  ") -> list[Line]:
    """The pieces one after the other, in as many lines as they need."""
    lines: list[list[Span]] = []
    used = 0
    for text, style in pieces:
        text = fit(text, cells)
        needed = width(between) + width(text)
        if lines and used + needed <= cells:
            lines[-1] += [(between, ""), (text, style)]
            used += needed
        else:
            lines.append([(text, style)])
            used = width(text)
    return [tuple(line) for line in lines]


def folded(text: str, cells: int, *, indent: str = "  ") -> list[str]:
    """The text in lines, broken between words where it can be; later lines are indented."""
    if cells < width(indent) + 2:
        return [fit(text, cells)]
    lines: list[str] = []
    line = ""
    for word in text.split(" "):
        while True:
            before = indent if lines else ""
            room = cells - width(before)
            joined = f"{line} {word}" if line else word
            if width(joined) <= room:
                line = joined
                break
            # What has no room begins the next line; a word longer than a line is broken.
            part = line or _first(word, room)
            lines.append(before + part)
            word = word if line else word[len(part) :]
            line = ""
    return [*lines, (indent if lines else "") + line]


def bar(ratio: float, cells: int) -> str:
    """`####----`."""
    filled = max(0, min(cells, round(ratio * cells)))
    return "#" * filled + "-" * (cells - filled)


def curve(ratios: Sequence[float | None], cells: int) -> str:
    """The newest `cells` values as blocks of eight heights; a missing one is no low one."""
    newest = ratios[-cells:] if cells > 0 else ()
    top = len(_CURVE) - 1
    drawn = "".join(
        BLANK if ratio is None else _CURVE[max(0, min(top, round(ratio * top)))] for ratio in newest
    )
    return " " * (cells - len(drawn)) + drawn


def duration(seconds: float) -> str:
    """`12 s`, `3 m 05 s`, `2 h 04 m`, `5 d 03 h`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3_600:
        return f"{whole // 60} m {whole % 60:02} s"
    if whole < 86_400:
        return f"{whole // 3_600} h {whole % 3_600 // 60:02} m"
    return f"{whole // 86_400} d {whole % 86_400 // 3_600:02} h"


def _first(text: str, cells: int) -> str:
    taken = 0
    for position, char in enumerate(text):
        taken += width(char)
        if taken > cells:
            return text[:position]
    return text
