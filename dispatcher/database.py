"""Where a store is: a file, or a PostgreSQL database by its URL. Pure."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

_SCHEMES = ("postgresql:", "postgres:")


@dataclass(frozen=True, slots=True)
class PostgresqlUrl:
    """A PostgreSQL database, as libpq names one. It never holds a password."""

    text: str

    def __str__(self) -> str:
        return self.text


def parse_database(value: object) -> object:
    """A file or a URL from text; anything else as it is.

    Raises:
        ValueError: for a person. It does not repeat what was given, which may hold a password.

    """
    if isinstance(value, Path) and str(value).startswith(_SCHEMES):
        value = str(value).replace(":/", "://", 1)
    if not isinstance(value, str) or not value.startswith(_SCHEMES):
        return value
    try:
        parts = urlsplit(value)
        has_password = parts.password is not None
    except ValueError:
        raise ValueError("is no URL; write postgresql://USER@HOST/DATABASE") from None
    names = {name.lower() for name, _ in parse_qsl(parts.query, keep_blank_values=True)}
    if has_password or names & {"password", "sslpassword"}:
        raise ValueError(
            "must not hold a password: processes and logs would show it; write it into a file and "
            "name that with database_password_file, or use libpq's passfile"
        )
    if not value.startswith(("postgresql://", "postgres://")):
        raise ValueError("is no URL; write postgresql://USER@HOST/DATABASE")
    return PostgresqlUrl(value)
