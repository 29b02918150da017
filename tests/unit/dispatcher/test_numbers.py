import pytest

from dispatcher import numbers
from dispatcher.hashing import Key, Keyring
from dispatcher.jobs import Busy, Collision, JobSpec, Load, NewJob, Profile, Verify
from dispatcher.numbers import InvalidRequestError
from dispatcher.plates import INDIAN, NumberFormats

RING = Keyring((Key("k1", b"k" * 32),))


FREE = NumberFormats(("free",))


def checked(
    specs: list[JobSpec], keyring: Keyring = RING, formats: NumberFormats = FREE
) -> list[NewJob]:
    return numbers.new_jobs(specs, keyring=keyring, default=Profile.ARGON2ID, formats=formats)


def faults(*specs: JobSpec, keyring: Keyring = RING) -> list[str]:
    with pytest.raises(InvalidRequestError) as raised:
        checked([*specs], keyring)
    return [violation.field for violation in raised.value.violations]


def test_a_good_batch_becomes_payloads():
    specs = [JobSpec("A 1"), JobSpec("A 1", Profile.LEGACY_SHA256, Busy(1.0), "mine")]
    keyed, legacy = checked(specs)
    assert (keyed.payload.profile, keyed.payload.key_id) == (Profile.ARGON2ID, "k1")
    assert len(keyed.payload.input) == 32
    assert (legacy.payload.input, legacy.payload.key_id) == (b"A 1", "")
    assert (legacy.payload.load, legacy.reference) == (Busy(1.0), "mine")


@pytest.mark.parametrize("number", ["", "  ", "-", "A" * 65, "A\nB", "A\u200bB"])
def test_a_malformed_number_is_named_by_its_place_only(number: str):
    assert faults(JobSpec("A"), JobSpec(number)) == ["jobs[1].number"]


def test_sixty_four_characters_fit():
    (made,) = checked([JobSpec(" " + "Ä" * 64)])
    assert len(made.payload.input) == 32


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
    # What a client of gRPC would not take is counted.
    assert 60 < len(faults(*[JobSpec("")] * 500)) <= 100
    with pytest.raises(InvalidRequestError) as raised:
        checked([JobSpec("")] * 500)
    size = sum(len(each.field + each.description) for each in raised.value.violations)
    assert size < 5_100
    assert "more after it" in raised.value.violations[-1].description
    assert str(raised.value).endswith("(and 99 more)")


def test_a_keyed_profile_needs_a_key():
    assert faults(JobSpec("A"), keyring=Keyring()) == ["jobs[0].profile"]


@pytest.mark.parametrize("size", [0, 1001])
def test_a_batch_has_a_size(size: int):
    assert faults(*[JobSpec("A")] * size) == ["jobs"]


def test_a_number_that_fits_no_format_is_named_masked_with_the_rule():
    specs = [JobSpec("KA-47-UT-9173"), JobSpec("KA-00-UT-9173"), JobSpec("KA-47-UT-0000")]
    with pytest.raises(InvalidRequestError) as raised:
        checked(specs, formats=INDIAN)
    first, second = raised.value.violations
    assert (first.field, second.field) == ("jobs[1].number", "jobs[2].number")
    assert "'KA-**-**-**73'" in first.description
    assert "district is 00" in first.description
    assert "1 to 9999" in second.description
    assert "9173" not in str(raised.value)


def test_a_profile_that_does_not_exist_is_named_beside_other_faults():
    assert faults(JobSpec("", 77), JobSpec("A", 78)) == [
        "jobs[0].number",
        "jobs[0].profile",
        "jobs[1].profile",
    ]
