from random import Random

import pytest

from scaler.simulator.domains import SimulatedPool
from scaler.simulator.scenario import Scenario
from scaler.simulator.scorecard import Ledger
from scaler.simulator.spreads import Spread, SpreadKind
from scaler.simulator.traces import Trace
from scaler.simulator.workload import Workload

BOOT = 10.0
NEVER = 1000.0


def pool_of(lengths, *, arrivals=None, count=2, **scenario):
    """Jobs that all come with the trace's begin, a minute after the pool's."""
    workload = Workload(
        Trace("jobs", (0.0,), (1.0,), NEVER),
        tuple(arrivals or [0.0] * len(lengths)),
        tuple(lengths),
        sum(lengths) / len(lengths),
    )
    site = Scenario(boot=Spread(SpreadKind.FIXED, BOOT), **scenario)
    start = 1060.0
    ledger = Ledger(trace_start=start, trace_end=start + NEVER, demand=[(0.0, 1)], jumps=())
    return SimulatedPool(
        workload, site, count=count, random=Random(1), ledger=ledger, warm_up_seconds=60.0
    )


def ready(pool, *domains):
    for domain in domains:
        pool.start(domain)
    pool.run_until(pool.trace_start)
    assert all(domain.is_connected for domain in domains)


def test_one_job_waits_in_the_worker_and_the_rest_in_the_queue():
    pool = pool_of([5.0, 5.0, 5.0])
    one, other = pool.domains
    ready(pool, one)
    assert (len(one.leases), len(one.ahead), len(pool.queue)) == (2, 1, 1)
    assert (pool.busy_slots, pool.taking_ahead) == (1, 1)
    # What waits in one worker is of no use to another.
    pool.start(other)
    pool.run_until(pool.trace_start + 4.0)
    assert pool.worker(one).leases == 2
    pool.run_until(pool.trace_start + 14.0)
    assert pool.ledger.done == 2


def test_nothing_waits_in_a_worker_while_another_is_free():
    pool = pool_of([5.0, 5.0])
    ready(pool, *pool.domains)
    assert [len(one.ahead) for one in pool.domains] == [0, 0]
    assert pool.busy_slots == 2


def test_a_worker_that_drains_finishes_what_waits_in_it_and_is_no_demand():
    pool = pool_of([5.0, 5.0, 5.0])
    (one, _), drained = pool.domains, []
    pool.on_drained = lambda domain: drained.append(pool.now - pool.trace_start)
    ready(pool, one)
    pool.cordon(one)
    assert (pool.busy_slots, pool.taking_busy_slots, pool.taking_ahead) == (1, 0, 0)
    pool.run_until(pool.trace_start + 7.0)
    assert drained == []
    pool.run_until(pool.trace_start + 20.0)
    assert drained == [10.0]
    assert len(pool.queue) == 1


def test_a_worker_that_is_uncordoned_counts_again_and_gets_jobs():
    pool = pool_of([5.0, 5.0, 5.0])
    one, _ = pool.domains
    ready(pool, one)
    pool.cordon(one)
    pool.uncordon(one)
    assert (pool.taking_busy_slots, pool.taking_ahead) == (1, 1)
    pool.run_until(pool.trace_start + 20.0)
    assert pool.ledger.done == 3
    assert (pool.busy_slots, pool.taking_busy_slots, pool.taking_ahead) == (0, 0, 0)


@pytest.mark.parametrize("is_cordoned", [False, True])
def test_a_domain_that_loses_its_power_gives_back_both_and_has_cut_one(is_cordoned):
    pool = pool_of([5.0, 5.0])
    one, other = pool.domains
    ready(pool, one)
    if is_cordoned:
        pool.cordon(one)
    pool.power_off(one, "destroyed", by_scale_in=True)
    assert (pool.busy_slots, pool.taking_busy_slots, pool.taking_ahead) == (0, 0, 0)
    assert list(pool.queue) == [0, 1]
    assert pool.ledger.scorecard(pool.now).jobs_cut_by_scale_in == 1
    pool.start(other)
    pool.run_until(pool.trace_start + 30.0)
    assert pool.ledger.done == 2


def test_a_boot_takes_longer_on_a_crowded_host():
    pool = pool_of([NEVER], count=3, cores=1.0)
    first, second, third = pool.domains
    ready(pool, first)
    pool.start(second)
    # Half a CPU beside a busy domain.
    pool.run_until(pool.trace_start + 2 * BOOT - 0.1)
    assert not second.is_connected
    pool.run_until(pool.trace_start + 2 * BOOT + 0.1)
    assert second.is_connected
    pool.start(third)
    pool.power_off(third, "destroyed", by_scale_in=False)
    pool.run_until(pool.now + 5 * BOOT)
    assert not third.is_connected


def test_domains_that_boot_share_the_cpus():
    pool = pool_of([1.0], count=4, cores=2.0)
    for domain in pool.domains:
        pool.start(domain)
    pool.run_until(pool.now + 2 * BOOT - 1.0)
    assert not any(domain.is_connected for domain in pool.domains)
    pool.run_until(pool.now + 1.1)
    assert all(domain.is_connected for domain in pool.domains)
