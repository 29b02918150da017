"""Scaler, dispatcher, workers, domains and Prometheus in one process on virtual time.

Real: the scaler's loop, executor and decisions; the dispatcher's ledger, pump, submissions and
fleet logic; the workers' sessions. Made up: libvirt, Prometheus, every message's way, the guests.
Every choice comes from one seed.
"""

import asyncio
import contextlib
import math
import random
from collections import Counter, deque
from dataclasses import dataclass, field, replace

from scaler.breaker import BreakerSettings
from scaler.decision import Hold, Settings
from scaler.overrides import Override, OverrideKind
from scaler.ports import SignalQuery
from scaler.recommendation import CPU, DEMAND, BacklogPolicy, ReferencePolicy
from scaler.reconciler import Ports, Reconciler
from scaler.records import decision_record, fingerprint
from scaler.stabilization import Limits
from scaler.tracking import Timing
from servicekit.lifecycle import Stop
from tests.simulation.dispatch_world import KEEPALIVE, World
from tests.simulation.pool_checks import Checks, Promises
from tests.simulation.pool_domains import NEVER, OFF, RUNNING, Host
from tests.simulation.pool_ports import FleetPort, HypervisorPort, Life, MetricsPort
from tests.simulation.virtual_loop import pass_time
from tests.simulation.world import LessonsFake

POOL = "default"
TIMING = Timing(
    boot_deadline_seconds=20.0,
    silence_deadline_seconds=40.0,
    worker_return_seconds=15.0,
    drain_deadline_seconds=20.0,
    shutdown_resend_seconds=4.0,
    shutdown_deadline_seconds=12.0,
)
BREAKER = BreakerSettings(first_backoff_seconds=5.0, max_backoff_seconds=20.0)
_TRACE_LINES = 4000


@dataclass
class Faults:
    """What is wrong now."""

    fleet: bool = False
    metrics: str | None = None
    hypervisor: str | None = None
    hypervisor_back: asyncio.Event = field(default_factory=asyncio.Event)
    start_fails: float = 0.0
    start_hangs: tuple = (0.0,)
    boot_fails: float = 0.0
    boots_slowly: bool = False
    is_deaf: bool = False


