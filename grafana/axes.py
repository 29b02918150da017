"""Where an axis has its marks, and how a value is written in one of Grafana's units."""

import math

_TIME_STEPS = (
    *(1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200),
    86400,
)
_SCALES = {
    "s": (
        *((1, "ms", 1e3), (60, "s", 1), (3600, "min", 1 / 60)),
        *((86400, "h", 1 / 3600), (math.inf, "d", 1 / 86400)),
    ),
    "bytes": (
        *((2**10, "B", 1), (2**20, "KiB", 2**-10), (2**30, "MiB", 2**-20)),
        (math.inf, "GiB", 2**-30),
    ),
    "Bps": ((1e3, "B/s", 1), (1e6, "kB/s", 1e-3), (1e9, "MB/s", 1e-6), (math.inf, "GB/s", 1e-9)),
    "h": ((1, "min", 60), (math.inf, "h", 1)),
}
"""By unit: up to which size, what it is called, by what the value is multiplied."""
_BASES = {"s": "s", "bytes": "B", "Bps": "B/s", "h": "h"}
_ENDINGS = {"reqps": "req/s", "iops": "io/s", "pps": "p/s"}


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round values that cover low to high, no more than `most` + 1 of them."""
    if high <= low:
        high = low + 1
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(step * place, 12) for place in range(first, last + 1)]


def unit_ticks(low: float, high: float, unit: str, most: int = 5) -> list[float]:
    """Round in what the highest value is written in: minutes, MiB."""
    factor = next((by for limit, _, by in _SCALES.get(unit, ()) if high < limit), 1)
    return [one / factor for one in ticks(low * factor, high * factor, most)]


def whole_ticks(low: float, high: float, most: int = 5) -> list[float]:
    """The same for what is counted: no fractions."""
    found = [one for one in ticks(low, max(high, low + 1), most) if one == int(one)]
    return found if found[-1] >= high else [*found, math.ceil(high)]


def time_ticks(start: float, end: float, most: int = 6) -> list[float]:
    """Round times between start and end."""
    step = next((one for one in _TIME_STEPS if (end - start) / one <= most), _TIME_STEPS[-1])
    first = math.ceil(start / step)
    return [step * place for place in range(first, math.floor(end / step) + 1)]


def written(value: float, unit: str, decimals: int | None = None) -> str:
    """A value as Grafana would show it, or nearly."""
    if not math.isfinite(value):
        return "-"
    if unit == "percentunit":
        return f"{value * 100:.{_places(value * 100, decimals)}f} %"
    if unit.startswith("suffix:"):
        return f"{_plain(value, decimals)} {unit.removeprefix('suffix:').strip()}"
    if unit in _SCALES and value:
        scales = _SCALES[unit]
        name, factor = next((name, by) for limit, name, by in scales if abs(value) < limit)
        return f"{_plain(value * factor, decimals)} {name}"
    if unit in _SCALES:
        return f"0 {_BASES[unit]}"
    ending = _ENDINGS.get(unit, "")
    return f"{_plain(value, decimals)} {ending}".rstrip()


def _places(value: float, decimals: int | None) -> int:
    if decimals is not None:
        return decimals
    size = abs(value)
    if size >= 100 or value == round(value):
        return 0
    return 1 if size >= 10 else 2


def _plain(value: float, decimals: int | None) -> str:
    places = _places(value, decimals)
    text = f"{value:,.{places}f}"
    # What the unit's author did not ask for need not end in zeros.
    return text.rstrip("0").rstrip(".") if decimals is None and "." in text else text
