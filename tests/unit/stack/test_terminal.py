"""The one place that decides about colours and movement."""

import os
import pty

import pytest

from servicekit import logs
from stack import terminal


@pytest.fixture
def tty():
    master, slave = pty.openpty()
    with os.fdopen(slave, "w") as stream:
        yield stream
    os.close(master)


@pytest.fixture
def pipe():
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stream:
        yield stream
    os.close(reader)


@pytest.mark.parametrize(
    ("environ", "is_coloured", "can_move"),
    [
        ({"TERM": "xterm"}, True, True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False, True),
        ({"TERM": "xterm", "NO_COLOR": ""}, True, True),
        ({"TERM": "dumb"}, False, False),
        ({"TERM": "dumb", "FORCE_COLOR": "1"}, True, False),
        ({"TERM": "xterm", "FORCE_COLOR": "1", "NO_COLOR": "1"}, False, True),
    ],
)
def test_at_a_terminal(tty, environ, is_coloured, can_move):
    assert logs.has_styles(tty, environ) is is_coloured
    assert terminal.can_move(tty, environ) is can_move


@pytest.mark.parametrize(
    ("environ", "is_coloured"),
    [({"TERM": "xterm"}, False), ({"FORCE_COLOR": "1"}, True), ({"NO_COLOR": "1"}, False)],
)
def test_piped(pipe, environ, is_coloured):
    assert logs.has_styles(pipe, environ) is is_coloured
    assert not terminal.can_move(pipe, environ)


def test_a_pipe_has_no_width(pipe):
    assert terminal.console_of(pipe).width > 1000


def test_a_closed_stream_is_no_terminal(pipe):
    pipe.close()
    assert not terminal.can_move(pipe, {})


def test_a_terminal_that_does_not_tell_its_size_has_the_usual_one(pipe):
    assert terminal.size(pipe.fileno()).columns > 0
