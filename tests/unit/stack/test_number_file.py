import os
from pathlib import Path

import pytest

from stack import number_file
from stack.number_file import BadLine, Entry, FileError


def read(path: Path, column: str | None = None) -> list[Entry | BadLine]:
    return list(number_file.read(path, column=column))


def test_text_has_one_number_per_line_and_keeps_line_numbers(tmp_path: Path) -> None:
    path = tmp_path / "plates.txt"
    path.write_text("KA-47-UT-9173\n\n# a comment\n  DL01AB1234  \r\n", encoding="utf-8")
    assert read(path) == [Entry(1, "KA-47-UT-9173"), Entry(4, "DL01AB1234")]


@pytest.mark.parametrize("header", ["number", "Plate", "license", "only"])
def test_the_column_of_a_csv_is_found_by_its_usual_name(tmp_path: Path, header: str) -> None:
    path = tmp_path / "cars.csv"
    extra = "" if header == "only" else ",owner"
    path.write_text(f'{header}{extra}\n"KA-47-UT-9173"{",x" if extra else ""}\n', encoding="utf-8")
    assert read(path) == [Entry(2, "KA-47-UT-9173")]


def test_a_byte_order_mark_as_written_by_spreadsheets_is_no_part_of_the_header(
    tmp_path: Path,
) -> None:
    path = tmp_path / "cars.csv"
    path.write_text("number,owner\nKA-47-UT-9173,x\n", encoding="utf-8-sig")
    assert read(path) == [Entry(2, "KA-47-UT-9173")]


def test_a_named_column_wins(tmp_path: Path) -> None:
    path = tmp_path / "cars.csv"
    path.write_text("number,old\nKA-47-UT-9173,DL-01-AB-1234\n", encoding="utf-8")
    assert read(path, "OLD") == [Entry(2, "DL-01-AB-1234")]


def test_a_missing_column_names_those_that_exist(tmp_path: Path) -> None:
    path = tmp_path / "cars.csv"
    path.write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(FileError, match=r"no column 'plate'; its columns: 'a', 'b'"):
        read(path, "plate")
    with pytest.raises(FileError, match="--column NAME"):
        read(path)


def test_a_csv_without_a_header_does_not_show_its_numbers(tmp_path: Path) -> None:
    path = tmp_path / "cars.csv"
    path.write_text("KA-47-UT-9173\nDL-01-AB-1234\n", encoding="utf-8")
    with pytest.raises(FileError) as raised:
        read(path)
    assert "9173" not in str(raised.value)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("KA-47-UT-91;73", "';'"),
        ("x" * 65, "65 characters"),
        ("----", "no letter or digit"),
        ("KA-47-UT-9173\x00", "x00"),
    ],
)
def test_a_malformed_line_is_told_with_its_number_masked(
    tmp_path: Path, line: str, words: str
) -> None:
    path = tmp_path / "plates.txt"
    path.write_text(f"KA-47-UT-9173\n{line}\n", encoding="utf-8")
    good, bad = read(path)
    assert isinstance(good, Entry)
    assert isinstance(bad, BadLine)
    assert bad.line == 2
    assert words in bad.problem
    assert "9173" not in bad.problem


def test_a_csv_row_with_too_few_columns_is_a_bad_line(tmp_path: Path) -> None:
    path = tmp_path / "cars.csv"
    path.write_text("owner,number\nx\nx,\n,,\n\nx,KA-47-UT-9173\n", encoding="utf-8")
    kinds = [type(entry).__name__ for entry in read(path)]
    assert kinds == ["BadLine", "BadLine", "Entry"]


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "plates.txt"
    path.write_bytes(b"KA\xff\xfe\n")
    with pytest.raises(FileError, match="UTF-8"):
        read(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"nowhere\.txt: No such file"):
        read(tmp_path / "nowhere.txt")


def test_a_huge_file_is_streamed(tmp_path: Path) -> None:
    path = tmp_path / "plates.txt"
    with path.open("w", encoding="utf-8") as file:
        file.writelines(f"KA-47-UT-{number % 10_000:04d}\n" for number in range(50_000))
    stream = number_file.read(path, column=None)
    assert next(stream) == Entry(1, "KA-47-UT-0000")
    stream.close()  # type: ignore[attr-defined]


def test_no_number_is_in_the_text_form_of_an_entry() -> None:
    assert "9173" not in repr(Entry(3, "KA-47-UT-9173"))


@pytest.mark.parametrize("end", ["", "\n"])
def test_a_line_of_any_length_is_told_by_its_number_and_the_next_ones_are_read(tmp_path, end):
    path = tmp_path / "plates.txt"
    path.write_text("A1\n" + "B" * 300_000 + end + "\nC3\n", encoding="utf-8")
    found = list(number_file.read(path, column=None))
    assert found[0] == Entry(1, "A1")
    assert isinstance(found[1], BadLine)
    assert (found[1].line, "at most 64" in found[1].problem) == (2, True)
    assert found[-1].line == 3 + len(end)


def test_a_table_whose_lines_have_no_end_is_refused(tmp_path):
    path = tmp_path / "cars.csv"
    path.write_text("number\n" + "A1," * 100_000, encoding="utf-8")
    with pytest.raises(FileError, match=r"cars\.csv:2: has more than 65536 characters"):
        list(number_file.read(path, column=None))


def test_a_quote_that_is_never_closed_is_refused(tmp_path):
    path = tmp_path / "cars.csv"
    path.write_text('number\n"A1\n' + "B2\n" * 100_000, encoding="utf-8")
    with pytest.raises(FileError, match="not a CSV file that can be read"):
        list(number_file.read(path, column=None))


def test_a_pipe_is_refused_because_it_can_be_read_only_once(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(FileError, match="not a regular file"):
        list(number_file.read(path, column=None))
