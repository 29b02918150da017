import asyncio
import base64
import threading

import bcrypt
import pytest

from collector.web.passwords import BusyError, Passwords


def hashed(password, cost=4):
    return bcrypt.hashpw(password, bcrypt.gensalt(cost)).decode()


USERS = {"prometheus": hashed(b"secret"), "r\u00fcdiger": hashed("g\u00e4rtner".encode())}


def basic(user, password):
    joined = user.encode() + b":" + (password.encode() if isinstance(password, str) else password)
    return "Basic " + base64.b64encode(joined).decode()


@pytest.fixture
def checks():
    """What bcrypt was asked, and a gate that holds its answers back."""

    class Checks:
        def __init__(self):
            self.asked = []
            self.gate = threading.Event()
            self.gate.set()

        def __call__(self, password, hash_):
            self.asked.append((password, hash_))
            assert self.gate.wait(10)
            return bcrypt.checkpw(password, hash_)

    return Checks()


@pytest.fixture
def passwords(checks):
    made = Passwords(checks)
    yield made
    checks.gate.set()
    made.close()


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (basic("prometheus", "secret"), True),
        (basic("prometheus", "secret").replace("Basic", "bASIC"), True),
        (basic("r\u00fcdiger", "g\u00e4rtner"), True),
        (basic("prometheus", "Secret"), False),
        (basic("prometheus", ""), False),
        (basic("nobody", "secret"), False),
        (basic("", ""), False),
        (basic("prometheus", "x" * 10_000), False),
        (basic("prometheus", b"\0\xff"), False),
        ("", False),
        ("Basic", False),
        ("Basic !!!", False),
        ("Basic " + base64.b64encode(b"no colon").decode(), False),
        ("Basic " + base64.b64encode(b"\xff\xfe:x").decode(), False),
        ("Bearer secret", False),
    ],
)
async def test_who_is_known(passwords, header, expected):
    assert await passwords.is_known(USERS, header) is expected
    assert await passwords.is_known(USERS, header) is expected


async def test_a_long_password_counts_as_far_as_bcrypt_looks(passwords):
    users = {"u": hashed(b"x" * 72)}
    assert await passwords.is_known(users, basic("u", "x" * 100))


async def test_each_password_is_checked_once(passwords, checks):
    for _ in range(3):
        assert await passwords.is_known(USERS, basic("prometheus", "secret"))
        assert not await passwords.is_known(USERS, basic("prometheus", "wrong"))
    assert len(checks.asked) == 2


async def test_those_that_ask_at_once_share_a_check(passwords, checks):
    header = basic("prometheus", "secret")
    assert await asyncio.gather(*(passwords.is_known(USERS, header) for _ in range(10))) == (
        [True] * 10
    )
    assert len(checks.asked) == 1


async def test_a_changed_hash_is_checked_anew(passwords, checks):
    header = basic("prometheus", "secret")
    assert await passwords.is_known(USERS, header)
    assert not await passwords.is_known({"prometheus": hashed(b"other")}, header)
    assert not await passwords.is_known({}, header)


async def test_an_unknown_user_costs_as_much_as_a_known_one(passwords, checks):
    users = {"a": hashed(b"x", 4), "b": hashed(b"x", 6)}
    await passwords.is_known(users, basic("nobody", "x"))
    ((_, hash_),) = checks.asked
    assert hash_.startswith(b"$2b$06$")


async def test_guesses_do_not_push_out_who_knows(passwords, checks):
    passwords_wrong = [basic("prometheus", str(number)) for number in range(300)]
    assert await passwords.is_known(USERS, basic("prometheus", "secret"))
    for header in passwords_wrong:
        assert not await passwords.is_known(USERS, header)
    before = len(checks.asked)
    assert await passwords.is_known(USERS, basic("prometheus", "secret"))
    assert len(checks.asked) == before
    # What is remembered of the wrong ones has a bound.
    assert not await passwords.is_known(USERS, passwords_wrong[0])
    assert len(checks.asked) == before + 1


async def test_too_many_at_once_are_told_so_and_known_ones_are_not(passwords, checks):
    assert await passwords.is_known(USERS, basic("prometheus", "secret"))
    checks.gate.clear()
    waiting = [
        asyncio.create_task(passwords.is_known(USERS, basic("prometheus", str(number))))
        for number in range(16)
    ]
    await asyncio.sleep(0)
    with pytest.raises(BusyError):
        await passwords.is_known(USERS, basic("prometheus", "one more"))
    assert await passwords.is_known(USERS, basic("prometheus", "secret"))
    checks.gate.set()
    assert not any(await asyncio.gather(*waiting))
