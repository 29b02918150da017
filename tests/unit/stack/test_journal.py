import random

from virtscale.client.values import Job

from stack.journal import Journal


def journal() -> Journal:
    return Journal(prefix="run-", draw=random.Random(1).random)


def done(job_id: str, reference: str, at: float = 20.0) -> Job:
    return view(job_id, reference, "done", at)


def view(job_id, reference, state, at=None) -> Job:
    return Job(
        job_id=job_id,
        state=state,
        reference=reference,
        accepted_at=0.0,
        attempts=0,
        profile="legacy-sha256",
        hash="d:s",
        worker_id="vs-1",
        completed_at=at,
        service_seconds=0.1,
        failure="",
    )


def test_each_job_is_counted_once_however_often_its_result_comes() -> None:
    books = journal()
    books.accepted([("a", "run-1", "KA", 10.0), ("b", "run-2", "DL", 11.0)], at=9.0)
    for _ in range(3):
        books.finished(done("a", "run-1"))
    books.finished(view("b", "run-2", "failed"))
    assert (books.submitted, books.completed, books.failed, books.duplicated) == (2, 1, 1, 0)
    assert books.outstanding == []


def test_one_reference_under_two_ids_is_a_duplicate() -> None:
    books = journal()
    books.accepted([("a", "run-1", "KA", 10.0)], at=9.0)
    books.finished(done("a", "run-1"))
    books.finished(done("z", "run-1"))
    assert books.duplicated == 1
    assert books.completed == 1


def test_a_result_that_overtakes_its_acceptance_is_not_forgotten() -> None:
    books = journal()
    books.finished(done("a", "run-1"))
    assert books.unknown() == 1
    books.accepted([("a", "run-1", "KA", 10.0)], at=9.0)
    assert (books.submitted, books.completed, books.unknown()) == (1, 1, 0)


def test_other_clients_jobs_and_unfinished_ones_are_ignored() -> None:
    books = journal()
    books.accepted([("a", "run-1", "KA", 10.0)], at=9.0)
    books.finished(done("x", "somebody-1"))
    books.finished(view("a", "run-1", "leased"))
    assert (books.completed, books.outstanding) == (0, ["a"])


def test_latency_counts_from_the_intended_arrival() -> None:
    books = journal()
    books.accepted([("a", "run-1", "KA", 10.0)], at=15.0)
    books.finished(done("a", "run-1", at=20.0))
    assert books.latency_seconds(0.5) == 10.0
    assert books.first_queued_at == 15.0
    assert books.first_result_at == 20.0


def test_the_sample_stays_small_and_comes_from_the_whole_run() -> None:
    books = journal()
    for number in range(5_000):
        books.accepted([(f"j{number}", f"run-{number}", str(number), 0.0)], at=0.0)
        books.finished(done(f"j{number}", f"run-{number}"))
    numbers = [int(number) for number, _ in books.sample]
    assert len(numbers) == len(set(numbers)) == 200
    assert 2_000 < sum(numbers) / len(numbers) < 3_000
