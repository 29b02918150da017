"""How long request ids are kept, by a wall clock that may jump. Pure; times are seconds.

The wall clock alone would forget an id of a minute ago when somebody sets the clock forward by two
days, and the repeated request would be accepted a second time. It is believed once this process has
seen it run evenly for as long as ids are promised to be kept.
"""

_PROMISED = 24 * 3600.0
_WITHOUT_TRUST = 7 * _PROMISED
_EVEN = 60.0


class RequestAge:
    """Compares the wall clock with the monotonic one."""

    def __init__(self, *, wall: float, monotonic: float) -> None:
        self._wall = wall
        self._monotonic = monotonic

    def forget_before(self, *, wall: float, monotonic: float) -> float:
        """The wall time of acceptance before which ids may go."""
        even = monotonic - self._monotonic
        if abs(wall - self._wall - even) > _EVEN:
            self._wall, self._monotonic, even = wall, monotonic, 0.0
        return wall - (_PROMISED if even >= _PROMISED else _WITHOUT_TRUST)
