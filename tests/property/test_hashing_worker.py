"""The worker's stored forms: round trips, the reference formula, and strangers' input."""

import base64
import hashlib
import re
import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guest_worker import hashing
from guest_worker.values import ARGON2ID, HMAC_SHA256, LEGACY_SHA256, Argon2Cost

numbers = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=64
).map(str.encode)
keyed = st.binary(min_size=32, max_size=32)
key_ids = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_.", min_size=1, max_size=20)
sixteen = st.binary(min_size=16, max_size=16)
CHEAP = Argon2Cost(memory_kib=8, passes=1, lanes=1)


@given(numbers, sixteen)
def test_legacy_is_the_reference_formula_byte_for_byte(number: bytes, random: bytes) -> None:
    (stored,) = hashing.hash_numbers(LEGACY_SHA256, [number], "", None, random)
    salt = uuid.UUID(bytes=random, version=4).hex
    assert stored == hashlib.sha256((salt + number.decode()).encode()).hexdigest() + ":" + salt


@given(sixteen)
def test_the_salt_is_a_version_4_uuid_in_hex(random: bytes) -> None:
    salt = hashing.uuid4_hex(random)
    assert uuid.UUID(hex=salt).version == 4
    assert re.fullmatch("[0-9a-f]{32}", salt)


@given(keyed, key_ids)
def test_hmac_form_is_the_documented_formula(number: bytes, key_id: str) -> None:
    digest = hashlib.sha256(b"virtscale:hmac-sha256:v1:" + number).digest()
    encoded = base64.b64encode(digest).decode().rstrip("=")
    assert hashing.hmac_sha256(number, key_id) == f"$hmac-sha256$keyid={key_id}${encoded}"


@given(keyed, key_ids, sixteen)
@settings(max_examples=25)
def test_argon2id_form_is_what_the_library_computes(
    number: bytes, key_id: str, salt: bytes
) -> None:
    from argon2.low_level import Type, hash_secret

    stored = hashing.argon2id(number, key_id, CHEAP, salt)
    phc = hash_secret(number, salt, 1, 8, 1, 32, Type.ID).decode()
    assert stored.replace(f",keyid={key_id}$", "$") == phc


@given(st.sampled_from([LEGACY_SHA256, HMAC_SHA256, ARGON2ID]), keyed, keyed, key_ids, sixteen)
@settings(max_examples=60)
def test_a_stored_form_matches_its_own_number_only(
    profile: str, mine: bytes, other: bytes, key_id: str, random: bytes
) -> None:
    (stored,) = hashing.hash_numbers(profile, [mine], key_id, CHEAP, random)
    assert hashing.matches(stored, mine)
    assert hashing.matches(stored, other) == (mine == other)


@given(st.text(max_size=200), keyed)
def test_a_stranger_is_no_match_and_no_crash(stored: str, data: bytes) -> None:
    assert not hashing.matches(stored, data)


@given(st.binary(max_size=300).filter(lambda data: len(data) != 32), key_ids)
def test_a_keyed_number_of_another_length_is_refused_without_being_quoted(
    data: bytes, key_id: str
) -> None:
    with pytest.raises(hashing.HashingRefusedError, match=f"^input: {len(data)} bytes") as caught:
        hashing.hmac_sha256(data, key_id)
    assert "32" in str(caught.value)
