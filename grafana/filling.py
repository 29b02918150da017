"""What Grafana puts in place of the variables in a query."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

_STEPS = (1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600, 7200, 10800, 21600)


class UnfilledError(ValueError):
    """A variable that nobody gave a value. The text names it."""


@dataclass(frozen=True)
class Window:
    """The shown time, in Unix seconds, and the distance of the points that are asked for."""

    start: float
    end: float
    step: int
    scrape_seconds: int = 1
    """The data source's setting: the interval at which Prometheus scrapes."""

    @classmethod
    def fitting(cls, start: float, end: float, points: int, scrape_seconds: int = 1) -> "Window":
        """With the smallest of Grafana's steps that needs no more points than that."""
        least = max((end - start) / points, scrape_seconds)
        step = next((one for one in _STEPS if one >= least), math.ceil(least / 86400) * 86400)
        return cls(start, end, step, scrape_seconds)

    @property
    def values(self) -> dict[str, str]:
        """Grafana's own variables."""
        length = max(1, round(self.end - self.start))
        rate = max(self.step + self.scrape_seconds, 4 * self.scrape_seconds)
        return {
            "__interval": f"{self.step}s",
            "__interval_ms": str(self.step * 1000),
            "__rate_interval": f"{rate}s",
            "__range": f"{length}s",
            "__range_s": str(length),
        }


def filled(expr: str, window: Window, chosen: Mapping[str, str]) -> str:
    """The query with every variable replaced.

    Raises:
        UnfilledError: a variable is neither Grafana's own nor chosen.

    """
    values = {**chosen, **window.values}

    def value(found: re.Match[str]) -> str:
        name = found[1] or found[2]
        if name not in values:
            raise UnfilledError(f"${name} has no value in {expr}")
        return values[name]

    return re.sub(r"\$(?:{(\w+)}|(\w+))", value, expr)
