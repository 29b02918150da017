"""One run of the stack from start to end: bring up, load, console, wind down, summary."""

import asyncio
import contextlib
import random
import resource
import secrets
from typing import Any

from virtscale.client.asynchronous import AsyncClient
from virtscale.client.errors import DispatcherError
from virtscale.client.retries import ONCE

from servicekit import logs
from servicekit.clock import Clock
from servicekit.lifecycle import StartError, Stop
from servicekit.tls import TokenFile
from stack import (
    endpoints,
    guests,
    http_api,
    scaler_api,
    site_secrets,
    summary,
    verification,
    wind_down,
)
from stack.arrivals import Arrivals
from stack.bring_up import BringUp
from stack.calibration import NO_LOAD, JobLoad
from stack.console import Console
from stack.journal import Journal
from stack.listeners import HOST
from stack.load import LoadGenerator, highest_rate
from stack.monitor import Monitor
from stack.paths import StateDirectory
from stack.ports import Domains
from stack.run_record import RunRecord
from stack.run_report import ReportFile, RunReport
from stack.screen import Screen
from stack.settings import DEFAULT_DIFFICULTY, UpSettings

_RENEW_SECONDS = 86_400.0
_IMAGE_SECONDS = 2.0
_OBSERVE_SECONDS = 0.5
_FIRST_GUEST_SECONDS = 120.0
_FINISH_SECONDS = 180.0
_DRAIN_SECONDS = 10.0
_FAST_DRAIN_SECONDS = 1.0
_SHUTDOWN_SECONDS = 40.0
_FAST_SHUTDOWN_SECONDS = 8.0
_STOP_ORDER = ("collector", "alertmanager", "prometheus", "dispatcher", "libvirtd")


