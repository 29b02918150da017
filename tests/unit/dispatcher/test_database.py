"""Files and URLs that name a store."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.database import PostgresqlUrl, parse_database


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://me@host/db",
        "postgres:///db?host=/run/postgresql",
        "postgresql://one,two:5433/db?options=-c%20search_path%3Dx",
        "postgresql://",
    ],
)
def test_a_url_is_kept_as_it_is(text):
    assert str(parse_database(text)) == text


@pytest.mark.parametrize("value", ["jobs.db", ":memory:", "/a/postgresql/jobs.db", Path("x"), 3])
def test_anything_else_is_left_to_who_asks(value):
    assert parse_database(value) == value


def test_a_url_that_was_taken_for_a_path_is_one_again():
    path = Path("postgresql://me@host/db")
    assert parse_database(path) == PostgresqlUrl("postgresql://me@host/db")


@given(st.text(st.characters(categories=["L", "N"])).map("9{}9".format), st.sampled_from("abc"))
def test_no_password_is_taken_or_repeated(secret, shape):
    shapes = {
        "a": f"postgresql://me:{secret}@host/db",
        "b": f"postgresql://host/db?sslmode=require&password={secret}",
        "c": f"postgres://host/db?PASSWORD={secret}",
    }
    with pytest.raises(ValueError, match="must not hold a password") as raised:
        parse_database(shapes[shape])
    assert secret not in str(raised.value)


@pytest.mark.parametrize("text", ["postgresql:db", "postgres:/host/db", "postgresql://[host/db"])
def test_what_is_no_url_is_refused(text):
    with pytest.raises(ValueError, match="is no URL; write postgresql://"):
        parse_database(text)
