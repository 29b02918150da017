"""Stored forms come from outside: whatever they are, they are read or refused at once."""

import base64
import string

from hypothesis import given
from hypothesis import strategies as st

from dispatcher import hashing, plates
from dispatcher.hashing import Argon2idHash, HmacHash, LegacyHash, MalformedHashError
from dispatcher.plates import INDIAN, NumberFormats

ANY = NumberFormats(("in", "in-legacy", "gb", "de", "fr", "es", "it", "nl", "free"))
DIGITS = st.text(alphabet="0123456789\u0660\u0967\uff11\u00b2", max_size=12)
PARTS = st.text(
    alphabet=string.ascii_letters + string.digits + "+/=$,:._-\n\u0661\uff11\x00", max_size=80
)
FIELDS = st.one_of(DIGITS, PARTS, st.integers(-5, 2**70).map(str))


def accepted(stored: str) -> hashing.StoredHash | None:
    try:
        return hashing.parse(stored)
    except MalformedHashError as error:
        # The refusal repeats nothing of what was sent.
        assert len(str(error)) < 200
        return None


def is_written_so(form: hashing.StoredHash, stored: str) -> bool:
    """Each form has one spelling only: what was read would be written the same."""

    def text(value: bytes) -> str:
        return base64.b64encode(value).decode().rstrip("=")

    match form:
        case LegacyHash(digest=digest, salt=salt):
            return stored == f"{digest}:{salt}"
        case HmacHash(key_id=key_id, digest=raw):
            return stored == f"$hmac-sha256$keyid={key_id}${text(raw)}"
        case Argon2idHash(cost=cost, key_id=key_id, salt=raw_salt, digest=raw):
            cost_text = f"m={cost.memory_kib},t={cost.passes},p={cost.lanes}"
            return stored == (
                f"$argon2id$v=19${cost_text},keyid={key_id}${text(raw_salt)}${text(raw)}"
            )
    return False


def check(stored: str) -> None:
    form = accepted(stored)
    if form is not None:
        assert stored.isascii()
        assert is_written_so(form, stored)
        if isinstance(form, Argon2idHash):
            assert form.cost.is_bearable
            assert len(form.salt) == 16
            assert len(form.digest) == 32


@given(st.text(max_size=600))
def test_any_text_is_read_or_refused(stored: str) -> None:
    check(stored)


@given(FIELDS, FIELDS, FIELDS, PARTS, PARTS, PARTS)
def test_any_argon2id_like_form_is_read_or_refused(
    memory: str, passes: str, lanes: str, key_id: str, salt: str, digest: str
) -> None:
    check(f"$argon2id$v=19$m={memory},t={passes},p={lanes},keyid={key_id}${salt}${digest}")
    good = "A" * 22, "A" * 43
    check(f"$argon2id$v=19$m={memory},t={passes},p={lanes},keyid=k1${good[0]}${good[1]}")
    check(f"$argon2id$v=19$m=64,t=1,p=1,keyid={key_id}${good[0]}${good[1]}")
    check(f"$argon2id$v=19$m=64,t=1,p=1,keyid=k1${salt}${digest}")


@given(PARTS, PARTS)
def test_any_other_like_form_is_read_or_refused(first: str, second: str) -> None:
    check(f"$hmac-sha256$keyid={first}${second}")
    check(f"{first}:{second}")
    check(f"$hmac-sha256$keyid=k1${(second * 43)[:43]}")


@given(st.text(max_size=80))
def test_any_text_is_a_number_or_has_a_fault_that_does_not_show_it(number: str) -> None:
    fault = INDIAN.fault(number)
    ANY.fault(number)
    plate = plates.canonical(number)
    assert plates.canonical(plate) == plate or not number.isascii()
    if fault is None:
        assert plate.isascii()
        assert 4 <= len(plate) <= 11
    elif len(number.strip()) >= 9:
        assert number.strip() not in fault
