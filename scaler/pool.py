"""Domains, workers and the pool they make up, as values. Times are on the clock of `now`."""

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import accumulate
from operator import attrgetter


class Lifecycle(StrEnum):
    """What the hypervisor says of a domain."""

    OFF = "off"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPING = "stopping"
    CRASHED = "crashed"


class OperationKind(StrEnum):
    """What the scaler is doing with a domain; kept in the domain's metadata."""

    START = "start"
    DRAIN = "drain"
    SHUTDOWN = "shutdown"
    DESTROY = "destroy"
    PREPARE = "prepare"
    """Boots cordoned, to become a standby domain."""
    SUSPEND = "suspend"
    """Its guest is, or is being, suspended as standby."""
    SAVE = "save"
    """Its guest is, or is being, saved to disk as standby."""
    RESUME = "resume"
    """Woken from memory."""
    RESTORE = "restore"
    """Woken from its saved image, which may be used up since."""


POWER_ONS = (OperationKind.START, OperationKind.PREPARE, OperationKind.RESTORE)
"""Operations whose call powers a domain on."""


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation in flight. `token` is that of the scaler which began it."""

    kind: OperationKind
    since: float
    token: int


@dataclass(frozen=True, slots=True)
class DomainRecord:
    """A domain of the pool as the hypervisor knows it. `cause` says why it is in its lifecycle."""

    name: str
    lifecycle: Lifecycle
    cause: str = ""
    operation: Operation | None = None
    token: int = 0
    generation: str = ""
    """The image that it runs, was saved with, or would run when it is off; empty: not known."""
    defined_generation: str = ""
    """The image that its next start boots."""
    kept_generation: str = ""
    """The image of the definition that last worked, of which a copy is kept; empty: none is."""
    has_saved_image: bool = False
    """A saved image of its memory exists. Told only of domains that are off and were saved, or
    restored, by the scaler."""
    memory_bytes: int = 0
    """The most memory its guest may take; 0: not told."""
    foreign_scaler: str = ""
    """The other scaler that it belongs to; empty: it is ours, or nobody's."""
    is_unclaimed: bool = False
    """No scaler has put its name into the domain's metadata."""


class WorkerState(StrEnum):
    """What the dispatcher says of a worker."""

    READY = "ready"
    CORDONED = "cordoned"
    DRAINING = "draining"
    DISCONNECTED = "disconnected"


@dataclass(frozen=True, slots=True)
class WorkerRecord:
    """A worker as the dispatcher knows it; for a pool domain `worker_id` is the domain's name."""

    worker_id: str
    state: WorkerState
    slots: int = 1
    busy_slots: int = 0
    leases: int = 0
    connected_since: float | None = None
    oldest_lease_since: float | None = None
    silent_seconds: float | None = field(default=None, compare=False)
    """Since its last sign of life; None: not told. It changes with every answer, and by itself
    nothing has changed."""


class DomainState(StrEnum):
    """What a domain is to the pool. Every domain of the pool is in exactly one state."""

    OFF = "off"
    STARTING = "starting"
    BOOTING = "booting"
    READY = "ready"
    SILENT = "silent"
    CORDONED = "cordoned"
    DRAINING = "draining"
    SHUTTING_DOWN = "shutting_down"
    PAUSED = "paused"
    FAILED = "failed"
    WAKING = "waking"
    PREPARING = "preparing"
    SUSPENDING = "suspending"
    SAVING = "saving"
    STANDBY_PAUSED = "standby_paused"
    STANDBY_SAVED = "standby_saved"
    QUARANTINED = "quarantined"
    """Another scaler's, and in any lifecycle but off."""
    QUARANTINED_OFF = "quarantined_off"


SERVING = frozenset(
    {
        DomainState.STARTING,
        DomainState.BOOTING,
        DomainState.READY,
        DomainState.SILENT,
        DomainState.WAKING,
    }
)
"""States that count as capacity: a domain that works, or is expected to within its deadline."""

LEAVING = frozenset({DomainState.DRAINING, DomainState.SHUTTING_DOWN})
"""States on the way to OFF."""

QUARANTINE = (DomainState.QUARANTINED, DomainState.QUARANTINED_OFF)
"""States of domains that are another scaler's: seen and counted, never touched."""

_WITHOUT_MEMORY = (DomainState.OFF, DomainState.STANDBY_SAVED, DomainState.QUARANTINED_OFF)


