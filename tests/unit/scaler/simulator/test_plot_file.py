"""The name says the format; what cannot be drawn is told with what to do."""

import sys
from pathlib import Path

import pytest

from scaler.simulator import plot_file
from scaler.simulator.drawing import Paragraphs, Picture
from scaler.simulator.plot_file import PlotError

PAGE = [Paragraphs(("words",))]


@pytest.mark.parametrize("name", ["x.html", "x.HTM"])
def test_writes_html(tmp_path: Path, name: str) -> None:
    plot_file.write(tmp_path / name, "A page", PAGE)
    assert "<h1>A page</h1>" in (tmp_path / name).read_text(encoding="utf-8")


def test_writes_png(tmp_path: Path) -> None:
    plot_file.write(tmp_path / "x.PNG", "A page", PAGE)
    assert (tmp_path / "x.PNG").read_bytes().startswith(b"\x89PNG\r\n")


def test_other_names_are_refused() -> None:
    with pytest.raises(PlotError, match=r"--plot x.svg: .* ends in .html or .png"):
        plot_file.check(Path("x.svg"))


def test_without_pillow_png_says_how_to_get_it_and_html_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(PlotError, match="-m pip install pillow`, or choose a name that ends in"):
        plot_file.check(tmp_path / "x.png")
    plot_file.write(tmp_path / "x.html", "A page", PAGE)


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(PlotError, match="No such file"):
        plot_file.write(tmp_path / "none" / "x.html", "A page", PAGE)


def test_more_than_an_image_holds_is_told(tmp_path: Path) -> None:
    many = [Picture(960, 240, ())] * 80
    with pytest.raises(PlotError, match=r"80 charts .* choose a name that ends in .html"):
        plot_file.write(tmp_path / "x.png", "many", many)
