"""What must be true of scaler and dispatcher together, judged from outside.

Imports nothing of either: it knows the world's truth, the decision log as plain data, and the
numbers that an operator has configured.
"""

from collections import Counter
from dataclasses import dataclass

# A stop of a domain that holds leases is right only for one of these reasons, and when it is true.
LATE_DRAIN, LATE_BOOT, SILENT, GONE = (
    "drain_deadline",
    "boot_deadline",
    "worker_silent",
    "worker_gone",
)
_EXCUSES = frozenset(
    {LATE_DRAIN, LATE_BOOT, SILENT, GONE, "guest_crashed", "shutdown_deadline", "operator"}
)
_RESENT = "shutdown_resent"
_SEEN_WITHIN_SECONDS = 8.0
"""A worker that has been connected for so long is seen by a scaler that acts on what it sees."""


class ViolationError(AssertionError):
    """A promise is broken. The text says which."""


@dataclass(frozen=True)
class Promises:
    """The configuration that the promises depend on."""

    pool: str
    max: int
    boot_deadline_seconds: float
    drain_deadline_seconds: float
    silence_deadline_seconds: float


class Checks:
    """Told of everything that happens; keeps the first violation."""

    def __init__(self, promises, clock, world):
        self.promises = promises
        self.violation = None
        self.counts = Counter()
        self._clock, self._world = clock, world
        self._why = {}
        self._recorded = {}
        self._stepped_at = float("-inf")
        self._scaler_began_at = float("-inf")

    # What happens.

    def scaler_began(self):
        self._scaler_began_at = self._clock.monotonic()

    def clock_stepped(self):
        self._stepped_at = self._clock.monotonic()

    def recorded(self, domain):
        """An operation was written into the domain's metadata."""
        self._recorded[domain.name] = (domain.operation, self._clock.monotonic())

    def started(self, domain, by):
        self._why.pop(domain.name, None)
        if by == "scaler":
            self.counts["starts"] += 1
            self._ours(domain, "started")
        active = self._world.host.active(self.promises.pool)
        others = sum(one.started_by != "scaler" for one in active)
        if len(active) - others > self.promises.max:
            names = ", ".join(f"{one.name} {one.lifecycle}" for one in active)
            self._fail(f"{len(active)} domains are active, {self.promises.max} may be: {names}")

    def stopping(self, domain, how, by):
        if by != "scaler":
            self._why[domain.name] = "operator"
            return
        self._ours(domain, "stopped")
        why = self._why.get(domain.name, "no recorded reason")
        held = self._world.held(domain)
        if held and why not in _EXCUSES:
            self._fail(f"{how} of {domain.name} ({why}) while its worker holds {sorted(held)}")
        self.counts[f"{how} {why}"] += 1

    def went_off(self, domain):
        self._why.pop(domain.name, None)

    def logged(self, record):
        """A record of the decision log."""
        if record["type"] != "decision":
            return
        if record["hold"] is not None and record["actions"]:
            self._fail(f"acts while held: {record['actions']}")
        for action in record["actions"]:
            self._decided(action["action"], action["domain"], action["reason"], record)

    # What must be true.

    def _decided(self, action, name, reason, record):
        if reason == "scale_in":
            self.counts["scale_ins"] += 1
            unknown = [one for one, is_ in record["signals"].items() if is_["kind"] != "known"]
            # More than the maximum are too many whatever the load.
            if unknown and record["current"] <= self.promises.max:
                self._fail(f"scales in with {unknown} not known")
        if action not in ("shutdown", "destroy"):
            return
        if reason != _RESENT:
            self._why[name] = reason
        domain = self._world.host.domains.get(name)
        if domain is None or domain.guest is None:
            return
        if reason in (LATE_DRAIN, LATE_BOOT):
            self._is_late(name, reason)
        if reason in (LATE_BOOT, SILENT):
            connected = self._world.connected_for(domain)
            if connected > _SEEN_WITHIN_SECONDS:
                self._fail(f"{reason} of {name}, whose worker is there for {connected:.1f} s")

    def _is_late(self, name, reason):
        promised = {
            LATE_DRAIN: self.promises.drain_deadline_seconds,
            LATE_BOOT: self.promises.boot_deadline_seconds,
        }[reason]
        _, recorded_at = self._recorded.get(name, (None, float("-inf")))
        waited = self._clock.monotonic() - recorded_at
        # Only metadata cross a restart, and a wall clock that jumped makes them useless.
        is_excused = self._stepped_at > recorded_at and self._scaler_began_at > recorded_at
        if waited < promised - 0.5 and not is_excused:
            self._fail(f"{reason} of {name} after {waited:.1f} of {promised:g} s")

    def _ours(self, domain, done):
        if domain.pool != self.promises.pool:
            self._fail(f"{done} {domain.name}, which is of pool {domain.pool}")

    def _fail(self, text):
        self._world.note(f"VIOLATION: {text}")
        if self.violation is None:
            self.violation = text

    def raise_violation(self):
        if self.violation is not None:
            raise ViolationError(self.violation)
