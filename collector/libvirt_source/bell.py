"""Wakes who waits for several things at once, but not for each of them."""

import threading


class Bell:
    """Rung from any thread when something has ended; one thread waits."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._rings = 0
        self._awaited = 0
        """0 while nobody waits."""

    def ring(self, _ended: object = None) -> None:
        """Something has ended. It can be the callback of a future."""
        with self._changed:
            self._rings += 1
            if self._rings >= self._awaited > 0:
                self._changed.notify()

    def wait(self, seconds: float, *, rings: int = 1) -> None:
        """Returns after so many rings since the last `wait`, or when the time is up.

        Rings may be for something else than the caller waits for: it has to look and, if need be,
        wait again.
        """
        with self._changed:
            self._awaited = rings
            self._changed.wait_for(lambda: self._rings >= rings, max(0.0, seconds))
            self._rings = self._awaited = 0
