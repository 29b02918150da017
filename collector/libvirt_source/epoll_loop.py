"""Watches libvirt's sockets and timers without a word to the watching thread at every call.

Around each call libvirt takes its socket out of the event loop and gives it back. Its own loop
wakes its thread for that, twice per call: in a scrape of 20 domains a fifth of the collector's CPU
time, and two threads that want the same lock. The kernel lets another thread change what an epoll
watches without waking who waits on it.
"""

import itertools
import os
import select
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_READABLE, _WRITABLE, _ERROR, _HANGUP = 1, 2, 4, 8
"""libvirt's virEventHandleType."""
_TO_EPOLL = ((_READABLE, select.EPOLLIN), (_WRITABLE, select.EPOLLOUT))
_FROM_EPOLL = (*_TO_EPOLL, (_ERROR, select.EPOLLERR), (_HANGUP, select.EPOLLHUP))
_MASKS = tuple(sum(bit for flag, bit in _TO_EPOLL if events & flag) for events in range(16))
_FAILED, _DONE = -1, 0
_NEVER = float("inf")

HandleCallback = Callable[[int, int, int, Any], None]
TimerCallback = Callable[[int, Any], None]


@dataclass(slots=True)
class _Handle:
    descriptor: int
    callback: HandleCallback
    opaque: Any
    mask: int = 0
    """What the kernel watches for; 0 while it does not watch."""


@dataclass(slots=True)
class _Timer:
    callback: TimerCallback
    opaque: Any
    seconds: float = _NEVER
    due_at: float = _NEVER


class _Bell:
    """Wakes who waits on its descriptor."""

    def __init__(self) -> None:
        self.descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def ring(self) -> None:
        os.eventfd_write(self.descriptor, 1)

    def hush(self) -> None:
        os.eventfd_read(self.descriptor)


class EpollLoop:
    """An implementation of libvirt's event loop; Linux only.

    The six methods that libvirt calls are called from any thread, in the middle of calls, with
    locks of libvirt held: so they are short and never wait for the loop's thread. libvirt sees to
    it that one handle or timer is changed by one thread at a time, and each step on the tables is
    a single one for the interpreter, so they need no lock of ours.
    """

    def __init__(self, free: Callable[[Any], None]) -> None:
        """`free` gives back what a handle or timer holds; it may need libvirt's locks."""
        self._free = free
        self._epoll = select.epoll()
        self._numbers = itertools.count(1)
        self._handles: dict[int, _Handle] = {}
        self._watched: dict[int, int] = {}
        """Which handle a descriptor belongs to."""
        self._timers: dict[int, _Timer] = {}
        self._removed: list[Any] = []
        self._waits_until = 0.0
        self._is_ended = False
        self._bell = _Bell()
        self._epoll.register(self._bell.descriptor, select.EPOLLIN)

    def add_handle(
        self, descriptor: int, events: int, callback: HandleCallback, opaque: Any
    ) -> int:
        """A number for the new handle; -1 when it cannot be watched."""
        number = next(self._numbers)
        if descriptor in self._watched:
            return _FAILED
        self._handles[number] = _Handle(descriptor, callback, opaque)
        self._watched[descriptor] = number
        try:
            self.update_handle(number, events)
        except OSError:
            del self._handles[number], self._watched[descriptor]
            return _FAILED
        return number

    def update_handle(self, number: int, events: int) -> None:
        """Watches for other events; for none, not for a hang-up either, which would not end."""
        if self._is_ended:
            return
        handle = self._handles[number]
        before, handle.mask = handle.mask, _MASKS[events]
        if not before and handle.mask:
            self._epoll.register(handle.descriptor, handle.mask)
        elif before and not handle.mask:
            self._epoll.unregister(handle.descriptor)
        elif before != handle.mask:
            self._epoll.modify(handle.descriptor, handle.mask)

    def remove_handle(self, number: int) -> int:
        """Watches no more; what the handle holds is given back by the loop's thread."""
        if self._is_ended:
            return _DONE
        if number not in self._handles:
            return _FAILED
        self.update_handle(number, 0)
        handle = self._handles.pop(number)
        del self._watched[handle.descriptor]
        self._give_back(handle.opaque)
        return _DONE

    def add_timer(self, milliseconds: int, callback: TimerCallback, opaque: Any) -> int:
        """A number for the new timer, which goes off again and again; never when negative."""
        number = next(self._numbers)
        self._timers[number] = _Timer(callback, opaque)
        self.update_timer(number, milliseconds)
        return number

    def update_timer(self, number: int, milliseconds: int) -> None:
        """Lets it go off so many milliseconds from now, and so often."""
        if self._is_ended:
            return
        timer = self._timers[number]
        timer.seconds = milliseconds / 1000 if milliseconds >= 0 else _NEVER
        timer.due_at = time.monotonic() + timer.seconds
        # Later than that is found out when the thread wakes at the time of before.
        if timer.due_at < self._waits_until:
            self._bell.ring()

    def remove_timer(self, number: int) -> int:
        """It goes off no more; what it holds is given back by the loop's thread."""
        if self._is_ended:
            return _DONE
        timer = self._timers.pop(number, None)
        if timer is None:
            return _FAILED
        self._give_back(timer.opaque)
        return _DONE

    def run(self) -> None:
        """Runs in a thread of its own until `end`."""
        while not self._is_ended:
            # From here on whoever brings a timer forward rings.
            self._waits_until = _NEVER
            self._waits_until = min((one.due_at for one in self._due()), default=_NEVER)
            for descriptor, mask in self._epoll.poll(self._patience()):
                self._dispatch(descriptor, mask)
            self._waits_until = 0.0
            self._go_off(time.monotonic())
            while self._removed:
                self._free(self._removed.pop())

    def end(self) -> None:
        """Has `run` return, and does nothing for libvirt any more."""
        self._is_ended = True
        self._bell.ring()

    def _due(self) -> list[_Timer]:
        return list(self._timers.values())

    def _patience(self) -> float | None:
        if self._removed or self._is_ended:
            return 0.0
        if self._waits_until == _NEVER:
            return None
        return max(0.0, self._waits_until - time.monotonic())

    def _dispatch(self, descriptor: int, mask: int) -> None:
        if descriptor == self._bell.descriptor:
            self._bell.hush()
            return
        number = self._watched.get(descriptor)
        handle = self._handles.get(number) if number is not None else None
        # Between the kernel's word and now it may have been taken out.
        if number is None or handle is None or not handle.mask:
            return
        events = sum(flag for flag, bit in _FROM_EPOLL if mask & bit)
        handle.callback(number, descriptor, events, handle.opaque)

    def _go_off(self, now: float) -> None:
        for number, timer in list(self._timers.items()):
            if timer.due_at <= now and number in self._timers:
                timer.due_at = now + timer.seconds
                timer.callback(number, timer.opaque)

    def _give_back(self, opaque: Any) -> None:
        # Not here: libvirt holds the locks that giving back may need.
        self._removed.append(opaque)
        self._bell.ring()