class ActionKind(StrEnum):
    """What the scaler can do to a domain."""

    START = "start"
    DRAIN = "drain"
    CANCEL_DRAIN = "cancel_drain"
    SHUTDOWN = "shutdown"
    DESTROY = "destroy"
    SETTLE = "settle"
    KEEP_DEFINITION = "keep_definition"
    ROLL_BACK = "roll_back"
    PREPARE = "prepare"
    SUSPEND = "suspend"
    SAVE = "save"
    RESUME = "resume"
    RESTORE = "restore"
    DISCARD = "discard"
    CLAIM = "claim"
    """Puts the scaler's name into the metadata of a domain that has none."""


@dataclass(frozen=True, slots=True)
class DomainView:
    """A domain with everything a plan needs to know about it."""

    name: str
    state: DomainState
    lifecycle: Lifecycle
    cause: str = ""
    operation: Operation | None = None
    worker: WorkerRecord | None = None
    in_flight: ActionKind | None = None
    """The action that is being carried out now and has not reported back."""
    failures: int = 0
    """Boots that failed since the last good one."""
    shutdown_sent_at: float | None = None
    silent_since: float | None = None
    generation: str = ""
    """See `DomainRecord`."""
    defined_generation: str = ""
    kept_generation: str = ""
    is_start_doubtful: bool = False
    """It is off, but a start call without an answer may still be carried out."""
    memory_bytes: int = 0
    foreign_scaler: str = ""
    is_unclaimed: bool = False

    @property
    def is_active(self) -> bool:
        """True when it holds host resources, or is about to."""
        return self.state not in _WITHOUT_MEMORY

    @property
    def is_outdated(self) -> bool:
        """True when it runs another image than its definition names."""
        is_known = self.generation != "" and self.defined_generation != ""
        return is_known and self.generation != self.defined_generation

    @property
    def is_proof(self) -> bool:
        """True when its worker works, so the image of its definition does, and no copy is kept."""
        generation = self.generation
        is_current = generation != "" and generation == self.defined_generation
        return is_current and generation != self.kept_generation and self.state is DomainState.READY

    @property
    def is_asked_again(self) -> bool:
        """True when the call in doubt is that of its operation, which therefore stays as it is."""
        operation = self.operation
        return self.is_start_doubtful and operation is not None and operation.kind in POWER_ONS

    @property
    def is_regular(self) -> bool:
        """True when it is off or works, claimed, nothing under way with it, its image in order.

        Such a domain concerns a plan only when more or fewer domains are wanted.
        """
        return (
            (self.state is DomainState.READY or self.state is DomainState.OFF)
            and self.operation is None
            and self.in_flight is None
            and not self.is_start_doubtful
            and not self.is_outdated
            and not self.is_proof
            and not self.is_unclaimed
        )

    @property
    def leases(self) -> int:
        """Jobs its worker holds."""
        return 0 if self.worker is None else self.worker.leases


@dataclass(frozen=True, slots=True)
class Capacity:
    """Slots of the domains that serve, which may differ in size."""

    sums: tuple[float, ...]
    """Slots of the smallest 0, 1, 2 ... domains."""
    mean: float
    """Slots of a domain that is not there yet."""

    def domains_for(self, slots: float) -> int:
        """Fewest domains that surely have so many slots.

        The smallest are counted first, so that it does not matter which one a scale-in takes;
        beyond them come domains of the mean size.
        """
        # Sums of floats that should be a whole number must not cost a domain more.
        enough = slots - 1e-9 * self.mean
        count = bisect_left(self.sums, enough)
        if count < len(self.sums):
            return count
        return len(self.sums) - 1 + math.ceil((enough - self.sums[-1]) / self.mean)


class Shape:
    """What is derived from a pool's domains and does not change while workers merely work.

    Places are those in `PoolView.domains`. Found when first asked for, and handed on from turn to
    turn by `PoolView.changed`: looking through all domains for each question of each policy and
    plan used to be most of a turn.
    """

    __slots__ = (
        "active",
        "capacities",
        "current",
        "generations",
        "irregular",
        "leaving",
        "places",
        "promised",
        "ready",
    )

    def __init__(self, counts: Counter[DomainState]) -> None:
        count = counts.get
        self.current = sum(count(state, 0) for state in SERVING)
        self.ready = count(DomainState.READY, 0)
        self.leaving = sum(count(state, 0) for state in LEAVING)
        self.active = counts.total() - sum(count(state, 0) for state in _WITHOUT_MEMORY)
        self.places: dict[DomainState, list[int]] | None = None
        self.irregular: list[int] | None = None
        self.generations: frozenset[str] | None = None
        self.promised: int | None = None
        self.capacities: dict[float, Capacity] = {}


