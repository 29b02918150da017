import base64
import contextlib
import hashlib
import hmac
import time

import pytest

from dispatcher import hashing, plates
from dispatcher.hashing import Cost, Key, Keyring, MalformedHashError, UnknownKeyError, Verdict
from dispatcher.jobs import Payload, Profile

OLD, NEW = Key("old", b"o" * 32), Key("new", b"n" * 32)
RING = Keyring((NEW, OLD))
CHEAP = Cost(memory_kib=64, passes=1, lanes=1)
NUMBER = "ka 47-UT-9173"


def unpadded(value: bytes) -> str:
    return base64.b64encode(value).decode().rstrip("=")


def keyed(key: Key) -> bytes:
    return hmac.digest(key.secret, b"virtscale:number:v1:KA47UT9173", "sha256")


def hmac_form(key: Key) -> str:
    digest = hashlib.sha256(b"virtscale:hmac-sha256:v1:" + keyed(key)).digest()
    return f"$hmac-sha256$keyid={key.key_id}${unpadded(digest)}"


def argon2id_form(key: Key, cost: Cost = CHEAP) -> str:
    salt = b"s" * 16
    digest = hashing.hash_secret_raw(
        keyed(key),
        salt,
        time_cost=cost.passes,
        memory_cost=cost.memory_kib,
        parallelism=cost.lanes,
        hash_len=32,
        type=hashing.Type.ID,
    )
    return (
        f"$argon2id$v=19$m={cost.memory_kib},t={cost.passes},p={cost.lanes},keyid={key.key_id}"
        f"${unpadded(salt)}${unpadded(digest)}"
    )


def legacy_form(number: str = "KA 47-UT-9173") -> str:
    salt = "5" * 32
    return hashlib.sha256((salt + number).encode()).hexdigest() + ":" + salt


def verdict(stored: str, number: str = NUMBER, profile: Profile = Profile.ARGON2ID) -> Verdict:
    return hashing.verify(number, hashing.parse(stored), RING, profile=profile, cost=CHEAP)


def test_the_keyed_profiles_ignore_case_spaces_and_hyphens():
    assert plates.canonical(" ka-47 ut\t9173 ") == "KA47UT9173"
    assert hashing.keyed_number(NEW, NUMBER) == keyed(NEW)


def test_the_legacy_profile_keeps_hyphens():
    assert hashing.payload_input(Profile.LEGACY_SHA256, " ka-47-ut-9173 ", RING) == (
        b"KA-47-UT-9173",
        "",
    )


@pytest.mark.parametrize(
    ("stored", "profile"),
    [
        (legacy_form(), Profile.LEGACY_SHA256),
        (hmac_form(NEW), Profile.HMAC_SHA256),
        (argon2id_form(NEW), Profile.ARGON2ID),
    ],
)
def test_each_format_matches_its_number_only(stored: str, profile: Profile):
    assert verdict(stored, profile=profile) == Verdict(matches=True, needs_rehash=False)
    assert verdict(stored, "KA 47-UT-9174", profile) == Verdict(False, False)


@pytest.mark.parametrize(
    ("stored", "profile"),
    [
        (legacy_form(), Profile.ARGON2ID),
        (hmac_form(NEW), Profile.ARGON2ID),
        (hmac_form(OLD), Profile.HMAC_SHA256),
        (argon2id_form(OLD), Profile.ARGON2ID),
        (argon2id_form(NEW, Cost(128, 1, 1)), Profile.ARGON2ID),
    ],
)
def test_older_keys_profiles_and_costs_ask_for_a_rehash(stored: str, profile: Profile):
    assert verdict(stored, profile=profile) == Verdict(matches=True, needs_rehash=True)


def test_a_key_that_is_not_live_is_named():
    with pytest.raises(UnknownKeyError, match="gone"):
        verdict(hmac_form(Key("gone", b"g" * 32)))


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "x" * 10_000,
        legacy_form().upper(),
        legacy_form() + "\n",
        hmac_form(NEW)[:-1],
        hmac_form(NEW) + "=",
        hmac_form(NEW)[:-1] + "B",  # stray bits in the last character
        argon2id_form(NEW).replace("v=19", "v=16"),
        argon2id_form(NEW).replace("m=64", "m=065536"),
        argon2id_form(NEW).replace("m=64", "m=65537"),
        argon2id_form(NEW).replace("t=1", "t=11"),
        argon2id_form(NEW).replace("p=1", "p=5"),
        argon2id_form(NEW).replace("m=64", "m=7"),
        argon2id_form(NEW).replace("argon2id", "argon2i"),
    ],
)
def test_anything_else_is_malformed(stored: str):
    with pytest.raises(MalformedHashError):
        hashing.parse(stored)


