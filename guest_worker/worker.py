"""The loop: wait for the stream, the hashing processes or a deadline; feed the session; obey it.

It blocks only in poll. Everything that takes time happens elsewhere: hashing in other processes,
gRPC in its threads. That keeps heartbeats on time when every CPU hashes.
"""

import os
import select
from collections.abc import Callable
from typing import TYPE_CHECKING

from guest_worker import values
from guest_worker.announcements import Announcements
from guest_worker.logs import Log
from guest_worker.reconnect import Backoff
from guest_worker.session import Session

if TYPE_CHECKING:
    from guest_worker.ports import Clock, Hashing, Transport

# Suspended for longer than this: the connection is as good as dead, whatever TCP believes.
SUSPENDED_SECONDS = 2.0
# A wake-up so much too late means that the machine stood still with its clocks running.
STALLED_SECONDS = 20.0
# A network card announces itself several times within about a second.
ANNOUNCING_SECONDS = 5.0
# The same reason is told again only after so long.
SAME_LOSS_SECONDS = 60.0
# Without any deadline, look at the clocks at least so often.
IDLE_SECONDS = 5.0

CLEAN, UNCLEAN = 0, 1


class Wake:
    """A pipe that ends a poll, from any thread or signal."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)
        os.set_blocking(self.writer, False)

    def __call__(self) -> None:
        """End the poll, now or next time."""
        try:
            os.write(self.writer, b"\0")
        except BlockingIOError:
            return  # full: the poll ends anyway

    def clear(self) -> None:
        """Forget what was written."""
        try:
            while os.read(self.reader, 4096):
                pass
        except BlockingIOError:
            return


class Worker:
    """One worker process: its session, its stream, its hashing processes."""

    def __init__(
        self,
        session: Session,
        transport: "Transport",
        hashing: "Hashing",
        clock: "Clock",
        log: Log,
        wake: Wake,
        announcements: Announcements | None = None,
    ) -> None:
        self._session = session
        self._transport = transport
        self._hashing = hashing
        self._clock = clock
        self._log = log
        self._wake = wake
        self._backoff = Backoff()
        self._announcements = announcements or Announcements()
        self._announced_at = float("-inf")
        self._connect_at: float | None = None
        self._leave_reason: str | None = None
        self._exit_code: int | None = None
        self._suspended = 0.0
        self._told = ("", float("-inf"))

    def leave(self, reason: str) -> None:
        """Ask the loop to end in order. For signal handlers and other threads."""
        if self._leave_reason is None:
            self._leave_reason = reason
        self._wake()

    def run(self, after_hello: Callable[[], None] = lambda: None) -> int:
        """Work until told to leave; the exit code. `after_hello` runs once Hello is on its way."""
        self._suspended = self._clock.boottime() - self._clock.monotonic()
        self._connect(self._clock.monotonic())
        after_hello()
        self._announcements.open()
        self._hashing.warm()
        while self._exit_code is None:
            self._turn()
        self._transport.close()
        self._announcements.close()
        return self._exit_code

    def _turn(self) -> None:
        wait = self._wait_seconds()
        before = self._clock.monotonic()
        poll = select.poll()
        poll.register(self._wake.reader, select.POLLIN)
        announced = self._announcements.file_descriptors()
        for descriptor in (*self._hashing.file_descriptors(), *announced):
            poll.register(descriptor, select.POLLIN | select.POLLHUP)
        ready = {descriptor for descriptor, _ in poll.poll(max(0, int(wait * 1000 + 0.999)))}
        if self._wake.reader in ready:
            self._wake.clear()
            ready.discard(self._wake.reader)
        is_announced = bool(ready.intersection(announced)) and self._announcements.take()
        ready.difference_update(announced)
        now = self._clock.monotonic()
        self._look_for_pause(now, now - before - wait)
        if is_announced:
            self._announced(now)
        for event in self._transport.take():
            if self._exit_code is not None:
                return  # after GoodbyeAck the stream's end is no news
            if isinstance(event, values.Lost):
                self._lost(event, now)
                continue
            if isinstance(event, values.Welcome):
                self._welcomed(event)
            self._obey(self._session.receive(event, now), now)
        if ready:
            self._obey(self._session.finished(self._hashing.collect()), now)
        if self._leave_reason is not None and not self._session.is_leaving:
            self._log.info("worker.leaving", reason=self._leave_reason)
            self._obey(self._session.leave(self._leave_reason, now), now)
        self._obey(self._session.tick(now), now)
        if self._connect_at is not None and now >= self._connect_at:
            self._connect(now)

    def _wait_seconds(self) -> float:
        dues = [due for due in (self._session.wake_at, self._connect_at) if due is not None]
        return min(IDLE_SECONDS, max(0.0, min(dues, default=1e9) - self._clock.monotonic()))

    def _connect(self, now: float) -> None:
        self._connect_at = None
        (hello,) = self._session.connected(now, self._clock.boottime())
        assert isinstance(hello, values.Hello)
        self._transport.connect(hello)

    def _welcomed(self, welcome: values.Welcome) -> None:
        self._backoff.succeeded()
        self._told = ("", float("-inf"))
        self._log.info(
            "session.opened",
            session=welcome.session_id,
            heartbeat_seconds=welcome.heartbeat_interval,
            lease_ttl_seconds=welcome.lease_ttl,
            kept=len(welcome.kept),
            cordoned=welcome.cordoned,
        )

    def _lost(self, lost: values.Lost, now: float) -> None:
        self._transport.close()
        self._obey(self._session.disconnected(), now)
        delay = self._backoff.failed(rejected=lost.rejected, fraction=self._clock.fraction())
        self._connect_at = now + delay
        if lost.rejected:
            self._log.error("dispatcher.rejected", reason=lost.reason, retry_seconds=delay)
        else:
            tell = self._log.warning if self._is_news(lost.reason, now) else self._log.debug
            tell("stream.lost", reason=lost.reason, retry_seconds=delay)

    def _is_news(self, reason: str, now: float) -> bool:
        """A dispatcher that is away for a night fills no journal."""
        before, told_at = self._told
        if reason == before and now < told_at + SAME_LOSS_SECONDS:
            return False
        self._told = (reason, now)
        return True

    def _look_for_pause(self, now: float, late: float) -> None:
        suspended = self._clock.boottime() - self._clock.monotonic()
        slept = suspended - self._suspended
        self._suspended = suspended
        if slept > SUSPENDED_SECONDS or late > STALLED_SECONDS:
            self._log.info("clock.jumped", suspended_seconds=slept, late_seconds=late)
            self._reopen(now)

    def _announced(self, now: float) -> None:
        """Restored, or moved: a card announces itself some times in a row, one new stream will do.

        After a restore the old one is dead for certain; after a move the new one costs little.
        """
        if now - self._announced_at < ANNOUNCING_SECONDS:
            return
        self._announced_at = now
        self._log.info("machine.exchanged")
        self._reopen(now)

    def _reopen(self, now: float) -> None:
        self._transport.close()
        self._obey(self._session.disconnected(), now)
        if self._exit_code is None:
            self._connect(now)

    def _obey(self, outputs: list[values.Output], now: float) -> None:
        messages: list[values.MessageUp] = []
        starts: list[values.Assignment] = []
        for output in outputs:
            if isinstance(output, values.Start):
                starts.extend(output.assignments)
            elif isinstance(output, values.Cancel):
                self._hashing.cancel(output.leases)
            elif isinstance(output, values.Exit):
                self._exit_code = CLEAN if output.clean else UNCLEAN
            elif isinstance(output, values.Reconnect):
                self._log.warning("stream.lost", reason=output.reason, retry_seconds=0.0)
                self._reopen(now)
                return
            else:
                messages.append(output)
        if starts:
            self._hashing.start(starts)
        if messages:
            self._transport.send(messages)
