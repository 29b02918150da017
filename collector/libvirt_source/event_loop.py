"""libvirt's event loop: without one there is neither keepalive nor events."""

import threading

import libvirt

_lock = threading.Lock()
_thread: threading.Thread | None = None


def start() -> None:
    """Runs the loop in a thread of its own; once per process, before the first connection."""
    global _thread
    with _lock:
        if _thread is not None:
            return
        # Errors reach us as exceptions; the library would also write them to standard error.
        libvirt.registerErrorHandler(lambda _context, _error: None, None)
        libvirt.virEventRegisterDefaultImpl()
        _thread = threading.Thread(target=_run, name="libvirt-events", daemon=True)
        _thread.start()


def _run() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()
