"""Start of the worker: settings, hashing processes, then gRPC, then the loop.

The order is the point. The hashing processes are forked before gRPC is imported, because its
threads do not survive a fork; signals and warm caches wait until Hello is on its way.
"""

import os
import sys
import time
from typing import TYPE_CHECKING

from guest_worker import VERSION, config, postponed, values
from guest_worker.hashing import uuid4_hex
from guest_worker.logs import Log
from guest_worker.processes import HashingPool
from guest_worker.session import Identity, Session
from guest_worker.worker import Wake, Worker

if TYPE_CHECKING:
    from guest_worker.transport import GrpcTransport

BAD_SETTINGS = 2
CANNOT_START = 4


class SystemClock:
    """The machine's clocks and randomness."""

    def monotonic(self) -> float:
        """Seconds that stand still while the machine is suspended."""
        return time.clock_gettime(time.CLOCK_MONOTONIC)

    def boottime(self) -> float:
        """Seconds since the kernel's start, suspended time included."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def fraction(self) -> float:
        """A random number from 0 to 1."""
        return int.from_bytes(os.urandom(4), "big") / 2**32


def main() -> int:
    """Run until told to stop. 0 after an orderly leave, 2 for bad settings."""
    try:
        settings = config.load(sys.argv[1:], os.environ)
    except config.ConfigError as error:
        for fault in error.faults:
            sys.stderr.write(f"guest_worker: {fault}\n")
        return BAD_SETTINGS
    if settings.show_help:
        sys.stdout.write(config.USAGE)
        return 0
    if settings.check_only:
        sys.stdout.write("configuration OK\n")
        return 0
    try:
        descriptor = _open_log(settings.logfile)
    except OSError as error:
        sys.stderr.write(f"guest_worker: logfile: {settings.logfile}: {error.strerror}\n")
        return BAD_SETTINGS
    return _run(settings, Log(descriptor, settings.loglevel))


def _open_log(path: str) -> int:
    if not path:
        return 2
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)


def _run(settings: config.Config, log: Log) -> int:
    pool = HashingPool(settings.slots)
    pool.fork()
    try:
        wake = Wake()
        try:
            transport = _transport(settings, wake)
        except (ImportError, AssertionError) as error:
            sys.stderr.write(f"guest_worker: cannot use gRPC: {error}\n")
            return CANNOT_START
        session = Session(_identity(settings), settings.prefetch)
        worker = Worker(session, transport, pool, SystemClock(), log, wake)

        def after_hello() -> None:
            _install_signals(worker, wake)
            log.info(
                "worker.started",
                worker=settings.worker_id,
                dispatcher=settings.dispatcher,
                slots=settings.slots,
                version=VERSION,
            )

        return worker.run(after_hello)
    finally:
        pool.close()


def _transport(settings: config.Config, wake: Wake) -> "GrpcTransport":
    postponed.postpone()
    from guest_worker import transport

    secrets = None
    if settings.tls_ca is not None:
        secrets = transport.credentials(settings.tls_ca, settings.tls_cert, settings.tls_key)
    return transport.GrpcTransport(settings.dispatcher, secrets, wake)


def _identity(settings: config.Config) -> Identity:
    profiles = [values.LEGACY_SHA256, values.HMAC_SHA256]
    if _is_installed("argon2"):
        profiles.append(values.ARGON2ID)
    return Identity(
        worker_id=settings.worker_id,
        instance_id=_uuid_text(uuid4_hex(os.urandom(16))),
        join_token=settings.join_token,
        slots=settings.slots,
        software_version=VERSION,
        image_generation=settings.generation,
        profiles=tuple(profiles),
    )


def _uuid_text(digits: str) -> str:
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _is_installed(package: str) -> bool:
    """Whether a package is there, without the cost of importing it."""
    from importlib.machinery import PathFinder

    return PathFinder.find_spec(package) is not None


def _install_signals(worker: Worker, wake: Wake) -> None:
    import signal

    def leave(number: int, _frame: object) -> None:
        worker.leave(signal.Signals(number).name)

    signal.set_wakeup_fd(wake.writer, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, leave)


if __name__ == "__main__":
    sys.exit(main())
