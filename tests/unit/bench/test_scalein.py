import hashlib

import yaml
from virtscale.v1 import job_pb2

from bench.scalein import POLICIES, count_scale_ins, take_account
from scaler.policy_file import PolicyFile
from servicekit import config as configuration
from tests.unit.bench.recordings import action, result

NUMBER = "KA-01-UT-0001"
HASH = hashlib.sha256(f"salt{NUMBER}".encode()).hexdigest() + ":salt"


def drain(moment, domain, leases):
    entry = action(moment, "drain", domain, "scale_in")
    return {**entry, "inputs": {"workers": [{"id": domain, "leases": leases}]}}


def test_counts_what_was_drained_and_shut_down_by_what_it_held():
    found = count_scale_ins(
        [
            drain(1.0, "vs-2", 1),
            drain(1.5, "vs-3", 0),
            result(3.0, "drain", "vs-2"),
            action(3.0, "shutdown", "vs-2", "drained"),
            action(13.0, "shutdown", "vs-2", "shutdown_resent"),
            action(3.1, "shutdown", "vs-3", "drained"),
        ]
    )
    assert (found.begun, found.finished, found.at_work) == (2, 2, 1)
    assert found.held == {1: 1, 0: 1}


def test_a_drain_that_is_taken_back_or_refused_is_no_scale_in():
    found = count_scale_ins(
        [
            drain(1.0, "vs-2", 1),
            action(2.0, "cancel_drain", "vs-2", "demand_returned"),
            result(2.1, "drain", "vs-2", "cancelled"),
            drain(5.0, "vs-3", 1),
            result(5.1, "drain", "vs-3", "refused"),
            {**action(9.0, "drain", "vs-1", "rollout_replaces"), "inputs": None},
        ]
    )
    assert (found.begun, found.finished, found.returned, found.refused) == (2, 0, 1, 1)


def done(**changes):
    result = job_pb2.Result(hash=HASH)
    return job_pb2.Job(**{"state": job_pb2.JOB_STATE_DONE, "result": result, **changes})


def test_every_job_that_is_not_done_is_lost():
    numbers = dict.fromkeys(("done", "gone", "failed", "wrong"), NUMBER)
    jobs = {
        "done": done(),
        "failed": done(state=job_pb2.JOB_STATE_FAILED),
        "wrong": done(result=job_pb2.Result(hash="0:salt")),
    }
    account = take_account(numbers, jobs, {})
    assert (account.accepted, account.lost, account.wrong, account.run_twice) == (4, 2, 1, 0)


def test_what_went_back_begun_was_run_twice():
    lost = job_pb2.Attempt(cause=job_pb2.ATTEMPT_CAUSE_WORKER_LOST)
    account = take_account({"a": NUMBER}, {"a": done(attempt_history=[lost])}, {})
    assert account.attempts == {"worker_lost": 1}
    assert account.run_twice == 1
    # At the end of a drain's time no attempt is counted; the job is run again all the same.
    assert take_account({"a": NUMBER}, {"a": done()}, {"drain_deadline": 1}).run_twice == 1
    assert take_account({"a": NUMBER}, {"a": done()}, {"released": 3}).run_twice == 0


def test_the_policies_are_a_policies_file():
    given = configuration.check(PolicyFile, yaml.safe_load(POLICIES), source="POLICIES")
    assert given.scale_in is not None
