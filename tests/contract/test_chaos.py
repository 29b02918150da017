"""The chaos run, a minute of it: real processes under every kind of fault, judged from outside.

A failure prints its seed; `python -m bench chaos --jobs 12000 --faults 60 --seconds 30 --seed N`
repeats its schedule of faults.
"""

import secrets

import pytest

from bench.chaos import report
from bench.chaos.run import Plan, chaos
from bench.chaos.schedule import WEIGHTS


@pytest.mark.timeout(400)
async def test_no_job_is_lost_or_done_twice_under_a_minute_of_faults():
    seed = secrets.randbelow(1_000_000)
    plan = Plan(
        jobs=12_000, faults=60, seed=seed, seconds=30.0, settle_seconds=200.0, is_quiet=True
    )
    found = report.figures(await chaos(plan))
    print(report.text(found))
    assert found["passed"], f"--seed {seed}: {found['broken']} {found['examples']}"
    assert found["jobs"] >= plan.jobs
    assert sum(found["outcomes"].values()) == found["jobs"]
    assert set(found["faults_by_kind"]) | set(found["faults_without_effect"]) == set(WEIGHTS)
    assert found["faults_by_kind"]["worker_kill"] >= 8
    assert found["scrapes"] > 10
