"""Sets of job keys as bitmaps: most keys follow one another, and a bit is all each of them costs.

Pure. A set of a million consecutive keys takes 150 kB; a `set` of them takes 60 MB.
"""

from collections.abc import Iterable, Iterator

from dispatcher.jobs import JobKey

BITS = 1024
"""Keys per bitmap. Wider ones would make each change of one bit slower."""

_SHIFT = 10
_MASK = BITS - 1


class KeySet:
    """A set of keys; one bitmap for each 1,024 keys of which any is there."""

    __slots__ = ("_bitmaps", "_size")

    def __init__(self, keys: Iterable[JobKey] = ()) -> None:
        self._bitmaps: dict[int, int] = {}
        self._size = 0
        for key in keys:
            self.add(key)

    def __len__(self) -> int:
        return self._size

    def __contains__(self, key: int) -> bool:
        return bool(self._bitmaps.get(key >> _SHIFT, 0) >> (key & _MASK) & 1)

    def __iter__(self) -> Iterator[JobKey]:
        for chunk in sorted(self._bitmaps):
            bitmap = self._bitmaps[chunk]
            while bitmap:
                lowest = bitmap & -bitmap
                yield JobKey((chunk << _SHIFT) + lowest.bit_length() - 1)
                bitmap ^= lowest

    @property
    def chunks(self) -> Iterable[int]:
        """The multiples of `BITS` with any key: key // BITS."""
        return self._bitmaps

    def has_chunk(self, chunk: int) -> bool:
        """Whether a key of that multiple of `BITS` is there."""
        return chunk in self._bitmaps

    def add(self, key: JobKey) -> None:
        """Adds a key."""
        bitmap = self._bitmaps.get(key >> _SHIFT, 0)
        bit = 1 << (key & _MASK)
        if not bitmap & bit:
            self._bitmaps[key >> _SHIFT] = bitmap | bit
            self._size += 1

    def discard(self, key: JobKey) -> bool:
        """Takes a key out; whether it was there."""
        bitmap = self._bitmaps.get(key >> _SHIFT, 0)
        bit = 1 << (key & _MASK)
        if not bitmap & bit:
            return False
        bitmap ^= bit
        if bitmap:
            self._bitmaps[key >> _SHIFT] = bitmap
        else:
            del self._bitmaps[key >> _SHIFT]
        self._size -= 1
        return True

    def first(self, start: int, end: int) -> JobKey | None:
        """The smallest key from `start` on and before `end`; None when there is none."""
        chunk = start >> _SHIFT
        bitmap = self._bitmaps.get(chunk, 0) >> (start & _MASK) << (start & _MASK)
        while not bitmap and chunk < (end - 1) >> _SHIFT:
            chunk += 1
            bitmap = self._bitmaps.get(chunk, 0)
        if not bitmap:
            return None
        key = (chunk << _SHIFT) + (bitmap & -bitmap).bit_length() - 1
        return JobKey(key) if key < end else None