class UpSession:
    """Runs once; returns the exit code."""

    def __init__(
        self,
        settings: UpSettings,
        state: StateDirectory,
        *,
        screen: Screen,
        clock: Clock,
        summary_file: summary.SummaryFile | None,
        report_file: ReportFile | None,
        began_at: float,
    ) -> None:
        """`began_at` is the Unix time at which the command began."""
        self._settings = settings
        self._state = state
        self._screen = screen
        self._clock = clock
        self._summary_file = summary_file
        self._report_file = report_file
        self._run_report = RunReport(state, report_file, tell=screen.tell)
        self._began_at = began_at
        seed = secrets.randbits(63) if settings.seed is None else settings.seed
        draw = random.Random(seed).random
        self._bring_up = BringUp(
            settings, state, screen=screen, clock=clock, on_pool=self._watch_pool
        )
        self._journal = Journal(prefix=f"up-{secrets.token_hex(4)}-", draw=draw)
        self._record = RunRecord(least=settings.min)
        site_secrets.ensure(state, clock.wall())
        self._client = AsyncClient(
            f"{HOST}:{settings.port('dispatcher_port')}",
            token=TokenFile(site_secrets.of(state).token_file(site_secrets.UP)).read,
            retry=ONCE,
        )
        self._load = LoadGenerator(
            self._client, clock=clock, journal=self._journal, draw=draw, profile=settings.profile
        )
        self._tasks: list[asyncio.Task[Any]] = []
        self._monitor: Monitor | None = None
        self._is_up = False

    async def run(self, stop: Stop) -> int:
        """Brings up, works, winds down. Failures to start are shown and give exit code 1."""
        failure = ""
        try:
            bringing = asyncio.create_task(self._bring_up.run(began_at=self._began_at))
            if await _first(bringing, stop):
                self._is_up = True
                await self._work(stop)
        except StartError as error:
            failure = str(error)
        finally:
            code = await asyncio.shield(asyncio.ensure_future(self._end(stop, failure)))
        return code

    async def _watch_pool(self, domains: Domains) -> None:
        """Begins to look before the first domain can start: the summary needs to see it."""
        settings = self._settings
        self._monitor = Monitor(
            dispatcher=self._client,
            domains=domains,
            scaler=f"{HOST}:{settings.port('scaler_port')}",
            prometheus=f"{HOST}:{settings.port('prometheus_port')}",
            pool=settings.pool,
            clock=self._clock,
            on_domains=lambda seen, now: self._record.observe_domains(seen, now=now),
            on_workers=lambda seen, now: self._record.observe_workers(seen, now=now),
        )
        await self._monitor.observe_pool()
        self._spawn(self._monitor.run(seconds=_OBSERVE_SECONDS), self._account())

    async def _work(self, stop: Stop) -> None:
        settings = self._settings
        self._tell_where()
        assert self._monitor is not None
        console = Console(
            self._screen,
            self._monitor,
            clock=self._clock,
            stop=stop,
            describe_load=self._describe_load,
            set_delta=self._set_delta,
            hold=self._hold,
        )
        self._spawn(console.run(), self._renew(), self._follow_image())
        if not settings.no_load:
            self._spawn(self._feed(), self._load.follow())
        if settings.for_seconds is not None:
            self._spawn(self._end_after(settings.for_seconds, stop))
        await stop.wait()

    async def _renew(self) -> None:
        """Once a day, for a stack that runs for months."""
        while True:
            await self._clock.sleep(_RENEW_SECONDS)
            try:
                await self._bring_up.renew()
            except StartError as error:
                logs.get().error("certificates.not_renewed", reason=str(error))

    async def _follow_image(self) -> None:
        """Defines the domains anew when another image was built; the scaler replaces them."""
        stack, tried = self._bring_up.stack, self._bring_up.stack.generation
        while tried:
            await self._clock.sleep(_IMAGE_SECONDS)
            newest = await asyncio.to_thread(guests.newest_generation, self._state)
            if newest in ("", tried):
                continue
            tried = newest
            try:
                await self._bring_up.renew()
            except StartError as error:
                self._screen.tell(f"the new image {newest[:19]} cannot be used: {error}")
                continue
            self._screen.tell(f"the new image {stack.generation[:19]} rolls through the pool")

    async def _feed(self) -> None:
        """Waits for the first guest, chooses the load, submits."""
        arrivals = Arrivals(self._settings.delta, self._settings.shape, 0.0)
        deadline = self._clock.monotonic() + _FIRST_GUEST_SECONDS
        while self._settings.min and not self._monitor_workers():
            if self._clock.monotonic() > deadline:
                self._screen.tell(
                    f"no guest has reported after {_FIRST_GUEST_SECONDS:.0f} s; jobs are queued "
                    f"all the same; see {self._state.log('scaler')} and the domains' consoles"
                )
                break
            await self._clock.sleep(0.1)
        load = self._fixed_load()
        if load is None:
            try:
                load = await self._load.calibrate(
                    highest_rate=highest_rate(arrivals),
                    slots=self._monitor.slots if self._monitor else 1,
                )
            except DispatcherError as error:
                self._screen.tell(f"the load cannot be chosen: {error}")
                load = NO_LOAD
        self._screen.tell(f"load: {load.describe()} per job")
        self._load.begin(
            Arrivals(self._settings.delta, self._settings.shape, self._clock.monotonic()), load
        )
        await self._load.run()

    def _monitor_workers(self) -> int:
        return self._monitor.connected_workers if self._monitor else 0

    def _fixed_load(self) -> JobLoad | None:
        """The load the user chose; None for the measured one."""
        kind, amount = self._settings.load, self._settings.difficulty
        if kind == "auto":
            return None
        if kind == "none":
            return NO_LOAD
        return JobLoad(kind, DEFAULT_DIFFICULTY[kind] if amount is None else amount)

    async def _end_after(self, seconds: float, stop: Stop) -> None:
        await self._clock.sleep(seconds)
        stop.request(f"--for {seconds:g}")

    async def _account(self) -> None:
        """CPU time of the services, beside how many guests are busy."""
        while True:
            self._record.observe_cpu(
                sum(self._bring_up.stack.supervisor.cpu_seconds().values()),
                busy_workers=self._monitor.busy_workers if self._monitor else 0,
                now=self._clock.monotonic(),
            )
            await self._clock.sleep(1.0)

    async def _end(self, stop: Stop, failure: str) -> int:
        """Ends everything that was begun; whatever fails on the way, the rest is still ended."""
        is_orderly = self._is_up and (stop.reason == "terminate" or stop.reason.startswith("--for"))
        urgency = asyncio.create_task(self._hurry_when_urgent(stop))
        stack = self._bring_up.stack
        if failure:
            self._screen.close_table()
        elif stop.is_requested:
            self._screen.tell(f"stopping ({stop.reason}); again: at once")
        self._load.stop()
        if is_orderly:
            await wind_down.finish_jobs(
                self._load,
                lambda: len(self._journal.outstanding),
                clock=self._clock,
                stop=stop,
                seconds=_FINISH_SECONDS,
            )
        self._load.stop_urgently()
        await self._cancel_tasks()
        await stack.supervisor.stop("scaler")
        if self._wants_report(stop):
            self._run_report.begin(since=stack.services_at)
        if self._monitor is not None:
            # What the scaler did since the last look is still of its doing; what follows is ours.
            await self._monitor.observe_pool()
        left = await self._power_off(stop, is_orderly)
        outcome = await self._judge(left, stopped_early=not is_orderly)
        await self._run_report.finish(stop)
        await self._stop_services()
        urgency.cancel()
        if failure:
            self._screen.tell(f"error: {failure}")
        return self._report(outcome, stop, failed=bool(failure))

    def _wants_report(self, stop: Stop) -> bool:
        """When it was asked for, or a person sits there who has ended the run in order."""
        if not self._is_up or stop.is_urgent:
            return False
        is_watched = self._screen.is_terminal and stop.reason == "terminate"
        return self._report_file is not None or is_watched

    async def _power_off(self, stop: Stop, is_orderly: bool) -> list[str]:
        """Drains and shuts down every pool domain; names of those still running."""
        stack = self._bring_up.stack
        if stack.domains is None:
            return []
        if self._is_up and not stop.is_urgent:
            await wind_down.drain_workers(
                self._client, seconds=_DRAIN_SECONDS if is_orderly else _FAST_DRAIN_SECONDS
            )
        left = await wind_down.shut_down_domains(
            stack.domains,
            clock=self._clock,
            stop=stop,
            seconds=_SHUTDOWN_SECONDS if is_orderly else _FAST_SHUTDOWN_SECONDS,
            tell=self._screen.tell,
        )
        if self._settings.define and stack.generation and not left:
            with contextlib.suppress(StartError):
                await asyncio.to_thread(guests.undefine, stack.uri, self._settings.pool)
        return left

    async def _judge(self, left: list[str], *, stopped_early: bool) -> summary.Outcome:
        """Compares our books with the dispatcher's."""
        lost = 0
        if self._is_up:
            with contextlib.suppress(DispatcherError):
                await self._load.reconcile()
            for job_id in self._journal.outstanding:
                try:
                    await self._client.get(job_id)
                except DispatcherError as error:
                    lost += error.code == "NOT_FOUND"
            with contextlib.suppress(DispatcherError):
                wrong = await verification.wrong_results(self._client, self._journal.sample)
                lost += len(wrong)
        return summary.Outcome(
            lost=lost,
            duplicated=self._journal.duplicated,
            domains_left_running=len(left),
            stopped_early=stopped_early,
        )

    async def _stop_services(self) -> None:
        await self._client.close()
        stack = self._bring_up.stack
        if stack.domains is not None:
            stack.domains.close()
        endpoints.remove(self._state)
        *parallel, last = _STOP_ORDER
        await asyncio.gather(*(stack.supervisor.stop(name) for name in parallel))
        await stack.supervisor.stop(last)
        if self._settings.url is None:
            await asyncio.to_thread(guests.cleanup, self._state)

    async def _hurry_when_urgent(self, stop: Stop) -> None:
        await stop.wait_urgent()
        self._screen.tell("at once: open jobs stay stored, power is cut")
        self._load.stop_urgently()

    async def _cancel_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()
        for result in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(result, Exception):
                logs.get().error("up.task_failed", error=repr(result))
        self._screen.close_table()

    def _report(self, outcome: summary.Outcome, stop: Stop, *, failed: bool) -> int:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        stack = self._bring_up.stack
        facts = summary.Facts(
            elapsed_seconds=self._clock.wall() - self._began_at,
            began_at=self._began_at,
            services_cpu_seconds=stack.supervisor.cpu_seconds(),
            restarts=stack.supervisor.restarts(),
            own_cpu_seconds=usage.ru_utime + usage.ru_stime,
            acceleration=stack.acceleration,
            image_generation=stack.generation,
            stop_reason="failed to start" if failed else stop.reason,
        )
        document = summary.build(self._journal, self._record, outcome, facts)
        if self._summary_file is not None:
            self._summary_file.write(document)
        if self._is_up:
            self._screen.tell(summary.sentence(document))
            if self._screen.is_terminal and not self._wants_report(stop):
                self._screen.tell("a page of this run is written by: virtscale report")
        return 0 if summary.is_good(document) and not failed else 1

    def _tell_where(self) -> None:
        settings = self._settings
        self._screen.tell(
            f"dispatcher {HOST}:{settings.port('dispatcher_port')} (gRPC) | "
            f"Prometheus http://{HOST}:{settings.port('prometheus_port')} | "
            f"status page http://{HOST}:{settings.port('scaler_port')}/"
        )
        self._screen.tell(f"libvirt {self._bring_up.stack.uri}")
        self._screen.tell(f"follow the logs with: tail -f {self._state.logs}/*.log")

    def _describe_load(self) -> str:
        arrivals = self._load.state.arrivals
        if self._settings.no_load:
            return "no load"
        if arrivals is None:
            return "measuring the first guest" if self._monitor_workers() else "no guest yet"
        text = f"delta {arrivals.delta:g} s ({arrivals.shape})"
        return f"{text} | {self._load.state.trouble}" if self._load.state.trouble else text

    def _set_delta(self, delta: float) -> str:
        if self._settings.no_load:
            return "there is no load (--no-load)"
        if self._load.state.arrivals is None:
            return "the load has not begun; try again in a moment"
        self._load.set_delta(delta)
        return f"mean time between requests: {delta:g} s, steady"

    async def _hold(self, is_held: bool) -> str:
        address = f"{HOST}:{self._settings.port('scaler_port')}"
        token = site_secrets.of(self._state).token_file(site_secrets.CONTROL)
        try:
            await scaler_api.hold(address, is_held=is_held, token=TokenFile(token).read())
        except http_api.HttpError as error:
            return f"the scaler did not take it: {error}"
        return "scaling is held until you type resume" if is_held else "scaling goes on"

    def _spawn(self, *works: Any) -> None:
        self._tasks += [asyncio.create_task(work) for work in works]


async def _first(work: asyncio.Task[None], stop: Stop) -> bool:
    """True when the work ended before a stop was asked for; otherwise the work is cancelled."""
    asked = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({work, asked}, return_when=asyncio.FIRST_COMPLETED)
        if stop.is_requested and not work.done():
            work.cancel()
            with contextlib.suppress(asyncio.CancelledError, StartError):
                await work
            return False
        await work
        return True
    finally:
        asked.cancel()
