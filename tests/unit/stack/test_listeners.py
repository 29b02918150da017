import socket

import pytest

from stack import listeners
from stack.listeners import Listener
from stack.settings import UpSettings


@pytest.fixture
def held():
    with socket.socket() as made:
        made.bind((listeners.HOST, 0))
        made.listen()
        yield made.getsockname()[1]


@pytest.mark.parametrize("listener", UpSettings().listeners(), ids=lambda each: each.option)
def test_a_busy_port_is_named_with_its_service_and_its_option(held, listener):
    taken = Listener(listener.service, held, listener.option)
    (fault,) = listeners.busy([taken])
    assert f"port {held} for the {listener.service}" in fault
    assert f"{listener.option} PORT" in fault
    assert f"sport = :{held}" in fault


def test_every_busy_port_is_told_at_once(held):
    found = listeners.busy([Listener("a", held, "--a"), Listener("b", held, "--b")])
    assert len(found) == 2


def test_a_port_whose_connections_linger_is_free(held):
    with socket.socket() as ended:
        ended.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        ended.bind((listeners.HOST, 0))
        port = ended.getsockname()[1]
    assert listeners.busy([Listener("a", port, "--a")]) == []


def test_a_port_given_twice_is_told_by_both_options():
    (fault,) = listeners.duplicates([Listener("a", 5, "--a"), Listener("b", 5, "--b")])
    assert "--a and --b are both 5" in fault
