"""`--plot FILE`: HTML with nothing but this program, PNG with Pillow."""

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

from scaler.simulator import plot
from scaler.simulator.drawing import Section

_HTML, _PNG = (".html", ".htm"), (".png",)


class PlotError(ValueError):
    """It cannot be drawn. The text says why and what to do."""


def check(path: Path) -> None:
    """Raises `PlotError` when nothing of this name could be drawn here."""
    kind = path.suffix.lower()
    if kind not in (*_HTML, *_PNG):
        raise PlotError(
            f"--plot {path}: HTML and PNG are drawn; choose a name that ends in .html or .png"
        )
    if kind in _PNG and importlib.util.find_spec("PIL") is None:
        raise PlotError(
            f"--plot {path}: PNG needs the package pillow, which is not installed here: run "
            f"`{sys.executable} -m pip install pillow`, or choose a name that ends in .html"
        )


def write(path: Path, title: str, sections: Sequence[Section]) -> None:
    """Draws, and writes the file, in the format that its name says.

    Raises:
        PlotError: it cannot be drawn or written.

    """
    check(path)
    try:
        path.write_bytes(_drawn(path, title, sections))
    except OSError as error:
        raise PlotError(f"--plot {path}: {error.strerror}") from None


def _drawn(path: Path, title: str, sections: Sequence[Section]) -> bytes:
    if path.suffix.lower() in _HTML:
        return plot.page(title, sections).encode()
    from scaler.simulator import png

    try:
        return png.render(title, sections)
    except png.TooLongError as error:
        raise PlotError(f"--plot {path}: {error}; choose a name that ends in .html") from None
