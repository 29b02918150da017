"""What happens on a connection, as its state machine tells it."""

from typing import NamedTuple

from dispatcher.grpc_server.heads import Head
from dispatcher.grpc_server.messages import Message, MessageError


class Began(NamedTuple):
    """A call."""

    stream: int
    head: Head


class Came(NamedTuple):
    """A message of a call; see `Connection.consumed`."""

    stream: int
    message: Message


class HalfClosed(NamedTuple):
    """No more messages of a call."""

    stream: int


class Reset(NamedTuple):
    """A call is over: the peer takes no answer any more. `code` is HTTP/2's."""

    stream: int
    code: int


class Drained(NamedTuple):
    """What had to wait for the peer's window was sent."""

    stream: int


class Ponged(NamedTuple):
    """A ping of ours was answered."""


class Faulted(NamedTuple):
    """A message could not be taken: the call is to be answered, not reset."""

    stream: int
    error: MessageError


class Broken(NamedTuple):
    """The connection is over; send what is left and close."""

    reason: str


Event = Began | Came | HalfClosed | Reset | Drained | Ponged | Faulted | Broken
