"""Looks at the running stack from outside, again and again, for the table and the summary."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence

from virtscale.client.errors import DispatcherError
from virtscale.client.values import Backlog, Worker

from servicekit.clock import Clock
from stack import http_api, pool_view, scaler_api
from stack.pool_view import DecisionView, Snapshot
from stack.ports import Dispatcher, Domains, DomainsError, DomainView

_RATE_WINDOW_SECONDS = 10.0
_DECISIONS = 5

CPU_QUERY = (
    "rate(libvirt_domain_info_cpu_time_seconds_total[5s])"
    " / on (domain) libvirt_domain_info_virtual_cpus"
)
POOL_CPU_QUERY = "pool:libvirt_domain_cpu_utilisation:avg30s"


class Monitor:
    """`snapshot` is the last look; `observe` takes the next one."""

    def __init__(
        self,
        *,
        dispatcher: Dispatcher,
        domains: Domains | None,
        scaler: str,
        prometheus: str,
        pool: str,
        clock: Clock,
        on_domains: Callable[[Sequence[DomainView], float], None] = lambda *_: None,
        on_workers: Callable[[Sequence[Worker], float], None] = lambda *_: None,
    ) -> None:
        """The callbacks get what was seen and the Unix time."""
        self._dispatcher = dispatcher
        self._domains = domains
        self._scaler = scaler
        self._prometheus = prometheus
        self._pool = pool
        self._clock = clock
        self._on_domains = on_domains
        self._on_workers = on_workers
        self._seen_domains: Sequence[DomainView] = ()
        self._seen_workers: Sequence[Worker] = ()
        self._active_since: dict[str, float] = {}
        self._backlog: Backlog | None = None
        self._finished: deque[tuple[float, int]] = deque()
        self._cpu: dict[str, float] = {}
        self._pool_cpu: float | None = None
        self._decisions: tuple[DecisionView, ...] = ()
        self._override = ""
        self._troubles: dict[str, str] = {}

    @property
    def busy_workers(self) -> int:
        """Workers that hold a lease."""
        return sum(worker.leases > 0 or worker.busy_slots > 0 for worker in self._seen_workers)

    @property
    def connected_workers(self) -> int:
        """Workers whose session is open."""
        return sum(worker.state != "disconnected" for worker in self._seen_workers)

    @property
    def slots(self) -> int:
        """Slots of the first connected worker: its vCPUs; 0 when there is none."""
        return next((w.slots for w in self._seen_workers if w.state != "disconnected"), 0)

    async def observe_pool(self) -> None:
        """Domains, workers and backlog: what the summary is made from."""
        await asyncio.gather(self._see_domains(), self._see_dispatcher())

    async def observe_signals(self) -> None:
        """CPU and decisions: what only the table shows."""
        await asyncio.gather(self._see_prometheus(), self._see_scaler())

    def snapshot(self) -> Snapshot:
        """What was seen last."""
        now = self._clock.wall()
        return Snapshot(
            at=now,
            rows=pool_view.rows(
                self._seen_domains, self._seen_workers, self._cpu, self._active_since, now
            ),
            backlog=self._backlog,
            results_per_second=self._rate(),
            pool_cpu_ratio=self._pool_cpu,
            decisions=self._decisions,
            override=self._override,
            troubles=tuple(self._troubles.values()),
        )

    async def run(self, *, seconds: float) -> None:
        """Observes for ever; cancel it."""
        turn = 0
        while True:
            await self.observe_pool()
            if turn % 2 == 0:
                await self.observe_signals()
            turn += 1
            await self._clock.sleep(seconds)

    async def _see_domains(self) -> None:
        if self._domains is None:
            return
        try:
            seen = await self._domains.list_domains()
        except DomainsError as error:
            self._troubles["libvirt"] = str(error)
            return
        self._troubles.pop("libvirt", None)
        now = self._clock.wall()
        for domain in seen:
            if domain.is_active:
                self._active_since.setdefault(domain.name, now)
            else:
                self._active_since.pop(domain.name, None)
        self._seen_domains = seen
        self._on_domains(seen, now)

    async def _see_dispatcher(self) -> None:
        try:
            workers, backlog = await asyncio.gather(
                self._dispatcher.workers(), self._dispatcher.backlog()
            )
        except DispatcherError as error:
            self._troubles["dispatcher"] = str(error)
            return
        self._troubles.pop("dispatcher", None)
        self._seen_workers, self._backlog = workers, backlog
        now = self._clock.monotonic()
        self._finished.append((now, backlog.done + backlog.failed))
        while now - self._finished[0][0] > _RATE_WINDOW_SECONDS:
            self._finished.popleft()
        self._on_workers(workers, self._clock.wall())

    async def _see_prometheus(self) -> None:
        try:
            cpu, pool_cpu = await asyncio.gather(
                http_api.instant(self._prometheus, CPU_QUERY),
                http_api.instant(self._prometheus, f'{POOL_CPU_QUERY}{{pool="{self._pool}"}}'),
            )
        except http_api.HttpError:
            self._cpu, self._pool_cpu = {}, None
            return
        self._cpu = {labels.get("domain", ""): value for labels, value in cpu}
        self._pool_cpu = pool_cpu[0][1] if pool_cpu else None

    async def _see_scaler(self) -> None:
        with contextlib.suppress(http_api.HttpError):
            self._decisions = tuple(await scaler_api.decisions(self._scaler, limit=_DECISIONS))
            self._override = await scaler_api.override(self._scaler)

    def _rate(self) -> float | None:
        if len(self._finished) < 2:
            return None
        (begin, before), (end, after) = self._finished[0], self._finished[-1]
        return max(0, after - before) / (end - begin) if end > begin else None
