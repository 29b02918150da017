import hashlib

import pytest
from virtscale.client.values import Job, JobSpec

from stack.verification import belongs_legacy, wrong_results

SALT = "5a" * 16


def legacy(number: str) -> str:
    return hashlib.sha256((SALT + number).encode()).hexdigest() + ":" + SALT


def view(job_id: str, profile: str, stored: str) -> Job:
    return Job(job_id, "done", "", 0.0, 0, profile, stored, "vs-1", 1.0, 0.0, "")


@pytest.mark.parametrize("number", ["KA-47-UT-9173", " ka-47-ut-9173 "])
def test_the_reference_formula(number):
    assert belongs_legacy(number, legacy("KA-47-UT-9173"))


@pytest.mark.parametrize("stored", ["", "nonsense", ":", "a:b", legacy("KA-47-UT-9174")])
def test_what_does_not_belong(stored):
    assert not belongs_legacy("KA-47-UT-9173", stored)


async def test_wrong_results_are_told_by_their_job(dispatcher):
    (kept,) = await dispatcher.submit([JobSpec("B", "hmac-sha256")])
    sample = [
        ("A", view("right", "legacy-sha256", legacy("A"))),
        ("A", view("wrong", "legacy-sha256", legacy("B"))),
        ("B", view("keyed", "hmac-sha256", f"hash-of-{kept}")),
        ("A", view("keyed-wrong", "hmac-sha256", f"hash-of-{kept}")),
    ]
    assert await wrong_results(dispatcher, sample) == ["wrong", "keyed-wrong"]


async def test_of_the_slow_profile_a_sample_is_enough(dispatcher):
    sample = [("A", view(f"job-{place}", "argon2id", "none")) for place in range(30)]
    assert len(await wrong_results(dispatcher, sample)) == 20
