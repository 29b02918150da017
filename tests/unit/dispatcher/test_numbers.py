import pytest

from dispatcher import numbers
from dispatcher.hashing import Key, Keyring
from dispatcher.jobs import Busy, Collision, JobSpec, Load, Profile, Verify
from dispatcher.numbers import InvalidRequestError

RING = Keyring((Key("k1", b"k" * 32),))


def faults(*specs: JobSpec, keyring: Keyring = RING) -> list[str]:
    with pytest.raises(InvalidRequestError) as raised:
        numbers.new_jobs(specs, keyring=keyring, default=Profile.ARGON2ID)
    return [violation.field for violation in raised.value.violations]


def test_a_good_batch_becomes_payloads():
    specs = [JobSpec("A 1"), JobSpec("A 1", Profile.LEGACY_SHA256, Busy(1.0), "mine")]
    keyed, legacy = numbers.new_jobs(specs, keyring=RING, default=Profile.ARGON2ID)
    assert (keyed.payload.profile, keyed.payload.key_id) == (Profile.ARGON2ID, "k1")
    assert len(keyed.payload.input) == 32
    assert (legacy.payload.input, legacy.payload.key_id) == (b"A 1", "")
    assert (legacy.payload.load, legacy.reference) == (Busy(1.0), "mine")


@pytest.mark.parametrize("number", ["", "  ", "-", "A" * 65, "A\nB", "A\u200bB"])
def test_a_malformed_number_is_named_by_its_place_only(number: str):
    assert faults(JobSpec("A"), JobSpec(number)) == ["jobs[1].number"]


def test_sixty_four_characters_fit():
    numbers.new_jobs([JobSpec(" " + "Ä" * 64)], keyring=RING, default=Profile.ARGON2ID)


@pytest.mark.parametrize(
    ("load", "field"),
    [
        (Collision(0, 0), "load.collision.difficulty_bits"),
        (Collision(41, 0), "load.collision.difficulty_bits"),
        (Verify(0), "load.verify.repetitions"),
        (Verify(10_000_001), "load.verify.repetitions"),
        (Busy(0.0), "load.busy.duration"),
        (Busy(-1.0), "load.busy.duration"),
        (Busy(3600.5), "load.busy.duration"),
    ],
)
def test_a_load_out_of_range_is_named(load: Load, field: str):
    assert faults(JobSpec("A", load=load)) == [f"jobs[0].{field}"]


def test_every_fault_is_listed_up_to_a_limit():
    assert faults(JobSpec(""), JobSpec("A", reference="r" * 129)) == [
        "jobs[0].number",
        "jobs[1].reference",
    ]
    assert len(faults(*[JobSpec("")] * 500)) == 100


def test_a_keyed_profile_needs_a_key():
    assert faults(JobSpec("A"), keyring=Keyring()) == ["jobs[0].profile"]


@pytest.mark.parametrize("size", [0, 1001])
def test_a_batch_has_a_size(size: int):
    assert faults(*[JobSpec("A")] * size) == ["jobs"]
