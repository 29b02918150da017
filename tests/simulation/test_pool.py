"""Scaler and dispatcher together under faults on virtual time. A failure prints how to replay it.

`python -m tests.simulation.pool_run --seed 17` plays one seed with its trace; `--seconds 600` plays
fresh ones for so long.
"""

import os
import time
from pathlib import Path

import pytest
import structlog

from servicekit import logs
from tests.simulation import pool_run

SECONDS = 10.0
FIXED_SEEDS = 12


@pytest.fixture(autouse=True)
def _quiet():
    logs.configure("simulation", level="error", form="text", file=Path(os.devnull))
    yield
    structlog.reset_defaults()


def test_fixed_seeds_keep_every_promise():
    for seed in range(FIXED_SEEDS):
        pool_run.run_seed(seed)


def test_fresh_seeds_keep_every_promise():
    began = time.monotonic()
    seed = time.time_ns() // 1_000_000
    while time.monotonic() - began < SECONDS:
        pool_run.run_seed(seed)
        seed += 1


def test_a_seed_repeats_its_run():
    one, two = (pool_run.run_seed(3) for _ in range(2))
    assert list(one.trace) == list(two.trace)
    assert one.disk.results == two.disk.results
    assert list(pool_run.run_seed(4).trace) != list(one.trace)
