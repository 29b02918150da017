"""The start of the stack: what is independent starts at the same time, each step is shown."""

import asyncio
import contextlib
import os
import shutil
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from servicekit.clock import Clock
from servicekit.lifecycle import StartError
from stack import (
    endpoints,
    guests,
    http_api,
    listeners,
    processes,
    secrets_files,
    service_plan,
    site_secrets,
)
from stack.domains import LibvirtDomains
from stack.hypervisor.domain_xml import Kind
from stack.listeners import HOST
from stack.paths import StateDirectory
from stack.ports import DomainsError
from stack.screen import Screen
from stack.settings import UpSettings
from stack.supervisor import Probe, Service, Supervisor

_MIB = 1024 * 1024
_FREE_FOR_RUNNING = 200 * _MIB
_FREE_FOR_BUILDING = 1_500 * _MIB

_READY_SECONDS = 30.0
_URI_SECONDS = 20.0


@dataclass
class Stack:
    """A stack that runs, or the part of it that already does."""

    uri: str
    supervisor: Supervisor
    domains: LibvirtDomains | None = None
    acceleration: str = ""
    generation: str = ""
    services_at: float = 0.0
    """Unix time at which the first service was started."""


class BringUp:
    """Starts the stack; `stack` holds what runs so far, also after a failure."""

    def __init__(
        self,
        settings: UpSettings,
        state: StateDirectory,
        *,
        screen: Screen,
        clock: Clock,
        on_pool: Callable[[LibvirtDomains], Awaitable[None]],
    ) -> None:
        """`on_pool` gets the defined domains before anything can start one."""
        self._settings = settings
        self._state = state
        self._screen = screen
        self._clock = clock
        self._on_pool = on_pool
        self._kind: Kind = "tcg"
        self.stack = Stack(
            uri=settings.url or guests.uri(state),
            supervisor=Supervisor(state, clock, tell=screen.tell),
        )

    async def run(self, *, began_at: float) -> None:
        """Returns when every service is ready. `began_at` is Unix time.

        Raises:
            StartError: naming the thing and the fix.

        """
        settings, state = self._settings, self._state
        self._clean_up()
        self._check()
        secrets_files.ensure_pepper(state.secrets / "pepper")
        join_key = secrets_files.ensure_join_key(state.secrets / "join.key")
        site_secrets.ensure(state, self._clock.wall())
        needs_guests = settings.url is None or settings.define
        if settings.url is not None:
            await self._try_libvirt()
        if needs_guests:
            await self._image()
        self.stack.services_at = self._clock.wall()
        with self._screen.step("services and the hypervisor"):
            await _all(
                self._start_and_wait(
                    service_plan.dispatcher(state, settings),
                    self._ready_page("dispatcher_metrics_port"),
                ),
                self._start(service_plan.prometheus(state, settings)),
                self._start(service_plan.alertmanager(state, settings)),
                self._hypervisor(join_key if needs_guests else None),
            )
        assert self.stack.domains is not None
        await self._on_pool(self.stack.domains)
        with self._screen.step("collector, scaler and Prometheus"):
            await _all(
                self._start_and_wait(
                    service_plan.scaler(state, settings, self.stack.uri),
                    self._ready_page("scaler_port"),
                ),
                self._start_and_wait(
                    service_plan.collector(state, settings, self.stack.uri),
                    self._ready_page("collector_port"),
                ),
                self._wait("prometheus", self._ready_page("prometheus_port")),
                self._wait("alertmanager", self._ready_page("alertmanager_port")),
            )
        endpoints.write(state, self._endpoints(began_at))

    async def renew(self) -> None:
        """Renews certificates that are in their second half, and the domains' definitions.

        A domain that runs keeps its certificate and its image until it is next started; the scaler
        replaces those whose image is not the one of their definition.

        Raises:
            StartError: naming the thing; nothing that works is worse than before.

        """
        now = self._clock.wall()
        site_secrets.ensure(self._state, now)
        if self._settings.url is None or self._settings.define:
            self.stack.generation = await asyncio.to_thread(
                guests.define,
                self._state,
                self._settings,
                uri=self.stack.uri,
                kind=self._kind,
                join_key=secrets_files.ensure_join_key(self._state.secrets / "join.key"),
                now=now,
                is_in_use=True,
            )

    def _clean_up(self) -> None:
        """What a killed run left: services first, then their QEMU processes."""
        ended = processes.end_recorded(self._state.run)
        killed = guests.cleanup(self._state) if self._settings.url is None else []
        endpoints.remove(self._state)
        if ended or killed:
            services = [f"ended the {name} left by an earlier run" for name in ended]
            domains = [f"ended domain {name} left by an earlier run" for name in killed]
            self._screen.tell("  " + "; ".join([*services, *domains]))

    def _check(self) -> None:
        service_plan.need_programs()
        used = self._settings.listeners()
        faults = listeners.duplicates(used) or listeners.busy(used)
        if faults:
            raise StartError("\n       ".join(faults))
        needs_image = self._settings.url is None or self._settings.define
        needed = _FREE_FOR_RUNNING
        if needs_image and not guests.is_image_built(self._state):
            needed = _FREE_FOR_BUILDING
        free = shutil.disk_usage(self._state.root).free
        if free < needed:
            raise StartError(
                f"{self._state.root} has {free // _MIB} MiB free and {needed // _MIB} MiB are "
                "needed; free some space or choose another place with --state DIR"
            )

    async def _image(self) -> None:
        if guests.is_image_built(self._state):
            return
        self._screen.tell("  the guest image is built once (at most a few minutes):")
        # A process of its own: it can be ended at any moment together with what it runs.
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "stack", "image", "build"),
            *("--state", str(self._state.root)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**service_plan.environment(self._state)},
            start_new_session=True,
        )
        try:
            assert process.stdout is not None
            async for line in process.stdout:
                self._screen.work(line.decode("utf-8", "replace").rstrip())
            code = await process.wait()
        except asyncio.CancelledError:
            guests.end_group(process.pid)
            await process.wait()
            raise
        if code:
            raise StartError(
                "the guest image could not be built (see above); mend that and try again with: "
                "virtscale image build"
            )

    async def _try_libvirt(self) -> None:
        """Before anything is built or started for a libvirt that cannot be used."""
        domains = LibvirtDomains(self.stack.uri, pool=self._settings.pool)
        try:
            await self._connect(domains)
            if not self._settings.define:
                await self._need_domains(domains)
        finally:
            domains.close()

    async def _hypervisor(self, join_key: bytes | None) -> None:
        """libvirt, the domains and the acceleration; `join_key` only where domains are defined.

        `stack.domains` is set when they are as wanted: a start that failed before stops nothing.
        """
        settings = self._settings
        if settings.url is None:
            await self._start(guests.libvirtd(self._state))
        domains = LibvirtDomains(self.stack.uri, pool=settings.pool)
        try:
            if join_key is None:
                await self._connect(domains)
            else:
                await self._define(domains, join_key)
        except BaseException:
            if self.stack.domains is None:
                domains.close()
            raise
        self.stack.domains = domains

    async def _define(self, domains: LibvirtDomains, join_key: bytes) -> None:
        stack = self.stack
        probed, _ = await asyncio.gather(
            asyncio.to_thread(guests.probe, self._state), self._connect(domains)
        )
        kind, why = probed
        self._kind = kind
        stack.acceleration = kind
        self._screen.tell(f"  domains run on {stack.acceleration.upper()} ({why})")
        defining = asyncio.ensure_future(
            asyncio.to_thread(
                guests.define,
                self._state,
                self._settings,
                uri=stack.uri,
                kind=kind,
                join_key=join_key,
                now=self._clock.wall(),
            )
        )
        try:
            stack.generation = await asyncio.shield(defining)
        except asyncio.CancelledError:
            # The thread goes on. What it defines must be known, or it would stay.
            with contextlib.suppress(StartError):
                stack.generation = await defining
                stack.domains = domains
            raise

    async def _need_domains(self, domains: LibvirtDomains) -> None:
        if not await domains.list_domains():
            url, pool = self._settings.url, self._settings.pool
            raise StartError(
                f"no domain at {url} is in the pool {pool!r}; let virtscale define some there "
                "with --define, lend it one of yours, or clone one (docs/OPERATIONS.md, 'Your own "
                f"domains'): virtscale pool adopt NAME --pool {pool} --url '{url}'"
            )

    async def _connect(self, domains: LibvirtDomains) -> None:
        deadline = self._clock.monotonic() + (_URI_SECONDS if self._settings.url is None else 0.0)
        while True:
            try:
                await domains.check()
                return
            except DomainsError as error:
                if self._clock.monotonic() >= deadline:
                    raise StartError(self._no_libvirt(str(error))) from None
            await self._clock.sleep(0.05)

    def _no_libvirt(self, reason: str) -> str:
        if self._settings.url is None:
            return f"{reason}; {self.stack.supervisor.tail('libvirtd')}"
        return guests.refusal(reason, self._settings.url)

    async def _start(self, service: Service) -> None:
        await self.stack.supervisor.start(service)

    async def _wait(self, name: str, probe: Probe) -> None:
        await self.stack.supervisor.wait_ready(name, probe, seconds=_READY_SECONDS)

    async def _start_and_wait(self, service: Service, probe: Probe) -> None:
        await self._start(service)
        await self._wait(service.name, probe)

    def _ready_page(self, field: str) -> Probe:
        url = f"http://{HOST}:{self._settings.port(field)}/-/ready"
        return lambda: http_api.not_ready(url)

    def _endpoints(self, began_at: float) -> endpoints.Endpoints:
        def address(field: str) -> str:
            return f"{HOST}:{self._settings.port(field)}"

        return endpoints.Endpoints(
            pid=os.getpid(),
            uri=self.stack.uri,
            pool=self._settings.pool,
            dispatcher=address("dispatcher_port"),
            token_file=str(site_secrets.of(self._state).token_file(site_secrets.COMMANDS)),
            dispatcher_metrics=address("dispatcher_metrics_port"),
            scaler=address("scaler_port"),
            collector=address("collector_port"),
            prometheus=address("prometheus_port"),
            alertmanager=address("alertmanager_port"),
            logs=str(Path(self._state.logs)),
            started_at=began_at,
        )


async def _all(*steps: Awaitable[None]) -> None:
    """Runs the steps together; the first failure ends the others and is raised as it is."""
    tasks = [asyncio.ensure_future(step) for step in steps]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
