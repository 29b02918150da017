import os
from collections.abc import Sequence

from guest_worker import values
from guest_worker.announcements import Announcements
from guest_worker.logs import Log
from guest_worker.session import Identity, Session
from guest_worker.values import Assignment, Lease, Lost, Outcome
from guest_worker.worker import CLEAN, UNCLEAN, Wake, Worker

WELCOME = values.Welcome("s1", 0.5, 10.0, (), False)
A = Assignment(Lease(1, 1), values.LEGACY_SHA256, b"n")


class FakeClock:
    """Monotonic time moves on by a hundredth of a second at each look."""

    def __init__(self) -> None:
        self.now = 100.0
        self.suspended = 0.0

    def monotonic(self) -> float:
        self.now += 0.01
        return self.now

    def boottime(self) -> float:
        return self.now + self.suspended

    def fraction(self) -> float:
        return 0.0


class FakeHashing:
    """Finishes everything at once."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        self.outcomes: list[Outcome] = []
        self.is_warm = False

    def file_descriptors(self) -> list[int]:
        return [self.reader]

    def start(self, assignments: Sequence[Assignment]) -> None:
        self.outcomes += [Outcome(each.lease, "digest:salt", 0.1) for each in assignments]
        os.write(self.writer, b"\0")

    def cancel(self, leases: Sequence[Lease]) -> None:
        self.outcomes = [outcome for outcome in self.outcomes if outcome.lease not in leases]

    def collect(self) -> list[Outcome]:
        os.read(self.reader, 100)
        outcomes, self.outcomes = self.outcomes, []
        return outcomes

    def warm(self) -> None:
        self.is_warm = True

    def close(self) -> None:
        os.close(self.reader)
        os.close(self.writer)


class FakeTransport:
    """Answers each connection with the next list of its script, and records what is sent."""

    def __init__(self, script: list[list[values.MessageDown | Lost]], wake: Wake) -> None:
        self.script = script
        self.wake = wake
        self.sent: list[values.MessageUp] = []
        self.arrived: list[values.MessageDown | Lost] = []
        self.connections = 0

    def connect(self, hello: values.Hello) -> None:
        self.connections += 1
        self.sent.append(hello)
        self.arrived = self.script.pop(0) if self.script else []
        self.wake()

    def send(self, messages: Sequence[values.MessageUp]) -> None:
        self.sent += messages
        for message in messages:
            if isinstance(message, values.Results):
                leases = tuple(outcome.lease for outcome in message.outcomes)
                self.arrived.append(values.ResultAcks(leases))
                self.wake()
            elif isinstance(message, values.Goodbye):
                self.arrived += [values.GoodbyeAck(), Lost("ended", False)]
                self.wake()

    def take(self) -> list[values.MessageDown | Lost]:
        arrived, self.arrived = self.arrived, []
        return arrived

    def close(self) -> None:
        self.arrived = []


class FakeAnnouncements(Announcements):
    """A network card that announces itself three times in a row, from the first poll on."""

    def __init__(self) -> None:
        super().__init__()
        self.reader, self.writer = os.pipe()
        self.left = 3

    def open(self) -> None:
        os.write(self.writer, b"x")

    def file_descriptors(self) -> tuple[int, ...]:
        return (self.reader,) if self.left else ()

    def take(self) -> bool:
        self.left -= 1
        return True

    def close(self) -> None:
        os.close(self.reader)
        os.close(self.writer)


class Rig:
    def __init__(
        self, *script: list[values.MessageDown | Lost], is_announced: bool = False
    ) -> None:
        self.wake = Wake()
        self.transport = FakeTransport(list(script), self.wake)
        self.hashing = FakeHashing()
        self.clock = FakeClock()
        self.log_reader, log_writer = os.pipe()
        identity = Identity("w", "i", "t", 1, "0", "", (values.LEGACY_SHA256,))
        self.worker = Worker(
            Session(identity, 1),
            self.transport,
            self.hashing,
            self.clock,
            Log(log_writer, "debug"),
            self.wake,
            FakeAnnouncements() if is_announced else None,
        )
        self.log_writer = log_writer

    def run(self) -> int:
        return self.worker.run()

    def close(self) -> str:
        os.close(self.log_writer)
        log = os.read(self.log_reader, 65536).decode()
        os.close(self.log_reader)
        self.hashing.close()
        os.close(self.wake.reader)
        os.close(self.wake.writer)
        return log


class LeavesAfter:
    """Tells the worker to leave once its transport has sent a message of this kind."""

    def __init__(self, rig: Rig, kind: type) -> None:
        real = rig.transport.send

        def send(messages: Sequence[values.MessageUp]) -> None:
            real(messages)
            if any(isinstance(message, kind) for message in messages):
                rig.worker.leave("test")

        rig.transport.send = send  # type: ignore[method-assign]


class LeavesAfterSession:
    """Tells the worker to leave once it sends credit on its stream of this number."""

    def __init__(self, rig: Rig, number: int) -> None:
        real = rig.transport.send

        def send(messages: Sequence[values.MessageUp]) -> None:
            real(messages)
            if rig.transport.connections == number:
                rig.worker.leave("test")

        rig.transport.send = send  # type: ignore[method-assign]


def test_a_job_goes_through_and_the_leave_is_clean() -> None:
    rig = Rig([WELCOME, values.Jobs((A,))])
    LeavesAfter(rig, values.Results)
    assert rig.run() == CLEAN
    kinds = [type(message).__name__ for message in rig.transport.sent]
    assert kinds[:2] == ["Hello", "Credit"]
    assert "Results" in kinds
    assert kinds[-1] == "Goodbye"
    assert rig.hashing.is_warm
    log = rig.close()
    assert "session.opened session=s1" in log
    assert "worker.leaving reason=test" in log
    assert "stream.lost" not in log


def test_a_lost_stream_is_opened_again() -> None:
    rig = Rig([Lost("UNAVAILABLE: gone", False)], [WELCOME])
    LeavesAfter(rig, values.Credit)
    assert rig.run() == CLEAN
    assert rig.transport.connections == 2
    assert 'stream.lost reason="UNAVAILABLE: gone"' in rig.close()


def test_the_same_loss_is_told_once_until_a_stream_was_open() -> None:
    gone, away = Lost("UNAVAILABLE: gone", False), Lost("UNAVAILABLE: away", False)
    rig = Rig([gone], [gone], [away], [away], [WELCOME, away], [WELCOME])
    LeavesAfterSession(rig, 6)
    assert rig.run() == CLEAN
    told = [line.split()[1] for line in rig.close().splitlines() if "stream.lost" in line]
    assert told == ["warning", "debug", "warning", "debug", "warning"]


def test_a_rejected_worker_waits_and_says_why() -> None:
    rig = Rig([Lost("UNAUTHENTICATED: wrong token", True)])
    rig.worker.leave("test")
    assert rig.run() == UNCLEAN
    assert rig.transport.connections == 1
    assert 'dispatcher.rejected reason="UNAUTHENTICATED: wrong token" retry_seconds=30' in (
        rig.close()
    )


def test_a_suspended_machine_reconnects_at_once() -> None:
    rig = Rig([WELCOME], [WELCOME])
    real = rig.transport.send

    def send(messages: Sequence[values.MessageUp]) -> None:
        real(messages)
        if rig.transport.connections == 1:
            rig.clock.suspended = 3600.0
            rig.wake()
        else:
            rig.worker.leave("test")

    rig.transport.send = send  # type: ignore[method-assign]
    assert rig.run() == CLEAN
    assert rig.transport.connections == 2
    assert "clock.jumped suspended_seconds=3600.000" in rig.close()


def test_a_machine_that_was_exchanged_opens_one_new_stream_at_once() -> None:
    rig = Rig([WELCOME], [WELCOME, values.Jobs((A,))], is_announced=True)
    LeavesAfter(rig, values.Results)
    assert rig.run() == CLEAN
    assert rig.transport.connections == 2
    assert rig.close().count("machine.exchanged") == 1
