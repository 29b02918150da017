import pytest

from stack import cells


@pytest.mark.parametrize(
    ("text", "shown"),
    [("vs-1", "vs-1"), ("a\x1b[31mb", "a?[31mb"), ("a\nb", "a?b"), ("\u202eevil", "?evil")],
)
def test_nothing_in_a_name_steers_the_terminal(text, shown):
    assert cells.printable(text) == shown


def test_what_does_not_fit_is_marked():
    assert cells.fit("domain", 6) == "domain"
    assert cells.fit("domains", 6) == "domai…"
    assert cells.fit("domains", 0) == ""
    assert cells.fit_name("vs-parking-0001", 9) == "vs-p…0001"


def test_wide_letters_take_two_cells():
    assert cells.fit("日本語", 5) == "日本…"
    assert cells.left("日本", 5) == "日本 "
    assert cells.right("日本", 5) == " 日本"


def test_a_line_is_cut_across_its_pieces():
    line = (("ab", "bold"), ("cd", ""), ("ef", ""))
    assert cells.cut(line, 6) == line
    assert "".join(text for text, _ in cells.cut(line, 4)) == "abc…"
    assert cells.cut(line, 0) == (("", "bold"),)


def test_pieces_flow_into_lines():
    lines = cells.flow([("queue 4", ""), ("leased 1", ""), ("done 3", "")], 17)
    assert [[text for text, _ in line] for line in lines] == [
        ["queue 4", "  ", "leased 1"],
        ["done 3"],
    ]


def test_text_is_folded_between_words_and_loses_none():
    assert cells.folded("why it was not chosen", 12) == ["why it was", "  not chosen"]
    assert cells.folded("abcdefghij", 6) == ["abcdef", "  ghij"]
    assert cells.folded("", 10) == [""]


def test_bars_and_curves():
    assert cells.bar(0.5, 4) == "##--"
    assert cells.bar(7.0, 4) == "####"
    assert cells.bar(-1.0, 4) == "----"
    assert cells.curve([0.0, 0.5, 1.0, None, 2.0], 6) == " ▁▅█·█"
    assert cells.curve([0.0, 1.0], 1) == "█"
    assert cells.curve([1.0], 0) == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1.0, "0 s"),
        (12.4, "12 s"),
        (59.6, "1 m 00 s"),
        (3725.0, "1 h 02 m"),
        (442_800.0, "5 d 03 h"),
    ],
)
def test_durations(seconds, text):
    assert cells.duration(seconds) == text