class PoolWorld(World):
    def __init__(
        self,
        seed,
        *,
        settings=None,
        domains=None,
        slots=None,
        fleet_port=FleetPort,
        tick_seconds=1.0,
    ):
        super().__init__(seed, workers=0)
        dice = self.dice
        self.trace = deque(maxlen=_TRACE_LINES)
        self.slots = slots or dice.choice((1, 2))
        self.prefetch = dice.choice((0, 1, None))
        self.settings = settings or self._some_settings(seed)
        self.faults = Faults()
        self.checks = Checks(self._promises(), self.clock, self)
        self.host = Host(self)
        self.hold = None
        self.life = None
        self.job_seconds = 1.0
        self.lives = 0
        self._lessons = LessonsFake()
        self.last_decision = None
        self.begun = Counter()
        """How often work on a job began, by job."""
        self._scaler = None
        self._fleet_port = fleet_port
        self._tick_seconds = tick_seconds
        self._boots = 0
        self._tasks = {}
        self._samples = deque(maxlen=60)
        self._cpu = {}
        self._connected_since = {}
        for number in range(domains or dice.choice((3, 4, 5))):
            self.host.define(f"d{number}", POOL)
        for name, pool in (("foreign", None), ("theirs", "other")):
            self.host.define(name, pool)
            self.host.start(name, "somebody")
        self.spawn(self._keep_sampling())

    def _some_settings(self, seed):
        dice = self.dice
        most = dice.choice((2, 3, 4))
        policies = dice.choice(((ReferencePolicy(), BacklogPolicy()), (BacklogPolicy(),)))
        limits = Limits(
            min=dice.choice((0, 1, 1, 2)),
            max=most,
            in_window_seconds=dice.choice((5.0, 15.0)),
            in_cooldown_seconds=3.0,
            in_step=dice.choice((1, 1, 2)),
        )
        # As the defaults are now. Drawn apart, so that older seeds still choose what they chose.
        apart = random.Random(f"{seed} settings")
        if apart.choice((True, False)):
            policies = (ReferencePolicy(is_fallback=True), BacklogPolicy())
        if apart.choice((True, False)):
            limits = replace(limits, in_step=None)
        return Settings(POOL, limits, TIMING, BREAKER, policies)

    def _promises(self):
        timing = self.settings.timing
        return Promises(
            POOL,
            self.settings.limits.max,
            timing.boot_deadline_seconds,
            timing.drain_deadline_seconds,
            timing.silence_deadline_seconds,
        )

    # -- the trace -------------------------------------------------------------------------------

    def note(self, text):
        self.trace.append(f"{self.clock.monotonic() - 1000.0:8.2f}  {text}")

    # -- the scaler's process --------------------------------------------------------------------

    def start_scaler(self, dies_at=None):
        self.lives += 1
        self.life = life = Life(self, dies_at)
        self.checks.scaler_began()
        self.note(f"scaler {self.lives} starts")
        ports = Ports(
            MetricsPort(self, life),
            HypervisorPort(self, life, POOL),
            self._fleet_port(self, life),
            _Log(self, life),
            _Holds(self),
            self.clock,
            # A file: what it holds survives the process.
            lessons=self._lessons,
        )
        signals = {name: None for policy in self.settings.policies for name in policy.signals}
        queries = [SignalQuery(name, name) for name in signals]
        reconciler = Reconciler(self.settings, queries, ports, tick_seconds=self._tick_seconds)
        self._scaler = asyncio.ensure_future(reconciler.run(Stop()))

    def kill_scaler(self, why=""):
        """As kill -9. What it has sent may still arrive."""
        if self.life is None or self.life.is_over:
            return
        self.note(f"scaler {self.lives} is killed {why}")
        self.life.is_over = True
        for request in list(self.life.pending):
            if self.dice.random() < 0.5:
                request.cancel()
        self._scaler.cancel()

    @property
    def is_scaler_alive(self):
        return self.life is not None and not self.life.is_over

    def spawn(self, coroutine):
        """Something that happens by itself, whoever dies."""
        task = asyncio.ensure_future(coroutine)
        self._tasks[task] = None
        task.add_done_callback(lambda over: self._tasks.pop(over, None))
        return task

    # -- domains ---------------------------------------------------------------------------------

    def next_boot(self):
        self._boots += 1
        return self._boots

    def boot_seconds(self, domain):
        if domain.pool != POOL:
            return NEVER  # no worker of ours in it
        if self.dice.random() < self.faults.boot_fails:
            return NEVER
        longest = 30.0 if self.faults.boots_slowly else 8.0
        return self.dice.uniform(1.0, longest)

    @property
    def ours(self):
        return [one for one in self.host.domains.values() if one.pool == POOL]

    @property
    def active(self):
        return self.host.active(POOL)

    def worker_of(self, domain):
        worker = domain.worker
        return None if worker is None or not worker.is_alive else worker

    def _sessions(self, name):
        if self.node is None:
            return []
        sessions = self.node.ledger._sessions.values()
        return [one for one in sessions if one.worker_id == name]

    def held(self, domain):
        """Jobs that would have to run again if the domain stopped now."""
        worker = self.worker_of(domain)
        if worker is None:
            return set()
        if self.node is None:
            at_work = worker.session._working
            return {key for key in at_work if not self.disk.jobs[key].state.is_final}
        return {
            key
            for session in self._sessions(domain.name)
            if session.is_connected and session.hello.instance_id == worker.instance_id
            for key, held in session.leases.items()
            if not held.is_settling
        }

    def connected_for(self, domain):
        """Seconds since the dispatcher has the domain's present worker without a break."""
        self._follow_connection(domain, self.clock.monotonic())
        since = self._connected_since.get(domain.name)
        return 0.0 if since is None else self.clock.monotonic() - since[1]

    # -- Prometheus ------------------------------------------------------------------------------

    async def _keep_sampling(self):
        while True:
            self._sample()
            await pass_time(self._tick_seconds)

    def _sample(self):
        now = self.clock.monotonic()
        demand = None
        views = [] if self.node is None else self.node.ledger.workers(now)
        if self.node is not None:
            taking = [one for one in views if one.takes_jobs]
            busy = sum(min(one.working, one.slots) for one in taking)
            waiting = self.node.ledger.counts.ready
            waiting += sum(max(0, one.working - one.slots) for one in taking)
            demand = busy + min(waiting, math.ceil(waiting * self.job_seconds / 5))
        ratios = []
        for domain in self.ours:
            cpu = self._cpu.setdefault(domain.name, deque(maxlen=30))
            if domain.lifecycle != RUNNING:
                cpu.clear()
                continue
            worker = self.worker_of(domain)
            cpu.append(0.5 if worker is None else len(worker._busy) / self.slots)
            ratios.append(sum(cpu) / len(cpu))
        ratio = sum(ratios) / len(ratios) if ratios else None
        self._samples.append((now, ratio, demand))
        for domain in self.ours:
            self._follow_connection(domain, now)

    def _follow_connection(self, domain, now):
        worker = self.worker_of(domain)
        is_there = worker is not None and any(
            one.is_connected and one.hello.instance_id == worker.instance_id
            for one in self._sessions(domain.name)
        )
        known = self._connected_since.get(domain.name)
        if not is_there:
            self._connected_since.pop(domain.name, None)
        elif known is None or known[0] is not worker:
            self._connected_since[domain.name] = (worker, now)

    def signal(self, name):
        """(value or None, age in seconds) of a signal, as late as scrapes and rules make it."""
        until = self.clock.monotonic() - self.dice.choice((0.3, 1.0, 1.5))
        seen = [one for one in self._samples if one[0] <= until]
        if not seen:
            return None, 0.0
        at, ratio, demand = seen[-1]
        age = self.clock.monotonic() - at
        if name == CPU:
            return ratio, age
        if name == DEMAND or demand is None:
            return demand, age
        recent = [one[2] for one in seen[-10:] if one[2] is not None]
        return sum(recent) / len(recent), age

    # -- load ------------------------------------------------------------------------------------

    async def load(self, seconds):
        """Waves of jobs for so long."""
        dice = self.dice
        end = self.clock.monotonic() + seconds
        while self.clock.monotonic() < end:
            self.job_seconds = dice.choice((0.2, 1.0, 3.0))
            for _ in range(dice.choice((1, 3, 6))):
                count = dice.choice((0, 1, 2, 5))
                if count:
                    self.spawn(self.submit(count, self.job_seconds))
                await pass_time(dice.choice((0.2, 1.0, 2.0)))
            await pass_time(dice.choice((0.0, 5.0, 20.0)))

    # -- faults ----------------------------------------------------------------------------------

    async def some_fault(self):
        """One random fault, from its start to its end."""
        dice = self.dice
        kind = dice.choice(_FAULTS)
        seconds = dice.choice((0.3, 3.0, 12.0, 30.0))
        self.note(f"fault: {kind.__name__[1:]} for {seconds:g} s")
        await kind(self, seconds)

    async def _dispatcher_restarts(self, seconds):
        await self.crash(min(seconds, 12.0))

    async def _worker_dies(self, seconds):
        if worker := self._some_worker():
            worker.kill()
            await pass_time(seconds / 4)
            if not worker.is_alive:
                worker.restart()

    async def _worker_freezes(self, seconds):
        if worker := self._some_worker():
            worker.freeze(True)
            await pass_time(seconds * 2)
            if worker.guest.domain.lifecycle == RUNNING and worker.guest.is_on:
                worker.freeze(False)

    async def _link_breaks(self, seconds):
        worker = self._some_worker()
        if worker is not None and worker.link is not None:
            worker.link.cut(self.dice.choice((0.0, KEEPALIVE)))

    async def _link_is_held(self, seconds):
        worker = self._some_worker()
        if worker is not None and worker.link is not None:
            await super().hold(worker.link, seconds)

    async def _disk_is_sick(self, seconds):
        if self.node is not None:
            await self.sick_disk(seconds)

    async def _fleet_messages(self, seconds):
        await self._switch("fleet", True, seconds, False)

    async def _metrics(self, seconds):
        kinds = ("stale", "empty", "nan", "partial", "error", "slow", "mixed")
        kind = self.dice.choice((*kinds, "cpu_only", "demand_only"))
        await self._switch("metrics", kind, seconds, None)

    async def _hypervisor(self, seconds):
        self.faults.hypervisor_back.clear()
        kind = self.dice.choice(("hangs", "away", "restarts"))
        await self._switch("hypervisor", kind, seconds, None)
        self.faults.hypervisor_back.set()

    async def _starts_fail(self, seconds):
        await self._switch("start_fails", self.dice.choice((0.5, 1.0)), seconds, 0.0)

    async def _starts_hang(self, seconds):
        await self._switch("start_hangs", (0.0, 3.0, 25.0, 45.0), seconds, (0.0,))

    async def _boots_fail(self, seconds):
        await self._switch("boot_fails", self.dice.choice((0.5, 1.0)), seconds, 0.0)

    async def _boots_are_slow(self, seconds):
        await self._switch("boots_slowly", True, seconds, False)

    async def _domain_crashes(self, seconds):
        if domain := self._some_active():
            self.dice.choice((self.host.crash, self.host.panic))(domain.name)

    async def _somebody_pauses(self, seconds):
        if domain := self._some_active():
            self.host.pause(domain.name, True)
            await pass_time(seconds)
            self.host.pause(domain.name, False)

    async def _somebody_stops(self, seconds):
        if domain := self._some_active():
            self.dice.choice((self.host.destroy, self.host.press))(domain.name, "somebody")

    async def _somebody_starts(self, seconds):
        off = [one for one in self.ours if one.lifecycle == OFF]
        if off:
            self.host.start(self.dice.choice(off).name, "somebody")

    async def _domain_vanishes(self, seconds):
        """Undefined; later somebody defines one of that name, at times for another pool first."""
        name = self.dice.choice(self.ours).name
        if len(self.ours) <= 2:
            return
        self.host.undefine(name)
        if self.dice.random() < 0.5:
            self.host.define(name, "other")
            self.host.start(name, "somebody")
            await pass_time(seconds)
            self.host.undefine(name)
        await pass_time(seconds)
        self.host.define(name, POOL)

    async def _guest_is_deaf(self, seconds):
        domain = self._some_active()
        guest = None if domain is None else domain.guest
        if guest is not None:
            guest.is_deaf = True
            await pass_time(seconds)
            guest.is_deaf = False

    async def _clock_jumps(self, seconds):
        step = self.dice.choice((-90000.0, -30.0, 30.0, 3600.0))
        self.note(f"the wall clock jumps by {step:g} s")
        self.clock.step += step
        self.checks.clock_stepped()

    async def _scaler_is_killed(self, seconds):
        self.kill_scaler()
        await pass_time(min(seconds, self.dice.choice((0.0, 1.0, 12.0))))
        if not self.is_scaler_alive:
            self.start_scaler()

    async def _scaler_dies_at_an_await(self, seconds):
        self.kill_scaler()
        for _ in range(self.dice.choice((1, 5))):
            if not self.is_scaler_alive:
                self.start_scaler(self.dice.randrange(1, 60))
            life = self.life
            for _ in range(40):
                if life.is_over:
                    break
                await pass_time(0.5)
        if not self.is_scaler_alive:
            self.start_scaler()

    async def _operator_holds(self, seconds):
        self.hold = Hold("somebody", "a test")
        await pass_time(seconds)
        self.hold = None

    async def _operator_cordons(self, seconds):
        domain, node = self._some_active(), self.node
        if domain is None or node is None:
            return
        with contextlib.suppress(Exception, asyncio.CancelledError):
            await node.spawn(node.fleet.cordon(domain.name, "maintenance", None))
        await pass_time(seconds)

    async def _switch(self, name, value, seconds, back):
        setattr(self.faults, name, value)
        await pass_time(seconds)
        setattr(self.faults, name, back)

    def _some_active(self):
        active = self.active
        return self.dice.choice(active) if active else None

    def _some_worker(self):
        domain = self._some_active()
        return None if domain is None else self.worker_of(domain)

    # -- the end ---------------------------------------------------------------------------------

    def check(self):
        self.checks.raise_violation()
        if self._scaler is not None and self._scaler.done() and self.is_scaler_alive:
            self._scaler.result()
            raise AssertionError("the scaler has ended by itself")
        super().check()

    def least(self):
        """Domains that serve an idle pool: none, when nobody asks for one."""
        limits = self.settings.limits
        # As a fallback it has no say while the backlog is known.
        keeps_one = any(
            policy.name == "reference" and not policy.is_fallback
            for policy in self.settings.policies
        )
        return max(limits.min, int(keeps_one))

    def unrest(self):
        """Why the pool is not yet as it should be without load and faults; empty when it is."""
        if self.node is None:
            return "no dispatcher"
        if unfinished := self.node.ledger.counts.unfinished:
            return f"{unfinished} jobs are unfinished"
        if any(not job.state.is_final for job in self.disk.jobs.values()):
            return "results are not stored"
        if len(self.active) != self.least():
            return f"{len(self.active)} domains are active, {self.least()} should be"
        if waiting := [one.name for one in self.ours if one.operation is not None]:
            return f"operations of {waiting} are not settled"
        taking = {one.worker_id for one in self.node.ledger.workers(0.0) if one.takes_jobs}
        if absent := {one.name for one in self.active} - taking:
            return f"workers of {sorted(absent)} take no jobs"
        return ""

    async def end(self):
        self.kill_scaler("at the end")
        for domain in list(self.host.domains.values()):
            if domain.guest is not None:
                domain.guest.cut()
        if self.node is not None:
            await self.node.kill()
        for task in list(self._tasks):
            task.cancel()


