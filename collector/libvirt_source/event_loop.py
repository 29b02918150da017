"""libvirt's event loop: without one there is neither keepalive nor events."""

import atexit
import threading

import libvirt

from collector.libvirt_source.epoll_loop import EpollLoop

_ENDS_WITHIN_SECONDS = 1.0

_lock = threading.Lock()
_thread: threading.Thread | None = None


def start() -> None:
    """Runs the loop in a thread of its own; once per process, before the first connection.

    From then on libvirt calls Python from this thread and, around each call and for each error,
    from the thread that made the call. After the interpreter has ended that is a crash
    (libvirt-python asks for the interpreter's lock without a look): see `_stop` and
    `lifecycle.leave`.
    """
    global _thread
    with _lock:
        if _thread is not None:
            return
        # Errors reach us as exceptions; the library would also write them to standard error.
        libvirt.registerErrorHandler(lambda _context, _error: None, None)
        loop = EpollLoop(libvirt.virEventInvokeFreeCallback)
        libvirt.virEventRegisterImpl(
            loop.add_handle,
            loop.update_handle,
            loop.remove_handle,
            loop.add_timer,
            loop.update_timer,
            loop.remove_timer,
        )
        _thread = threading.Thread(target=loop.run, name="libvirt-events", daemon=True)
        _thread.start()
        atexit.register(_stop, loop)


def is_started() -> bool:
    """True once libvirt may call back."""
    return _thread is not None


def _stop(loop: EpollLoop) -> None:
    """Ends the loop before the interpreter does, in a process that does not `lifecycle.leave`."""
    assert _thread is not None
    loop.end()
    _thread.join(_ENDS_WITHIN_SECONDS)
