import pytest

from stack import keys


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("q", ["q"]),
        ("\x1b[A\x1bOB", ["up", "down"]),
        ("\x1b[5~\x1b[6~", ["page up", "page down"]),
        ("\x1b[1~\x1b[F", ["home", "end"]),
        ("\r\x1b", ["enter", "escape"]),
        ("\x1b[1;5C", []),
        ("\x00\x07é", ["é"]),
    ],
)
def test_bytes_become_names(text, names):
    assert keys.pressed(text) == names