_FAULTS = tuple(
    value
    for name, value in vars(PoolWorld).items()
    if asyncio.iscoroutinefunction(value)
    and name.startswith("_")
    and name not in ("_keep_sampling", "_switch")
)


class _Log:
    def __init__(self, world, life):
        self._world, self._life = world, life
        self._told = ()

    def turned(self, turn):
        record = decision_record(turn.decision, turn.wall)
        news = fingerprint(record)
        if news != self._told or record["actions"] or record["incidents"]:
            self.append(record)
        self._told = news

    def append(self, record):
        if self._life.is_over:
            return
        self._world.checks.logged(record)
        if record["type"] == "decision":
            self._world.last_decision = record
        if record["type"] == "result":
            if record["outcome"] != "done":
                error = record["error"]
                self._world.note(
                    f"  {record['action']} {record['domain']}: {record['outcome']} {error}"
                )
        elif record["actions"]:
            actions = ", ".join(
                f"{one['action']} {one['domain']} ({one['reason']})" for one in record["actions"]
            )
            self._world.note(
                f"  decides {record['current']} -> {record['desired']} "
                f"({record['reason']}): {actions}"
            )


class _Holds:
    def __init__(self, world):
        self._world = world

    def active(self):
        hold = self._world.hold
        if hold is None:
            return ()
        return (Override("pause", OverrideKind.PAUSE, hold.author, hold.reason, 0.0),)

    def get(self):
        return self._world.hold

    def set(self, hold):
        self._world.hold = hold
