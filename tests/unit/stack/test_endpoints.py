import pytest

from stack import endpoints
from stack.endpoints import Endpoints, NotRunningError
from stack.lock import StackLock
from stack.paths import StateDirectory

HERE = Endpoints(
    1,
    "test:///default",
    "default",
    "a:1",
    "/token",
    "a:2",
    "a:3",
    "a:4",
    "a:5",
    "a:6",
    "/logs",
    1.5,
)


@pytest.fixture
def state(tmp_path):
    made = StateDirectory(tmp_path)
    made.create()
    return made


@pytest.fixture
def running(state):
    """A state directory whose `up` lives."""
    with StackLock(state.lock):
        yield state


def test_what_up_writes_the_others_read(running):
    endpoints.write(running, HERE)
    assert endpoints.read(running) == HERE
    endpoints.remove(running)
    endpoints.remove(running)


def test_a_stack_that_still_starts_is_told(running):
    with pytest.raises(NotRunningError, match="still starting"):
        endpoints.read(running)


def test_what_a_killed_stack_left_counts_for_nothing(state):
    endpoints.write(state, HERE)
    with pytest.raises(NotRunningError, match=rf"no stack is running in {state.root}"):
        endpoints.read(state)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 1}', '{"other": 1}'])
def test_a_damaged_file_says_how_to_mend_it(running, content):
    running.endpoints.write_text(content, encoding="utf-8")
    with pytest.raises(NotRunningError, match=r"endpoints\.json is damaged.*virtscale down"):
        endpoints.read(running)
