"""kill -9 at every call that changes something: before it arrives, and after it was carried out.

One history (grow, shrink, with and without standby domains) is lived once undisturbed and once for
every call and way. The scaler that comes after must go on where the other was: each domain sees the
same actions in the same order, some of them twice, and everything ends in the same place.
"""

import asyncio
from itertools import groupby, pairwise

import pytest

from scaler.decision import Settings
from scaler.host_room import HostRoom
from scaler.recommendation import BacklogPolicy
from scaler.reconciler import Ports, Reconciler
from scaler.stabilization import Limits
from scaler.standby import StandbyPolicy
from scaler.tracking import Timing
from tests.simulation.world import QUERIES, World

_CHANGES = frozenset(
    {
        *("start", "shutdown", "destroy", "suspend", "resume", "save", "restore", "discard"),
        *("set_operation", "claim", "cordon", "uncordon", "drain"),
    }
)


class Deadly:
    """A port whose `at`-th changing call is the scaler's last; `counter` is shared by all ports."""

    def __init__(self, port, counter):
        self._port, self._counter = port, counter

    def __getattr__(self, name):
        call = getattr(self._port, name)
        if name not in _CHANGES:
            return call

        async def counted(*arguments, **options):
            number = self._counter.next(name)
            if self._counter.at == (number, "before"):
                await self._counter.die()
            answer = await call(*arguments, **options)
            if self._counter.at == (number, "after"):
                await self._counter.die()
            return answer

        return counted


class Counter:
    def __init__(self, at):
        self.at, self.calls, self.is_dead = at, [], False

    def next(self, name):
        self.calls.append(name)
        return len(self.calls)

    async def die(self):
        self.is_dead, self.at = True, None
        await asyncio.get_running_loop().create_future()


class MortalWorld(World):
    """Kills its scaler at one call and starts another, within the step of the world's time."""

    def __init__(self, at, **standby):
        self.counter = Counter(at)
        settings = Settings(
            limits=Limits(min=1, max=3, in_window_seconds=8.0, in_cooldown_seconds=2.0),
            timing=Timing(boot_deadline_seconds=20.0, silence_deadline_seconds=20.0),
            policies=(BacklogPolicy(),),
            standby=StandbyPolicy(refill_seconds=2.0, **standby),
        )
        super().__init__(7, domains=4, settings=settings, boot_seconds=4.0)
        self.hypervisor.host_room = HostRoom(1 << 40, 1 << 40, 1 << 40)

    def _new_scaler(self):
        hypervisor, fleet = (Deadly(one, self.counter) for one in (self.hypervisor, self.fleet))
        ports = Ports(self.metrics, hypervisor, fleet, self.log, self.holds, self.clock)
        return Reconciler(self.settings, QUERIES, ports)

    async def step(self):
        decision = await super().step()
        if self.counter.is_dead:
            self.counter.is_dead = False
            await self.kill_scaler()
        return decision

    async def live(self):
        """Grows to the maximum and shrinks again; ends where nothing is left to do."""
        await self.run(30)
        self.submit(30)
        await self.run(70)
        await self.end()

    @property
    def ends(self):
        domains = self.hypervisor.domains.values()
        return sorted((one.lifecycle.value, one.has_saved_image) for one in domains)

    @property
    def actions(self):
        """By domain: kinds of actions in their order, repetitions taken together."""
        told = {}
        for record in self.log.records:
            for action in record.get("actions", ()):
                # Both lift the cordon and forget the operation; which it is called depends on
                # whether the cordon is seen by the one who wanted it lifted.
                kind = {"cancel_drain": "settle"}.get(action["action"], action["action"])
                told.setdefault(action["domain"], []).append(kind)
        return sorted(_without_repetitions(kinds) for kinds in told.values())


def _without_repetitions(kinds):
    found = [kind for kind, _ in groupby(kinds)]
    # An image is used once: a restore that may have begun is not begun again, the domain boots.
    again = {at for at, pair in enumerate(pairwise(found), 1) if pair == ("restore", "start")}
    return [kind for at, kind in enumerate(found) if at not in again]


@pytest.mark.parametrize("way", ["before", "after"])
@pytest.mark.parametrize("standby", [{}, {"paused": 1}, {"saved": 1}])
async def test_the_next_scaler_goes_on_wherever_one_is_killed(standby, way):
    undisturbed = MortalWorld(None, **standby)
    await undisturbed.live()
    calls = undisturbed.counter.calls
    assert len(calls) > 20
    assert {"claim", "start", "set_operation", "drain", "shutdown"} <= set(calls)
    for number, call in enumerate(calls, 1):
        world = MortalWorld((number, way), **standby)
        await world.live()
        told = f"killed {way} call {number} of {len(calls)}, {call}"
        assert world.counter.at is None, told
        assert len(world.done) == 30, told
        assert world.ends == undisturbed.ends, told
        assert world.actions == undisturbed.actions, told
