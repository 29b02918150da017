"""Random licence numbers, the same ones for the same seed."""

from collections.abc import Callable
from typing import Literal

Format = Literal["hyphens", "plate", "bharat", "legacy"]
"""`hyphens` KA-47-UT-9173, `plate` KA47UT9173, `bharat` 22BH9173UT: all valid. `legacy` is what the
reference program makes: district 00, number 0000 and the letters I and O as well; a dispatcher
takes those only with the number format `in-legacy`."""

PREFIXES = (
    *("AN", "AP", "AR", "AS", "BR", "CG", "CH", "DD", "DL", "DN", "GA", "GJ", "HP"),
    *("HR", "JH", "JK", "KA", "KL", "LA", "LD", "MH", "ML", "MN", "MP", "MZ", "NL"),
    *("OD", "PB", "PY", "RJ", "SK", "TN", "TS", "UK", "UP", "WB", "TR"),
)
"""The registration prefixes of the 37 states and territories."""

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
# Series leave out the letters that read as digits.
_SERIES_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
_FIRST_BHARAT_YEAR = 21
_BHARAT_YEARS = 5


class NumberGenerator:
    """Makes numbers from a source of uniform values in [0, 1), such as `Random(seed).random`."""

    def __init__(self, draw: Callable[[], float], form: Format = "hyphens") -> None:
        self._draw = draw
        self._form = form

    def next(self) -> str:
        """One number."""
        if self._form == "legacy":
            # The reference allows every letter and every digit, 00 and 0000 included.
            return (
                f"{self._pick(PREFIXES)}-{self._below(100):02d}-"
                f"{self._pick(_LETTERS)}{self._pick(_LETTERS)}-{self._below(10_000):04d}"
            )
        series = self._pick(_SERIES_LETTERS) + self._pick(_SERIES_LETTERS)
        serial = 1 + self._below(9_999)
        if self._form != "bharat":
            dash = "-" if self._form == "hyphens" else ""
            district = f"{1 + self._below(99):02d}"
            return dash.join((self._pick(PREFIXES), district, series, f"{serial:04d}"))
        return f"{_FIRST_BHARAT_YEAR + self._below(_BHARAT_YEARS)}BH{serial:04d}{series}"

    def _below(self, bound: int) -> int:
        return int(self._draw() * bound)

    def _pick(self, choices: tuple[str, ...] | str) -> str:
        return choices[self._below(len(choices))]
