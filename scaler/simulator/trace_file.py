"""A trace as CSV with the columns `seconds,jobs_per_second`. Every fault of a file is found."""

import csv
import math
from collections.abc import Iterable

from scaler.simulator.traces import Trace

COLUMNS = ("seconds", "jobs_per_second")
_MOST_FAULTS = 50


class TraceError(Exception):
    """A trace cannot be used. `faults` holds one sentence per fault."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults
        super().__init__("; ".join(faults))


def parse(name: str, lines: Iterable[str]) -> Trace:
    """The trace in the lines of a file called `name`.

    Its last rate holds as long as the one before.

    Raises:
        TraceError: with every fault found, each with its line number.

    """
    reader = csv.reader(lines)
    try:
        header = next(reader, None)
        if header is None:
            raise TraceError([f"{name}: is empty; its first line must be {','.join(COLUMNS)}"])
        found = tuple(column.strip().lower() for column in header)
        if found != COLUMNS:
            shown = ",".join(header)[:80]
            raise TraceError(
                [f"{name}:1: the columns are {shown!r}; they must be {','.join(COLUMNS)}"]
            )
        return _read(name, reader)
    except (csv.Error, UnicodeDecodeError) as error:
        raise TraceError([f"{name}:{reader.line_num}: not CSV text: {error}"]) from None


def _read(name: str, reader: "Iterable[list[str]]") -> Trace:
    moments: list[float] = []
    rates: list[float] = []
    faults: list[str] = []
    for line, row in enumerate(reader, start=2):
        if not row or not any(cell.strip() for cell in row):
            continue
        if len(row) != len(COLUMNS):
            faults.append(f"{name}:{line}: {len(row)} columns; there must be {len(COLUMNS)}")
            continue
        seconds = _number(name, line, COLUMNS[0], row[0], faults)
        rate = _number(name, line, COLUMNS[1], row[1], faults)
        if seconds is None or rate is None:
            continue
        if moments and seconds <= moments[-1]:
            faults.append(
                f"{name}:{line}: seconds = {row[0].strip()}: must be after {moments[-1]:g}, "
                "the line before"
            )
            continue
        moments.append(seconds)
        rates.append(rate)
    if not faults and len(moments) < 2:
        faults.append(f"{name}: needs at least two lines of values, has {len(moments)}")
    if not faults and not any(rates):
        faults.append(f"{name}: no rate is above 0, so there would be nothing to simulate")
    if faults:
        more = len(faults) - _MOST_FAULTS
        raise TraceError(
            [*faults[:_MOST_FAULTS], f"{name}: and {more} more faults"] if more > 0 else faults
        )
    length = 2 * moments[-1] - moments[-2] - moments[0]
    return Trace(name, tuple(one - moments[0] for one in moments), tuple(rates), length)


def _number(name: str, line: int, column: str, text: str, faults: list[str]) -> float | None:
    shown = text.strip()[:40]
    try:
        value = float(shown)
    except ValueError:
        faults.append(f"{name}:{line}: {column} = {shown!r}: must be a number")
        return None
    if not math.isfinite(value) or value < 0:
        faults.append(f"{name}:{line}: {column} = {shown}: must be 0 or above, and finite")
        return None
    return value
