"""A page as one PNG. Needs Pillow, which brings its own letters: no font of the machine is used."""

import io
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from scaler.simulator.drawing import Area, Disc, Line, Paragraphs, Picture, Section, Table, Text

_SCALE = 2
"""Points of the image per pixel of a picture, for screens and printers that show more."""
_WIDTH, _MARGIN, _GAP = 1000, 20, 12
_LETTER, _TITLE, _ROW = 12, 24, 20
_ANCHORS = {"start": "ls", "middle": "ms", "end": "rs"}
_MOST_POINTS = 30_000
"""Higher than what programs that show images take well."""


class TooLongError(ValueError):
    """More charts than one image holds. The text says how many there are."""


def render(title: str, sections: Sequence[Section]) -> bytes:
    """The title and all sections, one below the other, as wide as the widest.

    Raises:
        TooLongError: it would be higher than an image may be.

    """
    parts = [_title(title), *map(_part, sections)]
    width = max(_WIDTH * _SCALE, *(part.width for part in parts)) + 2 * _MARGIN * _SCALE
    height = sum(part.height + _GAP * _SCALE for part in parts) + 2 * _MARGIN * _SCALE
    if height > _MOST_POINTS:
        raise TooLongError(f"{len(sections)} charts and tables are more than one image holds")
    sheet = Image.new("RGB", (width, height), "white")
    top = _MARGIN * _SCALE
    for part in parts:
        sheet.paste(part, (_MARGIN * _SCALE, top))
        top += part.height + _GAP * _SCALE
    written = io.BytesIO()
    sheet.save(written, "PNG", optimize=True)
    return written.getvalue()


def _letters(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size * _SCALE)


def _sheet(width: float, height: float) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    sheet = Image.new("RGB", (round(width * _SCALE), round(height * _SCALE)), "white")
    # With transparency: what is drawn is laid over what is there.
    return sheet, ImageDraw.Draw(sheet, "RGBA")


def _title(words: str) -> Image.Image:
    sheet, draw = _sheet(_WIDTH, _TITLE + 8)
    draw.text((0, _TITLE * _SCALE), words, fill="black", font=_letters(_TITLE), anchor="ls")
    return sheet


def _part(section: Section) -> Image.Image:
    match section:
        case Picture():
            return _picture(section)
        case Table(rows):
            return _table(rows)
        case Paragraphs(texts):
            return _paragraphs(texts)


def _picture(picture: Picture) -> Image.Image:
    sheet, draw = _sheet(picture.width, picture.height)
    letters = _letters(_LETTER)
    for mark in picture.marks:
        match mark:
            case Text(across, up, words, colour, anchor):
                at = (across * _SCALE, up * _SCALE)
                draw.text(at, words, fill=colour, font=letters, anchor=_ANCHORS[anchor])
            case Area(corners, colour, opacity):
                scaled = [(x * _SCALE, y * _SCALE) for x, y in corners]
                draw.polygon(scaled, fill=f"{colour}{round(opacity * 255):02x}")
            case Line(points, colour, width):
                scaled = [(x * _SCALE, y * _SCALE) for x, y in points]
                draw.line(scaled, fill=colour, width=round(width * _SCALE), joint="curve")
            case Disc(across, up, radius, colour):
                box = [(one * _SCALE) for one in (across - radius, up - radius)]
                box += [(one * _SCALE) for one in (across + radius, up + radius)]
                draw.ellipse(box, fill=f"{colour}99")
    return sheet


def _table(rows: Sequence[Sequence[str]]) -> Image.Image:
    letters = _letters(_LETTER)
    columns = range(len(rows[0]))
    widths = [max(letters.getlength(row[at]) for row in rows) / _SCALE for at in columns]
    gap = 14
    sheet, draw = _sheet(sum(widths) + gap * len(widths), _ROW * len(rows))
    for number, row in enumerate(rows):
        base = (_ROW * number + _LETTER) * _SCALE
        right = 0.0
        for at, cell in enumerate(row):
            left, right = right, right + widths[at] + gap
            # Names stand at the left, numbers below each other at the right.
            place, anchor = (left, "ls") if at == 0 else (right - gap, "rs")
            draw.text((place * _SCALE, base), cell, fill="black", font=letters, anchor=anchor)
    return sheet


def _paragraphs(texts: Sequence[str]) -> Image.Image:
    letters = _letters(_LETTER)
    lines: list[str] = []
    for text in texts:
        line = ""
        for word in text.split():
            longer = f"{line} {word}".strip()
            if line and letters.getlength(longer) > _WIDTH * _SCALE:
                lines.append(line)
                longer = word
            line = longer
        lines.append(line)
    sheet, draw = _sheet(_WIDTH, _ROW * max(1, len(lines)))
    for number, line in enumerate(lines):
        base = (_ROW * number + _LETTER) * _SCALE
        draw.text((0, base), line, fill="black", font=letters, anchor="ls")
    return sheet
