"""Scale-ins in great number, without any fault: what do they cost in jobs?

Beside it, for comparison, the same scaler without its eyes: it sees no leases, so it takes a victim
by name, and stops it without a cordon.
"""

import asyncio
from dataclasses import dataclass, replace

from scaler.decision import Settings
from scaler.pool import WorkerState
from scaler.ports import DrainEnd
from scaler.recommendation import BacklogPolicy
from scaler.stabilization import Limits
from tests.simulation import virtual_loop
from tests.simulation.pool_ports import FleetPort
from tests.simulation.pool_world import BREAKER, POOL, TIMING, PoolWorld
from tests.simulation.virtual_loop import pass_time

_PER_WORLD = 50
_LIMITS = Limits(
    min=1, max=4, out_window_seconds=0.0, in_window_seconds=2.0, in_cooldown_seconds=0.0, in_step=2
)


@dataclass
class Tally:
    """What came of `scale_ins` domains that were stopped because there were too many."""

    scale_ins: int = 0
    called_off: int = 0
    """Drains that ended because the demand came back."""
    jobs: int = 0
    lost: int = 0
    run_twice: int = 0

    def __str__(self):
        share = 100 * self.run_twice / max(1, self.jobs)
        return (
            f"{self.scale_ins} scale-ins ({self.called_off} called off besides), {self.jobs} jobs: "
            f"{self.lost} lost, {self.run_twice} run twice ({share:.2f} %)"
        )


class BlindFleet(FleetPort):
    """To its scaler every worker is idle, and a drain is over as soon as it is asked for."""

    def __init__(self, world, life):
        super().__init__(world, life)
        self._told = set()

    async def _workers(self):
        return tuple(self._blind(one) for one in await super()._workers())

    def _blind(self, worker):
        state = WorkerState.CORDONED if worker.worker_id in self._told else worker.state
        return replace(worker, state=state, leases=0, busy_slots=0, oldest_lease_since=None)

    async def cordon(self, worker_id, *, reason, max_leases):
        self._told.add(worker_id)
        return True

    async def drain(self, worker_id, *, reason, deadline_seconds):
        return DrainEnd.DRAINED

    async def uncordon(self, worker_id):
        self._told.discard(worker_id)


def count(scale_ins, *, is_blind=False, first_seed=0):
    """Worlds one after another until so many domains were scaled in."""
    tally = Tally()
    seed = first_seed
    while tally.scale_ins < scale_ins:
        virtual_loop.run(_one_world(seed, is_blind, tally))
        seed += 1
    return tally


async def _one_world(seed, is_blind, tally):
    settings = Settings(POOL, _LIMITS, TIMING, BREAKER, (BacklogPolicy(),))
    port = BlindFleet if is_blind else FleetPort
    world = PoolWorld(seed, settings=settings, domains=4, fleet_port=port)
    world.start_scaler()
    counts = world.checks.counts
    while counts["shutdown drained"] < _PER_WORLD and world.clock.monotonic() < 4000.0:
        await _wave(world)
        if not is_blind:
            world.check()
    while world.node.ledger.counts.unfinished:
        await pass_time(0.5)
    if not is_blind:
        world.check()
    tally.scale_ins += counts["shutdown drained"]
    tally.called_off += max(0, counts["scale_ins"] - counts["shutdown drained"])
    tally.jobs += len(world.disk.jobs)
    tally.lost += sum(not job.state.is_final for job in world.disk.jobs.values())
    tally.run_twice += sum(times > 1 for times in world.begun.values())
    await world.end()


async def _wave(world):
    """Much work at once, then a trickle that keeps some busy while others are to leave."""
    dice = world.dice
    world.job_seconds = dice.choice((1.0, 2.0, 5.0))
    submits = [asyncio.ensure_future(world.submit(dice.choice((4, 5, 8)), world.job_seconds))]
    for _ in range(dice.choice((2, 4, 6))):
        await pass_time(dice.uniform(0.0, 2.5))
        submits.append(asyncio.ensure_future(world.submit(1, world.job_seconds)))
    await asyncio.gather(*submits)
    await pass_time(dice.choice((0.0, 2.0, 6.0, 10.0)))
