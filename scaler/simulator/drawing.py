"""Pictures as values: what is drawn where, whatever it is written as. Units are pixels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Text:
    """One line of words; `up` is where its letters stand."""

    across: float
    up: float
    words: str
    colour: str = "black"
    anchor: Literal["start", "middle", "end"] = "start"
    """Which part of the words is at `across`."""


@dataclass(frozen=True, slots=True)
class Line:
    """Through all of these points, one after the other."""

    points: Sequence[tuple[float, float]]
    colour: str
    width: float = 1.5


@dataclass(frozen=True, slots=True)
class Disc:
    """A circle, filled and half transparent."""

    across: float
    up: float
    radius: float
    colour: str


@dataclass(frozen=True, slots=True)
class Area:
    """Filled, with these corners; `opacity` from 0 to 1."""

    corners: Sequence[tuple[float, float]]
    colour: str
    opacity: float = 1.0


Mark = Text | Line | Disc | Area


@dataclass(frozen=True, slots=True)
class Picture:
    """Marks on white; (0, 0) is its upper left corner, and later marks lie over earlier ones."""

    width: int
    height: int
    marks: tuple[Mark, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells; the first row is the head, the first column names."""

    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Paragraphs:
    """Words, one paragraph each."""

    texts: Sequence[str]


Section = Picture | Table | Paragraphs
"""A part of a page."""
