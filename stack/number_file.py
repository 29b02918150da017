"""A user's file of licence numbers, read as a stream: it may be larger than the memory."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from virtscale.client.values import MAX_NUMBER_LENGTH

from stack.masking import mask

_SHOWN = 24
_LONGEST_LINE = 65_536


@dataclass(frozen=True)
class Entry:
    """A number and the line it stands on (from 1)."""

    line: int
    number: str

    def __repr__(self) -> str:
        """Without the number."""
        return f"Entry(line={self.line})"


@dataclass(frozen=True)
class BadLine:
    """A line that holds no number. `problem` shows it masked at most."""

    line: int
    problem: str


class FileError(Exception):
    """The file cannot be read as asked. The text is for a person."""


def read(path: Path, *, column: str | None) -> Iterator[Entry | BadLine]:
    """The file's numbers in order. Empty lines are skipped.

    `.csv` has a header; `column` names the one with the numbers, otherwise it is the first whose
    name is `number`, `plate` or `license`, or the only one. Any other file has one per line.

    Raises:
        FileError: when the file or the column does not exist, or it is not UTF-8 text.

    """
    try:
        if path.exists() and not path.is_file():
            # A pipe would be empty when it is read again to be sent.
            raise FileError(f"{path}: not a regular file; write the numbers to one first")
        with path.open(encoding="utf-8-sig", newline="") as file:
            if path.suffix.lower() == ".csv":
                yield from _read_csv(path, file, column)
            elif column is not None:
                raise FileError(f"--column has no meaning for {path}: only a .csv has columns")
            else:
                yield from _read_lines(file)
    except UnicodeDecodeError as error:
        raise FileError(
            f"{path}: not UTF-8 text ({error.reason}); convert it with: iconv -t UTF-8"
        ) from None
    except csv.Error as error:
        raise FileError(f"{path}: not a CSV file that can be read: {error}") from None
    except OSError as error:
        raise FileError(f"{path}: {error.strerror}; check the path") from None


def check(line: int, text: str) -> Entry | BadLine:
    """The number in `text`, or what is wrong with it."""
    number = text.strip()
    if len(number) > MAX_NUMBER_LENGTH:
        return BadLine(line, f"{len(number)} characters, at most {MAX_NUMBER_LENGTH} are allowed")
    shown = mask(number)[:_SHOWN]
    # Which letters a plate may have is the dispatcher's to say: that depends on the country.
    strange = next((c for c in number if not (c.isalnum() or c in "-. ")), None)
    if strange is not None:
        return BadLine(line, f"{shown!r} holds {strange!r}; letters, digits, -, . and space only")
    if not any(character.isalnum() for character in number):
        return BadLine(line, f"{shown!r} holds no letter or digit")
    return Entry(line, number)


def _read_lines(file: IO[str]) -> Iterator[Entry | BadLine]:
    for position, (line, is_whole) in enumerate(_lines(file), start=1):
        text = line.strip()
        if not is_whole:
            yield BadLine(
                position,
                f"more than {_LONGEST_LINE} characters, at most {MAX_NUMBER_LENGTH} are allowed",
            )
        elif text and not text.startswith("#"):
            yield check(position, text)


def _lines(file: IO[str]) -> Iterator[tuple[str, bool]]:
    """Each line, and whether that is all of it: a file may be one line larger than the memory."""
    while line := file.readline(_LONGEST_LINE):
        is_whole = len(line) < _LONGEST_LINE or line.endswith("\n")
        yield line, is_whole
        while not is_whole and (rest := file.readline(_LONGEST_LINE)):
            is_whole = rest.endswith("\n")


def _rows(path: Path, file: IO[str]) -> Iterator[str]:
    for position, (line, is_whole) in enumerate(_lines(file), start=1):
        if not is_whole:
            raise FileError(
                f"{path}:{position}: has more than {_LONGEST_LINE} characters, no CSV of numbers "
                "does; check the file's line ends and quotes"
            )
        yield line


def _read_csv(path: Path, file: IO[str], column: str | None) -> Iterator[Entry | BadLine]:
    rows = csv.reader(_rows(path, file))
    header = next(rows, None)
    if header is None:
        return
    position = _column(path, header, column)
    for row in rows:
        if not any(field.strip() for field in row):
            continue
        if len(row) <= position:
            yield BadLine(rows.line_num, f"has {len(row)} columns, too few for the number")
            continue
        if not row[position].strip():
            yield BadLine(rows.line_num, "the number is empty")
            continue
        yield check(rows.line_num, row[position])


def _column(path: Path, header: list[str], wanted: str | None) -> int:
    names = [name.strip() for name in header]
    lower = [name.lower() for name in names]
    if wanted is not None:
        if wanted.lower() in lower:
            return lower.index(wanted.lower())
        raise FileError(f"{path}: has no column {wanted!r}; its columns: {_named(names)}")
    for usual in ("number", "plate", "license", "licence"):
        if usual in lower:
            return lower.index(usual)
    if len(names) == 1 and not any(character.isdigit() for character in names[0]):
        return 0
    raise FileError(
        f"{path}: say which column holds the numbers with --column NAME; the first line must name "
        f"the columns, it has: {_named(names)}"
    )


def _named(names: list[str]) -> str:
    """Column names; what looks like data of a file without a header is masked."""
    return ", ".join(
        repr(mask(name) if any(c.isdigit() for c in name) else name) for name in names[:20]
    )
