import pytest

from stack import console_lines
from stack.console_lines import Line, LineEditor


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("0.5", Line("delta", delta=0.5)),
        ("  2 ", Line("delta", delta=2.0)),
        ("0,25", Line("delta", delta=0.25)),
        ("PAUSE", Line("pause")),
        ("resume", Line("resume")),
        ("status", Line("status")),
        ("terminate", Line("terminate")),
        ("help", Line("help")),
        ("", Line("nothing")),
    ],
)
def test_words_and_numbers_are_understood(text: str, line: Line) -> None:
    assert console_lines.understand(text) == line


@pytest.mark.parametrize("text", ["quit", "-1", "0", "nan", "inf", "1e9", "1 2", "\x00"])
def test_nonsense_gets_a_hint_on_one_line(text: str) -> None:
    line = console_lines.understand(text)
    assert line.kind == "hint"
    assert line.hint
    assert "\n" not in line.hint


def test_the_editor_knows_backspace_arrows_and_pasted_lines() -> None:
    editor = LineEditor()
    assert editor.feed("statx\x7f") == []
    assert editor.feed("\x1b[Aus") == []
    assert editor.text == "status"
    assert editor.feed("\x15terminate\nhel") == ["terminate"]
    assert editor.text == "hel"
