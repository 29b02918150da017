"""Pages as images: what is drawn is there, in its colour and in its place."""

import io

import pytest
from PIL import Image

from scaler.simulator import png
from scaler.simulator.drawing import Area, Disc, Line, Paragraphs, Picture, Table, Text

RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)


def drawn(*sections: Picture | Table | Paragraphs) -> Image.Image:
    image = Image.open(io.BytesIO(png.render("", sections)))
    assert image.format == "PNG"
    return image.convert("RGB")


def extent(image: Image.Image, colour: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """The box of all points of a colour."""
    at = [
        (x, y)
        for y in range(image.height)
        for x in range(image.width)
        if image.getpixel((x, y)) == colour
    ]
    assert at, f"nothing is {colour}"
    xs, ys = zip(*at, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def test_a_line_lies_where_the_picture_has_it_at_twice_the_size() -> None:
    lines = (Line(((10, 20), (60, 20)), "#0000ff"), Line(((10, 5), (10, 35)), "#ff0000"))
    image = drawn(Picture(100, 40, lines))
    left, top, right, bottom = extent(image, RED)
    assert (bottom - top) // 2 == pytest.approx(30, abs=2)
    across = extent(image, BLUE)
    assert across[0] >= left
    assert (across[2] - left) // 2 == pytest.approx(50, abs=2)
    # It begins where the other one has its middle, and later marks lie over earlier ones.
    assert (across[1] - top) // 2 == pytest.approx(15, abs=2)
    assert right - left < 6


def test_a_disc_lets_through_what_lies_below() -> None:
    image = drawn(Picture(100, 40, (Disc(50, 20, 15, "#ff0000"),)))
    found = image.getcolors(1 << 20)
    assert found is not None
    pink = [colour for _, colour in found if colour not in (WHITE, (0, 0, 0))]
    assert any(red == 255 and 80 < green < 130 for red, green, _ in pink)  # type: ignore[misc]


def test_words_tables_and_paragraphs_are_as_high_as_they_must_be() -> None:
    empty = drawn()
    assert extent(drawn(Picture(200, 40, (Text(10, 20, "MMMM", "#ff0000"),))), RED)
    row = ("default", "1", "2.50")
    table = drawn(Table((("policy", "jobs", "p95"), *(row,) * 9)))
    assert table.height - empty.height == pytest.approx(2 * (10 * 20 + 12), abs=2)
    short, long = (drawn(Paragraphs(("word " * count,))) for count in (3, 400))
    assert long.height > short.height + 200
    assert long.width == short.width == empty.width


def test_a_table_wider_than_the_page_makes_the_page_wider() -> None:
    wide = drawn(Table((("x" * 40,) * 12,)))
    assert wide.width > drawn().width


def test_what_no_image_holds_is_refused() -> None:
    with pytest.raises(png.TooLongError, match="80 charts"):
        png.render("many", [Picture(960, 240, ())] * 80)


def test_an_area_is_filled_and_lets_through_what_is_beneath() -> None:
    corners = ((10, 10), (10, 30), (40, 30), (40, 10))
    whole = drawn(Picture(60, 40, (Area(corners, "#ff0000"),)))
    left, top, right, bottom = extent(whole, RED)
    assert ((right - left) // 2, (bottom - top) // 2) == (30, 20)
    beneath = Line(((25, 0), (25, 40)), "#0000ff", 4.0)
    half = drawn(Picture(60, 40, (beneath, Area(corners, "#ff0000", 0.5))))
    assert (128, 0, 127) in {half.getpixel((x, top + 20)) for x in range(left, right)}


def test_words_end_or_stand_where_they_are_told_to() -> None:
    places = {
        anchor: extent(drawn(Picture(200, 30, (Text(100, 20, "wide", "#ff0000", anchor),))), RED)
        for anchor in ("start", "middle", "end")
    }
    width = places["start"][2] - places["start"][0]
    assert places["start"][0] - places["middle"][0] == pytest.approx(width / 2, abs=3)
    assert places["start"][0] - places["end"][0] == pytest.approx(width, abs=4)
