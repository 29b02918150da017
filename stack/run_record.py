"""What happened to the pool during a run, from observations made outside the services."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from virtscale.client.values import Worker

from stack.ports import DomainView

_LEAVING = frozenset({"drain", "shutdown", "destroy"})


@dataclass(frozen=True)
class DomainStart:
    """One start of a domain. Times are Unix seconds."""

    name: str
    called_at: float
    hello_at: float | None = None

    @property
    def hello_seconds(self) -> float | None:
        """Start call to Hello."""
        return None if self.hello_at is None else self.hello_at - self.called_at


@dataclass
class RunRecord:
    """Fed with every observation; answers at the end. `least` is the pool's minimum."""

    least: int
    peak_domains: int = 0
    scale_outs: int = 0
    scale_ins: int = 0
    starts: list[DomainStart] = field(default_factory=list)
    lost_domains: int = 0
    """Domains that went away without anybody asking them to."""
    first_lease_at: dict[str, float] = field(default_factory=dict)
    """Per worker: when it first held a lease."""
    two_busy_seconds: float = 0.0
    two_busy_cpu_seconds: float = 0.0
    _active: dict[str, DomainView] = field(default_factory=dict)
    _is_first: bool = True
    _last: tuple[float, float, bool] | None = None

    def observe_domains(self, domains: Sequence[DomainView], *, now: float) -> None:
        """Takes the pool's domains as they are at Unix time `now`."""
        active = {domain.name: domain for domain in domains if domain.is_active}
        inactive = {domain.name: domain for domain in domains if not domain.is_active}
        stayed = {
            name
            for name in self._active.keys() & active.keys()
            if not _has_started_again(self._active[name], active[name])
        }
        for name in self._active.keys() - stayed:
            if _was_asked_to_leave(self._active[name], inactive.get(name)):
                self.scale_ins += 1
            else:
                self.lost_domains += 1
        count = len(stayed)
        for name in sorted(active.keys() - stayed):
            if not self._is_first:
                # Filling the pool to its minimum, also after a loss, is no scale-out.
                self.scale_outs += count >= self.least
                self.starts.append(DomainStart(name, _called_at(active[name], now)))
            count += 1
        self._active = active
        self._is_first = False
        self.peak_domains = max(self.peak_domains, len(active))

    def observe_workers(self, workers: Sequence[Worker], *, now: float) -> None:
        """Takes the dispatcher's workers as they are at Unix time `now`."""
        for worker in workers:
            if worker.oldest_lease_at is not None:
                at = worker.oldest_lease_at
            elif worker.leases or worker.completed:
                at = now
            else:
                at = None
            if at is not None:
                known = self.first_lease_at.get(worker.worker_id)
                self.first_lease_at[worker.worker_id] = at if known is None else min(known, at)
            if worker.connected_at is not None:
                self._greet(worker.worker_id, worker.connected_at)

    def observe_cpu(self, services_cpu_seconds: float, *, busy_workers: int, now: float) -> None:
        """Takes the CPU time that the services used so far; `now` is monotonic."""
        are_two_busy = busy_workers >= 2
        if self._last is not None:
            at, cpu, were_two_busy = self._last
            if are_two_busy and were_two_busy:
                self.two_busy_seconds += now - at
                self.two_busy_cpu_seconds += services_cpu_seconds - cpu
        self._last = (now, services_cpu_seconds, are_two_busy)

    def first_scale_out_seconds(self, first_queued_at: float | None) -> float | None:
        """From the first queued job to the first job leased by a second domain."""
        if first_queued_at is None or len(self.first_lease_at) < 2:
            return None
        second = sorted(self.first_lease_at.values())[1]
        return max(0.0, second - first_queued_at)

    @property
    def two_busy_cpu_ratio(self) -> float | None:
        """CPU seconds of the services per second while two guests were busy."""
        if self.two_busy_seconds < 1.0:
            return None
        return self.two_busy_cpu_seconds / self.two_busy_seconds

    def _greet(self, name: str, connected_at: float) -> None:
        for position in range(len(self.starts) - 1, -1, -1):
            start = self.starts[position]
            if start.name == name:
                if start.hello_at is None and connected_at >= start.called_at:
                    self.starts[position] = DomainStart(name, start.called_at, connected_at)
                return


def _has_started_again(before: DomainView, after: DomainView) -> bool:
    """Whether a domain that runs was away between two looks: it carries another start.

    One that boots for standby is made to serve by a start, too, while it goes on booting.
    """
    if after.operation != "start" or before.operation == "prepare":
        return False
    return before.operation != "start" or before.operation_since != after.operation_since


def _was_asked_to_leave(before: DomainView, after: DomainView | None) -> bool:
    """Whether a domain that is gone went because of a request.

    An idle domain drains and powers off within a second: both looks may miss the operation, but
    not how it went down.
    """
    if before.operation in _LEAVING or before.state == "stopping":
        return True
    return after is not None and (after.operation in _LEAVING or after.powered_off_in_order)


def _called_at(domain: DomainView, now: float) -> float:
    if domain.operation == "start" and domain.operation_since is not None:
        return min(domain.operation_since, now)
    return now
