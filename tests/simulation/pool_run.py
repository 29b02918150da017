"""Scaler and dispatcher together under faults, for as long as you like.

python -m tests.simulation.pool_run --seconds 600          # fresh seeds
python -m tests.simulation.pool_run --seed 17              # one seed again, with its trace
python -m tests.simulation.pool_run --scale-ins 10000      # jobs lost or run twice by a scale-in
    python -m tests.simulation.pool_run --scale-ins 1000 --blind
"""

import argparse
import asyncio
import os
import sys
import time
from collections import Counter
from pathlib import Path

from servicekit import logs
from tests.simulation import pool_scale_ins, virtual_loop
from tests.simulation.pool_world import PoolWorld
from tests.simulation.virtual_loop import pass_time

FAULTS = 14
BOUND_SECONDS = 300.0
REPLAY = "python -m tests.simulation.pool_run --seed"


class SeedError(AssertionError):
    """A run has broken a promise. The text has the seed, the command and the trace's end."""

    def __init__(self, seed, faults, error, trace):
        self.seed, self.trace = seed, trace
        shown = "\n".join(list(trace)[-60:])
        replay = f"{REPLAY} {seed}" + ("" if faults == FAULTS else f" --faults {faults}")
        what = f"{type(error).__name__}: {error}"
        super().__init__(f"seed {seed}: {what}\nreplay: {replay}\n{shown}")


async def play(seed, faults=FAULTS, kept=None):
    """One world from its start to its rest; returns it."""
    world = PoolWorld(seed)
    if kept is not None:
        kept.append(world)
    dice = world.dice
    world.start_scaler()
    loading = asyncio.ensure_future(world.load(20.0 + 8.0 * faults))
    going = {}
    await pass_time(dice.choice((0.5, 15.0)))
    for _ in range(faults):
        going[world.spawn(world.some_fault())] = None
        await pass_time(dice.choice((0.0, 0.3, 2.0, 10.0, 20.0)))
        world.check()
        for task in [one for one in going if one.done()]:
            del going[task]
            task.result()
    await asyncio.gather(*going, loading)
    if not world.is_scaler_alive:
        world.start_scaler()
    await _rest(world)
    return world


async def _rest(world):
    world.note("all faults and the load are over")
    ended = world.clock.monotonic()
    calm_since = None
    while True:
        world.check()
        now = world.clock.monotonic()
        unrest = world.unrest()
        if unrest:
            calm_since = None
        elif calm_since is None:
            calm_since = now
        elif now - calm_since > 15.0:
            break
        if unrest and now - ended > BOUND_SECONDS:
            raise AssertionError(
                f"{BOUND_SECONDS:g} s after the last fault: {unrest}; {world.last_decision}"
            )
        await pass_time(0.5)
    world.rested_after = (calm_since or now) - ended
    for key in world.results:
        assert world.disk.jobs[key] == world.results[key], "a stored result changed"
    await world.end()


def run_seed(seed, faults=FAULTS):
    """Plays a seed; returns its world. Raises SeedError."""
    kept = []
    try:
        return virtual_loop.run(play(seed, faults, kept))
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        raise SeedError(seed, faults, error, kept[0].trace if kept else ()) from error


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="play fresh seeds so long")
    parser.add_argument("--seed", type=int, help="play this one and print its trace")
    parser.add_argument("--first", type=int, default=None, help="first seed; default: the time")
    parser.add_argument("--faults", type=int, default=FAULTS, help="faults per seed")
    parser.add_argument("--keep-going", action="store_true", help="go on after a failing seed")
    parser.add_argument("--scale-ins", type=int, help="scale in so often, without faults")
    parser.add_argument("--blind", action="store_true", help="scale in as a rule without leases")
    options = parser.parse_args(arguments)
    logs.configure("simulation", level="error", form="text", file=Path(os.devnull))
    if options.scale_ins is not None:
        tally = pool_scale_ins.count(options.scale_ins, is_blind=options.blind)
        sys.stdout.write(f"{tally}\n")
        return int(not options.blind and bool(tally.lost or tally.run_twice))
    if options.seed is not None:
        return _replay(options.seed, options.faults)
    return _many(options)


def _replay(seed, faults):
    try:
        world = run_seed(seed, faults)
    except SeedError as error:
        sys.stdout.write("\n".join(error.trace) + f"\n{str(error).splitlines()[0]}\n")
        return 1
    sys.stdout.write("\n".join(world.trace) + f"\nseed {seed}: every promise is kept\n")
    return 0


def _many(options):
    began = time.monotonic()
    seed = first = int(time.time()) if options.first is None else options.first
    failed, totals, slowest = 0, Counter(), (0.0, 0)
    while time.monotonic() - began < options.seconds:
        try:
            world = run_seed(seed, options.faults)
            totals.update(world.checks.counts)
            totals["jobs"] += len(world.disk.jobs)
            totals["scalers"] += world.lives
            slowest = max(slowest, (world.rested_after, seed))
        except SeedError as error:
            failed += 1
            text = str(error)
            sys.stdout.write((text.splitlines()[0] if options.keep_going else text) + "\n")
            if not options.keep_going:
                return 1
        seed += 1
    sys.stdout.write(
        f"{seed - first} seeds from {first}, {failed} failed; longest way to rest "
        f"{slowest[0]:.0f} s (seed {slowest[1]})\n"
    )
    for name, count in sorted(totals.items()):
        sys.stdout.write(f"  {name}: {count}\n")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