def _shape_key(view: DomainView) -> tuple[object, ...]:
    """All that `Shape` is made from."""
    slots = None if view.worker is None else view.worker.slots
    return view.state, slots, view.generation, view.memory_bytes, view.is_regular


@dataclass(frozen=True, slots=True)
class PoolView:
    """The pool at one moment, domains in the order of their names. Made by `of` or `changed`."""

    domains: tuple[DomainView, ...]
    counts: Counter[DomainState]
    shape: Shape = field(compare=False, repr=False)

    @classmethod
    def of(cls, domains: Iterable[DomainView]) -> "PoolView":
        """Sorts and counts."""
        ordered = tuple(sorted(domains, key=attrgetter("name")))
        counts = Counter(map(attrgetter("state"), ordered))
        return cls(ordered, counts, Shape(counts))

    def changed(self, domains: Sequence[DomainView], places: Collection[int]) -> "PoolView":
        """The pool after the domains at these places have changed; names and order are the same.

        No place comes twice.
        """
        before = self.domains
        for place in places:
            old, new = before[place], domains[place]
            if old is not new and _shape_key(old) != _shape_key(new):
                return self._reshaped(domains, places)
        return PoolView(tuple(domains), self.counts, self.shape)

    def _reshaped(self, domains: Sequence[DomainView], places: Collection[int]) -> "PoolView":
        counts = Counter(map(attrgetter("state"), domains))
        shape = Shape(counts)
        known = self.shape.irregular
        if known is not None:
            others = [place for place in known if place not in places]
            changed = [place for place in places if not domains[place].is_regular]
            shape.irregular = sorted(others + changed)
        return PoolView(tuple(domains), counts, shape)

    def count(self, *states: DomainState) -> int:
        """Domains in any of `states`."""
        count = self.counts.get
        return sum(count(state, 0) for state in states)

    def in_state(self, state: DomainState) -> list[DomainView]:
        """Domains in a state."""
        places = self.shape.places
        if places is None:
            places = self.shape.places = {}
            for place, domain in enumerate(self.domains):
                places.setdefault(domain.state, []).append(place)
        return [self.domains[place] for place in places.get(state, ())]

    @property
    def irregular(self) -> list[DomainView]:
        """Domains that are not regular."""
        places = self.shape.irregular
        if places is None:
            places = self.shape.irregular = [
                place for place, domain in enumerate(self.domains) if not domain.is_regular
            ]
        return [self.domains[place] for place in places]

    @property
    def generations(self) -> frozenset[str]:
        """Images of the domains whose worker takes jobs, as far as they are known."""
        found = self.shape.generations
        if found is None:
            ready = self.in_state(DomainState.READY)
            found = self.shape.generations = frozenset(one.generation for one in ready) - {""}
        return found

    @property
    def promised_bytes(self) -> int:
        """The most memory that active domains may take."""
        if self.shape.promised is None:
            self.shape.promised = sum(one.memory_bytes for one in self.domains if one.is_active)
        return self.shape.promised

    @property
    def current(self) -> int:
        """Current capacity: domains that serve, or will once booted."""
        return self.shape.current

    @property
    def ready(self) -> int:
        """Domains whose worker takes jobs."""
        return self.shape.ready

    @property
    def active(self) -> int:
        """Domains that hold memory, in whatever state: what the ceiling counts."""
        return self.shape.active

    @property
    def leaving(self) -> int:
        """Domains on their way to OFF."""
        return self.shape.leaving

    def slots_per_domain(self, default: float) -> float:
        """Mean slots of the workers that take jobs; `default` when there is none."""
        slots = [
            domain.worker.slots
            for domain in self.in_state(DomainState.READY)
            if domain.worker is not None
        ]
        return max(1.0, sum(slots) / len(slots)) if slots else default

    def capacity(self, default: float) -> Capacity:
        """Slots of the domains that serve. `default` is the size while no worker tells one."""
        found = self.shape.capacities.get(default)
        if found is None:
            mean = self.slots_per_domain(default)
            sizes = sorted(
                float(domain.worker.slots) if domain.worker is not None else mean
                for domain in self.domains
                if domain.state in SERVING
            )
            found = Capacity(tuple(accumulate(sizes, initial=0.0)), mean)
            self.shape.capacities[default] = found
        return found