@pytest.mark.parametrize(
    ("profile", "stored", "is_result"),
    [
        (Profile.LEGACY_SHA256, legacy_form(), True),
        (Profile.LEGACY_SHA256, legacy_form("KA 47-UT-9174"), False),
        (Profile.LEGACY_SHA256, hmac_form(NEW), False),
        (Profile.HMAC_SHA256, hmac_form(NEW), True),
        (Profile.HMAC_SHA256, hmac_form(OLD), False),
        (Profile.ARGON2ID, argon2id_form(NEW), True),
        (Profile.ARGON2ID, argon2id_form(NEW, Cost(128, 1, 1)), False),
        (Profile.ARGON2ID, "rubbish", False),
    ],
)
def test_a_worker_s_hash_must_be_one_of_its_job(profile: Profile, stored: str, is_result: bool):
    value, key_id = hashing.payload_input(profile, NUMBER, RING)
    assert hashing.is_result_of(Payload(profile, value, key_id), stored, CHEAP) is is_result


def test_a_pepper_file_is_read_in_order():
    ring = hashing.parse_pepper(f"new:{'6e' * 32}\n\nold:{'6f' * 33}\n")
    assert [key.key_id for key in ring.keys] == ["new", "old"]
    assert ring.current == NEW


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds no key"),
        ("k1", "at least 32"),
        ("k1:6e6e", "has 2 bytes"),
        ("k1:zz", "not hex"),
        ("k 1:" + "6e" * 32, "key id"),
        (f"k1:{'6e' * 32}\nk1:{'6f' * 32}", "twice"),
    ],
)
def test_a_wrong_pepper_file_says_what_is_wrong(text: str, words: str):
    with pytest.raises(ValueError, match=words):
        hashing.parse_pepper(text)


def test_secrets_do_not_show():
    payload = Payload(Profile.LEGACY_SHA256, b"KA47")
    assert "nnn" not in repr(RING)
    assert "KA47" not in repr(payload)


def test_a_request_is_known_under_each_live_key():
    before = hashing.request_digests([b"a", b"bc"], Keyring((OLD,)))
    after = hashing.request_digests([b"a", b"bc"], RING)
    assert before[0] in after
    assert hashing.request_digests([b"ab", b"c"], RING)[0] != after[0]
    assert len(hashing.request_digests([b"a"], Keyring())) == 1


def test_a_join_token_belongs_to_one_worker():
    token = hashing.join_token(b"k" * 32, "w1")
    assert token.startswith("v1.")
    assert "=" not in token
    assert hashing.is_join_token(b"k" * 32, "w1", token)
    assert not hashing.is_join_token(b"k" * 32, "w2", token)
    assert not hashing.is_join_token(b"l" * 32, "w1", token)
    assert not hashing.is_join_token(b"k" * 32, "w1", "töken")


def test_what_a_new_pepper_file_changes_is_named():
    change = hashing.key_change(Keyring((OLD,)), RING)
    assert (change.current, change.added, change.removed) == ("new", ("new",), ())
    assert hashing.key_change(RING, Keyring((NEW,))).removed == ("old",)
    with pytest.raises(ValueError, match="'old' has another secret"):
        hashing.key_change(RING, Keyring((Key("old", b"x" * 32),)))


def test_a_key_that_is_not_live_costs_the_work_of_one_that_is():
    def cost(key: Key) -> float:
        form = hashing.parse(argon2id_form(key, Cost(16384, 2, 1)))
        began = time.thread_time()
        with contextlib.suppress(UnknownKeyError):
            hashing.verify(NUMBER, form, RING, profile=Profile.ARGON2ID, cost=CHEAP)
        return time.thread_time() - began

    unknown = Key("gone", b"g" * 32)
    assert min(cost(unknown) for _ in range(3)) > 0.5 * min(cost(NEW) for _ in range(3))
