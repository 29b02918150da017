import hashlib
import os
import uuid

import pytest

from guest_worker import hashing
from guest_worker.values import ARGON2ID, LEGACY_SHA256, Argon2Cost

KEYED = bytes(range(32))
COST = Argon2Cost(memory_kib=8, passes=1, lanes=1)


def test_legacy_puts_the_salt_first_and_appends_it() -> None:
    stored = hashing.salted_sha256(b"KA-47-UT-9173", "0123abcd")
    assert stored == hashlib.sha256(b"0123abcdKA-47-UT-9173").hexdigest() + ":0123abcd"


def test_a_result_of_the_reference_program_matches() -> None:
    salt = "5f2b7c1c9a6e4d0e8f37b1a2c3d4e5f6"
    theirs = hashlib.sha256(salt.encode() + b"KA-47-UT-9173").hexdigest() + ":" + salt
    assert hashing.matches(theirs, b"KA-47-UT-9173")
    assert not hashing.matches(theirs, b"KA-47-UT-9174")


def test_keyed_forms_name_their_key_and_cost() -> None:
    assert hashing.hmac_sha256(KEYED, "k1").startswith("$hmac-sha256$keyid=k1$")
    stored = hashing.argon2id(KEYED, "k1", COST, bytes(16))
    assert stored.startswith("$argon2id$v=19$m=8,t=1,p=1,keyid=k1$AAAAAAAAAAAAAAAAAAAAAA$")
    assert "=" not in stored.split("$")[-1]


@pytest.mark.parametrize(
    ("cost", "field"),
    [
        (Argon2Cost(2**31, 1, 1), "memory_kib"),
        (Argon2Cost(8, 1, 2), "memory_kib"),
        (Argon2Cost(8, 0, 1), "passes"),
        (Argon2Cost(8, 1000, 1), "passes"),
        (Argon2Cost(8, 1, 0), "lanes"),
    ],
)
def test_a_cost_out_of_range_is_refused_by_its_name(cost: Argon2Cost, field: str) -> None:
    with pytest.raises(hashing.HashingRefusedError, match=rf"^argon2_cost\.{field}: "):
        hashing.argon2id(KEYED, "k1", cost, bytes(16))


@pytest.mark.parametrize("key_id", ["", "a$b", "a,b", "a=b", "x" * 33, "a\nb"])
def test_a_key_id_that_would_break_the_stored_form_is_refused(key_id: str) -> None:
    with pytest.raises(hashing.HashingRefusedError, match=r"^key_id: "):
        hashing.hmac_sha256(KEYED, key_id)


@pytest.mark.parametrize("number", [b"", b"x" * 1025])
def test_a_number_of_impossible_length_is_refused(number: bytes) -> None:
    with pytest.raises(hashing.HashingRefusedError, match=f"^input: {len(number)} bytes"):
        hashing.legacy_sha256([b"n", number], bytes(32))


def test_unknown_profile_and_missing_cost_are_refused() -> None:
    with pytest.raises(hashing.HashingRefusedError, match="profile: 'number 9' is unknown"):
        hashing.hash_numbers("number 9", [b"n"], "", None, bytes(16))
    with pytest.raises(hashing.HashingRefusedError, match="argon2_cost: missing"):
        hashing.hash_numbers(ARGON2ID, [KEYED], "k1", None, bytes(16))


def test_each_hash_takes_its_own_salt() -> None:
    (one,) = hashing.hash_numbers(LEGACY_SHA256, [b"n"], "", None, bytes(16))
    (other,) = hashing.hash_numbers(LEGACY_SHA256, [b"n"], "", None, bytes(15) + b"\1")
    assert one != other


def test_random_bytes_of_another_length_are_a_fault() -> None:
    with pytest.raises(ValueError, match="16"):
        hashing.uuid4_hex(bytes(15))


def test_each_of_a_batch_has_a_salt_of_its_own() -> None:
    numbers = [b"KA-47-UT-9173"] * 40
    found = hashing.hash_numbers(LEGACY_SHA256, numbers, "", None, os.urandom(16 * len(numbers)))
    salts = [stored.partition(":")[2] for stored in found]
    assert len(set(salts)) == len(numbers)
    assert [uuid.UUID(salt).version for salt in salts] == [4] * len(numbers)
    assert all(map(hashing.matches, found, numbers))
    argon = hashing.hash_numbers(ARGON2ID, [KEYED, KEYED], "k1", COST, os.urandom(32))
    assert argon[0] != argon[1]
