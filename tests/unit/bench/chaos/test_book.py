"""The judge of the chaos run must see every broken promise: each is broken here once."""

import base64
import hashlib
import hmac

import pytest
from argon2.low_level import Type, hash_secret_raw
from virtscale.v1 import job_pb2

from bench.chaos import numbers
from bench.chaos.book import CANCELLED, DONE, FAILED, LEASED, Book

PEPPER = b"p" * 32
LEGACY_INDEX, HMAC_INDEX, ARGON2ID_INDEX = 0, 1, 7


@pytest.fixture
def book():
    return Book("k", PEPPER)


def unpadded(data):
    return base64.b64encode(data).decode().rstrip("=")


def good_hash(index):
    plain = numbers.number(index)
    keyed = hmac.digest(PEPPER, b"virtscale:number:v1:" + plain.replace("-", "").encode(), "sha256")
    if numbers.profile(index) == numbers.LEGACY:
        salt = "5" * 32
        return hashlib.sha256((salt + plain).encode()).hexdigest() + ":" + salt
    if numbers.profile(index) == numbers.HMAC:
        digest = hashlib.sha256(b"virtscale:hmac-sha256:v1:" + keyed).digest()
        return "$hmac-sha256$keyid=k$" + unpadded(digest)
    raw = hash_secret_raw(keyed, b"s" * 16, 1, 64, 1, 32, Type.ID)
    return f"$argon2id$v=19$m=64,t=1,p=1,keyid=k${unpadded(b's' * 16)}${unpadded(raw)}"


def job(index, state=DONE, *, name=None, digest=None):
    name = f"s-{index + 1}" if name is None else name
    made = job_pb2.Job(job_id=name, state=state, reference=str(index))
    if state == DONE:
        made.result.job_id = name
        made.result.reference = str(index)
        made.result.profile = numbers.profile(index)
        made.result.hash = good_hash(index) if digest is None else digest
    return made


def test_a_run_without_fault_breaks_nothing(book):
    indices = (LEGACY_INDEX, HMAC_INDEX, ARGON2ID_INDEX)
    for index in indices:
        book.acknowledged(index, [f"s-{index + 1}"], 1)
        book.watch(job(index), f"c{index}")
    book.counts({"accepted": 3, "ready": 0, "leased": 1, "done": 2, "failed": 0, "cancelled": 0}, 3)
    book.listed([job(index) for index in indices])
    for index in indices:
        book.seen(job(index))
    assert not book.broken
    assert book.outcomes() == {"done": 3}


@pytest.mark.parametrize("index", [LEGACY_INDEX, HMAC_INDEX, ARGON2ID_INDEX])
def test_a_hash_of_another_number_does_not_verify(book, index):
    other = next(
        each for each in range(index + 1, 200) if numbers.profile(each) == numbers.profile(index)
    )
    book.seen(job(index, digest=good_hash(other)))
    assert book.broken == {"result does not verify": 1}


def test_a_lost_job_is_missed(book):
    book.acknowledged(0, ["s-1", "s-2"], 2)
    book.watch(job(0), "c1")
    book.listed([job(0)])
    book.close(2)
    assert book.broken["acknowledged and missing"] == 1
    assert book.broken["never finished"] == 1


@pytest.mark.parametrize(
    ("what", "say"),
    [
        ("result shown twice", lambda book: [book.watch(job(0), cursor) for cursor in "ab"]),
        ("cursor given twice", lambda book: [book.watch(job(index), "a") for index in (0, 1)]),
        ("accepted twice", lambda book: [book.seen(job(0, name=name)) for name in ("s-1", "s-2")]),
        ("final state changed", lambda book: [book.seen(job(0)), book.seen(job(0, CANCELLED))]),
        (
            "final job came back to life",
            lambda book: [book.seen(job(0)), book.seen(job(0, LEASED))],
        ),
        ("innocent job given up", lambda book: book.seen(job(0, FAILED))),
        ("batch acknowledged in part", lambda book: book.acknowledged(0, ["s-1"], 2)),
        (
            "repeated request made new jobs",
            lambda book: [book.acknowledged(0, [name], 1) for name in ("s-1", "s-2")],
        ),
        ("listed twice", lambda book: book.listed([job(0), job(0)])),
        ("never acknowledged", lambda book: book.close(1)),
        ("cancelled by nobody", lambda book: [book.seen(job(0, CANCELLED)), book.close(1)]),
        ("result not shown", lambda book: [book.seen(job(0)), book.close(1)]),
    ],
)
def test_a_broken_promise_is_noted(book, what, say):
    say(book)
    assert book.broken[what] == 1
    assert any(example.startswith(what) for example in book.examples)


@pytest.mark.parametrize(
    ("what", "second"),
    [
        ("counts do not add up", {"leased": 1}),
        ("count went back", {"ready": 1, "done": 1}),
        ("acknowledged job not counted", {"accepted": 2, "ready": 0}),
    ],
)
def test_counts_must_add_up_and_grow(book, what, second):
    first = {"accepted": 2, "ready": 0, "leased": 0, "done": 2, "failed": 0, "cancelled": 0}
    book.counts(first, 2)
    book.counts(first | second, 3 if what == "acknowledged job not counted" else 0)
    assert book.broken[what] == 1


def test_numbers_are_valid_and_differ():
    made = {numbers.number(index) for index in range(0, 3_000_000, 977)}
    assert len(made) == len(range(0, 3_000_000, 977))
    assert numbers.number(0) == "KA-01-AA-0001"


def test_request_ids_are_uuid4_and_repeat_with_the_seed():
    import uuid

    one = numbers.request_id(1, 2)
    assert uuid.UUID(one).version == 4
    assert str(uuid.UUID(one)) == one
    assert numbers.request_id(1, 2) == one != numbers.request_id(2, 2)
