"""The end of a run: no new work, open jobs finished, every pool domain off."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from virtscale.client.errors import DispatcherError

from servicekit.clock import Clock
from servicekit.lifecycle import Stop
from stack.load import LoadGenerator
from stack.ports import Dispatcher, Domains, DomainsError, DomainView

_RESEND_SECONDS = 4.0
_POLL_SECONDS = 0.25
_FROZEN = ("suspend", "resume")


async def finish_jobs(
    load: LoadGenerator,
    outstanding: Callable[[], int],
    *,
    clock: Clock,
    stop: Stop,
    seconds: float,
) -> bool:
    """Waits until every submitted job is final; False at the deadline or when it got urgent."""
    deadline = clock.monotonic() + seconds
    next_check = clock.monotonic() + 1.0
    while outstanding() or load.unanswered:
        if stop.is_urgent or clock.monotonic() >= deadline:
            return False
        if clock.monotonic() >= next_check:
            next_check = clock.monotonic() + 1.0
            with contextlib.suppress(DispatcherError):
                await load.reconcile()
        await clock.sleep(_POLL_SECONDS)
    return True


async def drain_workers(dispatcher: Dispatcher, *, seconds: float) -> None:
    """Gives every worker the time to hand back what it holds, all at once."""
    try:
        workers = await dispatcher.workers()
    except DispatcherError:
        return

    async def drain(worker_id: str) -> None:
        # Without a drain the leases go back when the domain stops: slower, but nothing is lost.
        with contextlib.suppress(DispatcherError):
            await dispatcher.drain(worker_id, reason="the stack stops", seconds=seconds)

    await asyncio.gather(
        *(drain(worker.worker_id) for worker in workers if worker.state != "disconnected")
    )


async def shut_down_domains(
    domains: Domains,
    *,
    clock: Clock,
    stop: Stop,
    seconds: float,
    tell: Callable[[str], None],
) -> list[str]:
    """Shuts every active pool domain down, all at once; returns those that still run.

    The power button is pressed again while a domain runs: a guest that still boots ignores it.
    After `seconds`, or when the stop gets urgent, power is cut.
    """
    begin = clock.monotonic()
    pressed: dict[str, float] = {}
    while True:
        active = await _active(domains)
        now = clock.monotonic()
        if active is not None and not active:
            return []
        if stop.is_urgent or now - begin >= seconds:
            break
        for domain in active or []:
            if now - pressed.get(domain.name, -_RESEND_SECONDS) >= _RESEND_SECONDS:
                pressed[domain.name] = now
                # A frozen guest hears no power button, and it holds nothing.
                frozen = domain.state == "paused" and domain.operation in _FROZEN
                end = domains.destroy if frozen else domains.shutdown
                await _quietly(end(domain.name))
        await clock.sleep(_POLL_SECONDS)
    for domain in active or []:
        why = "is not waited for" if stop.is_urgent else "did not shut down in time"
        tell(f"domain {domain.name} {why}; its power is cut")
        await _quietly(domains.destroy(domain.name))
    left = await _active(domains)
    return (
        [domain.name for domain in (active or []) if left is None]
        if left is None
        else [domain.name for domain in left]
    )


async def _active(domains: Domains) -> list[DomainView] | None:
    """The active domains; None when libvirt does not say."""
    try:
        return [domain for domain in await domains.list_domains() if domain.is_active]
    except DomainsError:
        return None


async def _quietly(call: Awaitable[None]) -> None:
    with contextlib.suppress(DomainsError):
        await call
