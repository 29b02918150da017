"""Looks at the running stack from outside, again and again, for the table and the summary."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from virtscale.client.errors import DispatcherError
from virtscale.client.values import Backlog, Worker

from servicekit.clock import Clock
from stack import http_api, override_orders, pool_view, scaler_api, scaler_view
from stack.pool_view import Away, DecisionView, Snapshot
from stack.ports import Dispatcher, Domains, DomainsError, DomainView
from stack.scaler_view import ScalerView

_RATE_WINDOW_SECONDS = 10.0
_DECISIONS = 10
_CURVE_POINTS = 120
# Something else may listen where a service was: an answer in another form is no answer.
_MISSHAPEN = (AttributeError, IndexError, KeyError, TypeError, ValueError)

CPU_QUERY = (
    "rate(libvirt_domain_info_cpu_time_seconds_total[5s])"
    " / on (domain) libvirt_domain_info_virtual_cpus"
)
POOL_CPU_QUERY = "pool:libvirt_domain_cpu_utilisation:avg30s"
ALERTS_QUERY = 'ALERTS{alertstate="firing"}'


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
        self._scaler_view = ScalerView()
        self._overrides: tuple[str, ...] = ()
        self._alerts: tuple[str, ...] = ()
        self._curves: dict[str, deque[float | None]] = {}
        self._away: dict[str, Away] = {}
        self._unasked = {"libvirt", "dispatcher", "prometheus", "scaler"}
        self._has_asked_all = asyncio.Event()

    @property
    def pool(self) -> str:
        """Name of the pool."""
        return self._pool

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

    async def wait_for_all(self) -> None:
        """Returns once `follow` has asked every source, whether or not it answered."""
        await self._has_asked_all.wait()

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
            override=self._scaler_view.hold,
            troubles=tuple(
                self._away[name].reason for name in ("libvirt", "dispatcher") if name in self._away
            ),
            scaler=self._scaler_view,
            overrides=self._overrides,
            alerts=self._alerts,
            away=tuple(self._away.values()),
            curves={name: tuple(curve) for name, curve in self._curves.items()},
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

    async def follow(self, *, seconds: float) -> None:
        """Observes for ever, each source by itself: one that hangs holds up no other."""

        async def again(name: str, look: Callable[[], Awaitable[None]]) -> None:
            while True:
                await look()
                self._unasked.discard(name)
                if not self._unasked:
                    self._has_asked_all.set()
                await self._clock.sleep(seconds)

        await asyncio.gather(
            again("libvirt", self._see_domains),
            again("dispatcher", self._see_dispatcher),
            again("prometheus", self._see_prometheus),
            again("scaler", self._see_scaler),
        )

    def _miss(self, name: str, error: Exception) -> None:
        """A source gave no answer; since when is kept while the reason may change."""
        before = self._away.get(name)
        since = self._clock.wall() if before is None else before.since
        is_misshapen = isinstance(error, _MISSHAPEN)
        reason = "something else answers in its place" if is_misshapen else str(error)
        self._away[name] = Away(name, since, reason)

    async def _see_domains(self) -> None:
        if self._domains is None:
            return
        try:
            seen = await self._domains.list_domains()
        except DomainsError as error:
            self._miss("libvirt", error)
            return
        self._away.pop("libvirt", None)
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
            self._miss("dispatcher", error)
            return
        self._away.pop("dispatcher", None)
        self._seen_workers, self._backlog = workers, backlog
        now = self._clock.monotonic()
        self._finished.append((now, backlog.done + backlog.failed))
        while now - self._finished[0][0] > _RATE_WINDOW_SECONDS:
            self._finished.popleft()
        self._on_workers(workers, self._clock.wall())

    async def _see_prometheus(self) -> None:
        try:
            cpu, pool_cpu, alerts = await asyncio.gather(
                http_api.instant(self._prometheus, CPU_QUERY),
                http_api.instant(self._prometheus, f'{POOL_CPU_QUERY}{{pool="{self._pool}"}}'),
                http_api.instant(self._prometheus, ALERTS_QUERY),
            )
        except (http_api.HttpError, *_MISSHAPEN) as error:
            self._miss("prometheus", error)
            self._cpu, self._pool_cpu = {}, None
            self._extend_curves()
            return
        self._away.pop("prometheus", None)
        self._cpu = {labels.get("domain", ""): value for labels, value in cpu}
        self._pool_cpu = pool_cpu[0][1] if pool_cpu else None
        self._alerts = pool_view.alert_names([labels for labels, _ in alerts])
        self._extend_curves()

    def _extend_curves(self) -> None:
        names = {domain.name for domain in self._seen_domains if domain.is_active}
        for name in self._curves.keys() - names:
            del self._curves[name]
        for name in names:
            curve = self._curves.setdefault(name, deque(maxlen=_CURVE_POINTS))
            curve.append(self._cpu.get(name))

    async def _see_scaler(self) -> None:
        try:
            self._decisions = tuple(await scaler_api.decisions(self._scaler, limit=_DECISIONS))
            self._scaler_view = scaler_view.view(await scaler_api.status(self._scaler))
            orders = await scaler_api.order(self._scaler, "GET", "overrides")
            self._overrides = tuple(override_orders.line(one) for one in orders["overrides"])
        except (http_api.HttpError, *_MISSHAPEN) as error:
            self._miss("scaler", error)
            return
        self._away.pop("scaler", None)

    def _rate(self) -> float | None:
        if len(self._finished) < 2:
            return None
        (begin, before), (end, after) = self._finished[0], self._finished[-1]
        return max(0, after - before) / (end - begin) if end > begin else None
