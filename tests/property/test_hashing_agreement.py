"""The worker makes stored forms, the dispatcher checks them, and neither imports the other."""

import hashlib

from hypothesis import given, settings
from hypothesis import strategies as st

from dispatcher import hashing as checking
from dispatcher.jobs import Profile
from guest_worker import hashing as making
from guest_worker.values import Argon2Cost

numbers = st.text(
    st.characters(codec="ascii", min_codepoint=33, max_codepoint=126), min_size=1, max_size=64
)
key_ids = st.from_regex(r"[A-Za-z0-9_.-]{1,32}", fullmatch=True)
secrets = st.binary(min_size=32, max_size=48)
sixteen = st.binary(min_size=16, max_size=16)
profiles = st.sampled_from([Profile.LEGACY_SHA256, Profile.HMAC_SHA256, Profile.ARGON2ID])
CHEAP = Argon2Cost(memory_kib=8, passes=1, lanes=1)


@given(profiles, numbers, numbers, key_ids, secrets, sixteen)
@settings(max_examples=100)
def test_what_the_worker_stores_the_dispatcher_verifies(
    profile: Profile, number: str, other: str, key_id: str, secret: bytes, random: bytes
) -> None:
    keyring = checking.Keyring((checking.Key(key_id, secret),))
    data, used = checking.payload_input(profile, number, keyring)
    (stored,) = making.hash_numbers(_name(profile), [data], used, CHEAP, random)
    again, _ = checking.payload_input(profile, other, keyring)
    for candidate, mine in ((number, data), (other, again)):
        verdict = _verdict(candidate, stored, keyring)
        assert verdict.matches == (mine == data)
        assert making.matches(stored, mine) == (mine == data)


@given(numbers, sixteen)
def test_results_of_the_reference_program_verify_at_both_ends(number: str, random: bytes) -> None:
    salt = making.uuid4_hex(random)
    submitted = number.strip().upper()
    theirs = hashlib.sha256((salt + submitted).encode()).hexdigest() + ":" + salt
    none = checking.Keyring()
    assert _verdict(number, theirs, none).matches
    assert making.matches(theirs, submitted.encode())


def _verdict(number: str, stored: str, keyring: checking.Keyring) -> checking.Verdict:
    form = checking.parse(stored)
    cost = checking.Cost(8, 1, 1)
    return checking.verify(number, form, keyring, profile=Profile.ARGON2ID, cost=cost)


def _name(profile: Profile) -> str:
    return profile.name.lower().replace("_", "-")
