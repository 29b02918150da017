"""Drawing with Pillow, whose own letters are used: no font of the machine has a say."""

import io
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import pairwise

from PIL import Image, ImageDraw, ImageFont

from grafana.palette import PAPER, few

Point = tuple[float, float]
_FINE = 3
"""Pixels per unit while drawing. Lines get their smooth edges when the picture is made smaller."""
_SHOWN = 1.6
"""Pixels per unit in the picture."""


@cache
def _letters(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size * _FINE)


@cache
def _few() -> Image.Image:
    colours = [part for colour in few() for part in colour]
    sheet = Image.new("P", (1, 1))
    sheet.putpalette(colours + colours[:3] * (256 - len(colours) // 3))
    return sheet


class Canvas:
    """A sheet in units of about one pixel of a page; (0, 0) is its upper left corner."""

    def __init__(self, width: float, height: float) -> None:
        size = (round(width * _FINE), round(height * _FINE))
        self._sheet = Image.new("RGB", size, PAPER)
        # With transparency: what is drawn is laid over what is there.
        self._draw = ImageDraw.Draw(self._sheet, "RGBA")

    def text(
        self, at: Point, words: str, colour: str, *, size: float = 11, anchor: str = "ls"
    ) -> None:
        """Words; the anchor is Pillow's: `l`, `m` or `r`, then `s` for their base or `m`."""
        place = (at[0] * _FINE, at[1] * _FINE)
        self._draw.text(place, words, fill=colour, font=_letters(size), anchor=anchor)

    @staticmethod
    def width(words: str, size: float = 11) -> float:
        """How wide words are."""
        return float(_letters(size).getlength(words)) / _FINE

    def line(self, points: Sequence[Point], colour: str, width: float = 1.5) -> None:
        """A line through the points."""
        if len(points) > 1:
            scaled = [(x * _FINE, y * _FINE) for x, y in points]
            self._draw.line(scaled, fill=colour, width=round(width * _FINE), joint="curve")

    def dashes(self, points: Sequence[Point], colour: str, width: float = 1.5) -> None:
        """A dashed line through the points."""
        for part in dashed(points, 5.0, 4.0):
            self.line(part, colour, width)

    def area(self, points: Sequence[Point], colour: str, opacity: float) -> None:
        """A filled polygon."""
        if len(points) > 2:
            scaled = [(x * _FINE, y * _FINE) for x, y in points]
            self._draw.polygon(scaled, fill=f"{colour}{round(opacity * 255):02x}")

    def box(
        self, corner: Point, size: Point, colour: str, *, edge: str = "", round_by: float = 0
    ) -> None:
        """A filled rectangle, with an edge if it has a colour."""
        x, y = corner
        box = [x * _FINE, y * _FINE, (x + size[0]) * _FINE, (y + size[1]) * _FINE]
        self._draw.rounded_rectangle(
            box, radius=round_by * _FINE, fill=colour, outline=edge or None, width=_FINE
        )

    def png(self) -> bytes:
        """The picture."""
        factor = _SHOWN / _FINE
        size = (round(self._sheet.width * factor), round(self._sheet.height * factor))
        shown = self._sheet.resize(size, Image.Resampling.LANCZOS)
        written = io.BytesIO()
        shown.quantize(palette=_few(), dither=Image.Dither.NONE).save(written, "PNG", optimize=True)
        return written.getvalue()


def dashed(points: Sequence[Point], on: float, off: float) -> Iterator[list[Point]]:
    """Parts of the line: `on` drawn, `off` left out, around corners too."""
    left, is_on = on, True
    part: list[Point] = list(points[:1])
    for (x, y), (to_x, to_y) in pairwise(points):
        length = ((to_x - x) ** 2 + (to_y - y) ** 2) ** 0.5
        done = 0.0
        while length - done > left:
            done += left
            corner = (x + (to_x - x) * done / length, y + (to_y - y) * done / length)
            if is_on:
                yield [*part, corner]
            part, is_on = [corner], not is_on
            left = on if is_on else off
        left -= length - done
        part.append((to_x, to_y))
    if is_on:
        yield part
