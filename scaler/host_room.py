"""What the host can still carry. libvirt starts whatever it is told to. Pure.

Two sums must both hold before a domain gets memory: what the kernel says is available, less what
domains that have just begun will still take, and all memory less what the pool's domains may take
at most. The first knows of everything else on the host, the second of memory promised and not yet
touched.
"""

from dataclasses import dataclass, replace

from scaler.pool import DomainState, DomainView, PoolView

_STILL_GROWING = (
    DomainState.STARTING,
    DomainState.BOOTING,
    DomainState.PREPARING,
    DomainState.WAKING,
)


@dataclass(frozen=True, slots=True)
class HostRoom:
    """In bytes, of the host where libvirt runs; None: not known."""

    memory_bytes: int | None = None
    memory_available_bytes: int | None = None
    """Without swapping, caches counted as available."""
    disk_free_bytes: int | None = None
    """Where saved images are kept."""


@dataclass(frozen=True, slots=True)
class HostReserve:
    """What is left to the host, in bytes."""

    memory_bytes: int = 512 * 1024 * 1024
    disk_bytes: int = 1024 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Budget:
    """What may still be given away in this turn, in bytes; None: not known."""

    memory_bytes: int | None = None
    disk_bytes: int | None = None

    def holds(self, domain: DomainView, *, if_unknown: bool) -> bool:
        """Whether the domain's memory fits; a domain that does not tell its size always does."""
        if self.memory_bytes is None:
            return if_unknown
        return domain.memory_bytes <= self.memory_bytes

    def holds_image(self, domain: DomainView) -> bool:
        """Whether a saved image of the domain fits on the disk: it may be as large as its memory.

        An unknown disk holds nothing: a full one would stop more than the scaler.
        """
        return self.disk_bytes is not None and domain.memory_bytes <= self.disk_bytes

    def without(self, domain: DomainView) -> "Budget":
        """After the domain got its memory."""
        if self.memory_bytes is None:
            return self
        return replace(self, memory_bytes=self.memory_bytes - domain.memory_bytes)

    def without_image(self, domain: DomainView) -> "Budget":
        """After the domain's image got its place."""
        if self.disk_bytes is None:
            return self
        return replace(self, disk_bytes=self.disk_bytes - domain.memory_bytes)


def budget(room: HostRoom | None, reserve: HostReserve, pool: PoolView) -> Budget:
    """What may be given away, from what the host says and what is promised already."""
    if room is None:
        return Budget()
    sums = []
    if room.memory_available_bytes is not None:
        growing = sum(one.memory_bytes for one in pool.irregular if one.state in _STILL_GROWING)
        sums.append(room.memory_available_bytes - growing - reserve.memory_bytes)
    if room.memory_bytes is not None:
        sums.append(room.memory_bytes - pool.promised_bytes - reserve.memory_bytes)
    disk = room.disk_free_bytes
    if disk is not None:
        disk -= reserve.disk_bytes
        disk -= sum(one.memory_bytes for one in pool.in_state(DomainState.SAVING))
    return Budget(min(sums, default=None), disk)
