"""What Prometheus answers."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Series:
    """Labels, and (Unix time, value) in order of time; values may be NaN."""

    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]
