"""Carries out actions in the background, one at a time per domain, and reports how each ended."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from scaler.decision import ActionResult, Outcome
from scaler.planner import Action
from scaler.pool import ActionKind, Operation, OperationKind
from scaler.ports import DrainEnd, ErrorKind, FleetControl, FleetError, Hypervisor, HypervisorError
from servicekit.clock import Clock

Report = Callable[[ActionResult], None]


class Executor:
    """Writes down each operation before it begins, so that a restart can go on from there."""

    def __init__(
        self, hypervisor: Hypervisor, fleet: FleetControl, clock: Clock, report: Report
    ) -> None:
        self._hypervisor = hypervisor
        self._fleet = fleet
        self._clock = clock
        self._report = report
        self.written: dict[str, tuple[Operation, float]] = {}
        """By domain: the newest operation written, and the monotonic time then."""
        self._running: dict[str, asyncio.Task[None]] = {}

    def launch(self, action: Action, token: int) -> None:
        """Begins an action; its result is reported later, whatever happens."""
        earlier = self._running.get(action.domain)
        task = asyncio.create_task(self._run(action, token, earlier), name=f"act-{action.domain}")
        self._running[action.domain] = task
        task.add_done_callback(lambda done: self._forget(action.domain, done))

    async def stop(self) -> None:
        """Abandons what is under way. The metadata says what to go on with after a restart."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _forget(self, domain: str, task: asyncio.Task[None]) -> None:
        if self._running.get(domain) is task:
            del self._running[domain]

    async def _run(self, action: Action, token: int, earlier: asyncio.Task[None] | None) -> None:
        if earlier is not None:
            # A drain that was under way must not cordon again after its cancellation uncordoned.
            earlier.cancel()
            await asyncio.wait([earlier])
        outcome, error = Outcome.CANCELLED, ""
        try:
            outcome = await self._act(action, token)
        except FleetError as failure:
            outcome, error = Outcome.RETRYABLE, str(failure)
        except HypervisorError as failure:
            retryable = failure.kind in (ErrorKind.RETRYABLE, ErrorKind.GONE)
            outcome = Outcome.RETRYABLE if retryable else Outcome.FAILED
            error = str(failure)
        finally:
            self._report(ActionResult(action.kind, action.domain, outcome, error))

    async def _act(self, action: Action, token: int) -> Outcome:
        match action.kind:
            case ActionKind.START:
                await self._record(action, OperationKind.START, token)
                await asyncio.gather(
                    self._hypervisor.start(action.domain), self._lift_cordon(action.domain)
                )
            case ActionKind.DRAIN:
                return await self._drain(action, token)
            case ActionKind.CANCEL_DRAIN:
                await self._fleet.uncordon(action.domain)
                await self._hypervisor.set_operation(action.domain, None)
            case ActionKind.SHUTDOWN:
                await self._record(action, OperationKind.SHUTDOWN, token)
                await self._hypervisor.shutdown(action.domain)
            case ActionKind.DESTROY:
                await self._record(action, OperationKind.DESTROY, token)
                await self._hypervisor.destroy(action.domain)
            case ActionKind.SETTLE:
                if action.lifts_cordon:
                    await self._fleet.uncordon(action.domain)
                await self._hypervisor.set_operation(action.domain, None)
            case ActionKind.CLAIM:
                await self._hypervisor.claim(action.domain)
            case ActionKind.KEEP_DEFINITION:
                await self._hypervisor.keep_definition(action.domain)
            case ActionKind.ROLL_BACK:
                await self._hypervisor.roll_back(action.domain)
            case _:
                return await self._act_on_standby(action, token)
        return Outcome.DONE

    async def _act_on_standby(self, action: Action, token: int) -> Outcome:
        match action.kind:
            case ActionKind.PREPARE:
                await self._record(action, OperationKind.PREPARE, token)
                # First of all: a worker that says Hello uncordoned gets jobs.
                await self._fleet.cordon(action.domain, reason=action.reason, max_leases=None)
                await self._hypervisor.start(action.domain)
            case ActionKind.SUSPEND:
                return await self._freeze(
                    action, OperationKind.SUSPEND, token, self._hypervisor.suspend
                )
            case ActionKind.SAVE:
                return await self._freeze(action, OperationKind.SAVE, token, self._hypervisor.save)
            case ActionKind.RESUME:
                await self._record(action, OperationKind.RESUME, token)
                await asyncio.gather(
                    self._hypervisor.resume(action.domain), self._lift_cordon(action.domain)
                )
            case ActionKind.RESTORE:
                operation = await self._write(action, OperationKind.RESTORE, token)
                await asyncio.gather(
                    self._hypervisor.restore(action.domain), self._lift_cordon(action.domain)
                )
                # The image brought back what the metadata said when it was made.
                await self._hypervisor.set_operation(action.domain, operation)
            case ActionKind.DISCARD:
                await self._hypervisor.discard(action.domain)
        return Outcome.DONE

    async def _freeze(
        self,
        action: Action,
        kind: OperationKind,
        token: int,
        freeze: Callable[[str], Awaitable[None]],
    ) -> Outcome:
        """Freezes a guest whose worker holds nothing and will get nothing. Refused: not frozen."""
        await self._record(action, kind, token)
        granted = await self._fleet.cordon(action.domain, reason=action.reason, max_leases=0)
        if not granted:
            await self._hypervisor.set_operation(action.domain, None)
            return Outcome.REFUSED
        await freeze(action.domain)
        return Outcome.DONE

    async def _lift_cordon(self, domain: str) -> None:
        """Lifts the cordon of an earlier scale-in while the domain boots.

        Only saves the turn it would take once the worker is there: a failure is made good then.
        """
        with contextlib.suppress(FleetError):
            await self._fleet.uncordon(domain)

    async def _drain(self, action: Action, token: int) -> Outcome:
        """Writes down, cordons, waits until nothing is held. Refused: as if never asked."""
        if action.max_leases is not None:
            await self._record(action, OperationKind.DRAIN, token)
            granted = await self._fleet.cordon(
                action.domain, reason=action.reason, max_leases=action.max_leases
            )
            if not granted:
                await self._hypervisor.set_operation(action.domain, None)
                return Outcome.REFUSED
        elif not action.is_repeated:
            await self._record(action, OperationKind.DRAIN, token)
        assert action.deadline_seconds is not None
        end = await self._fleet.drain(
            action.domain, reason=action.reason, deadline_seconds=action.deadline_seconds
        )
        return Outcome.CANCELLED if end is DrainEnd.CANCELLED else Outcome.DONE

    async def _record(self, action: Action, kind: OperationKind, token: int) -> None:
        if action.is_repeated:
            # The deadline counts from the first time.
            return
        await self._write(action, kind, token)

    async def _write(self, action: Action, kind: OperationKind, token: int) -> Operation:
        # To the millisecond, as the metadata keep it: it must be known again.
        operation = Operation(kind, round(self._clock.wall(), 3), token)
        self.written[action.domain] = (operation, self._clock.monotonic())
        await self._hypervisor.set_operation(action.domain, operation)
        return operation
