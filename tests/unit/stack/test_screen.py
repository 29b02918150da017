import io

import pytest

from stack.screen import Screen


class BrokenStream(io.StringIO):
    """A terminal that was closed."""

    def write(self, text: str) -> int:
        raise BrokenPipeError


def test_lines_and_steps_are_written_as_they_are():
    stream = io.StringIO()
    screen = Screen(stream)
    screen.tell("a [bold]name[/bold]")
    with screen.step("services"):
        pass
    assert stream.getvalue().startswith("a [bold]name[/bold]\n  services: done in 0.")


def test_a_step_that_fails_says_so():
    stream = io.StringIO()
    with pytest.raises(ValueError, match="why"), Screen(stream).step("services"):
        raise ValueError("why")
    assert stream.getvalue() == "  services: failed\n"


def test_a_closed_terminal_stops_nothing():
    screen = Screen(BrokenStream())
    screen.tell("a")
    with screen.step("services"):
        screen.show("b")
    screen.open_table()
    screen.print("c")
    screen.close_table()
    assert not screen.is_terminal


def test_without_a_terminal_there_is_no_table():
    assert not Screen(io.StringIO()).is_terminal
