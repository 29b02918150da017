"""libvirt's event loop: without one there is neither keepalive nor events."""

import atexit
import threading

import libvirt

_ENDS_WITHIN_SECONDS = 1.0
_NEVER, _AT_ONCE = -1, 0

_lock = threading.Lock()
_thread: threading.Thread | None = None
_is_ending = threading.Event()


def start() -> None:
    """Runs the loop in a thread of its own; once per process, before the first connection.

    From then on libvirt calls Python from this thread and, for each error, from the thread that
    made the call. After the interpreter has ended that is a crash (libvirt-python asks for the
    interpreter's lock without a look): see `_stop` and `lifecycle.leave`.
    """
    global _thread
    with _lock:
        if _thread is not None:
            return
        # Errors reach us as exceptions; the library would also write them to standard error.
        libvirt.registerErrorHandler(lambda _context, _error: None, None)
        libvirt.virEventRegisterDefaultImpl()
        waker = libvirt.virEventAddTimeout(_NEVER, lambda _timer, _opaque: None, None)
        _thread = threading.Thread(target=_run, name="libvirt-events", daemon=True)
        _thread.start()
        atexit.register(_stop, waker)


def is_started() -> bool:
    """True once libvirt may call back."""
    return _thread is not None


def _run() -> None:
    while not _is_ending.is_set():
        libvirt.virEventRunDefaultImpl()


def _stop(waker: int) -> None:
    """Ends the loop before the interpreter does, in a process that does not `lifecycle.leave`."""
    assert _thread is not None
    _is_ending.set()
    libvirt.virEventUpdateTimeout(waker, _AT_ONCE)
    _thread.join(_ENDS_WITHIN_SECONDS)
