"""What runs in a hashing process: read a job, hash it, do its load, answer, again.

Requests:  ("jobs", serial, profile, key_id, load, cost, inputs) | ("cancel", serial) | ("warm",)
           with jobs that are hashed alike; only one when it has a load
Answers:   (serial, cpu_seconds, values), CPU time per job, one value for each input in its order:
           the hash, or (kind, text) with kind REFUSED, FAILED or ABANDONED

A cancel names the job it means, because it may arrive after the answer has left. The end of the
request pipe means that the worker is gone: the process ends, in the middle of a load too.
"""

import os
import select
import time

from guest_worker import pipe

REFUSED, FAILED, ABANDONED = "refused", "failed", "abandoned"

# The worker's heartbeats matter more than one job: they must win when all CPUs hash.
NICENESS = 5


class Server:
    """One hashing process's loop over its two pipes."""

    def __init__(self, requests: int, answers: int) -> None:
        self._reader = pipe.Reader(requests)
        self._answers = answers
        self._backlog: list[pipe.Frame] = []
        self._poll = select.poll()
        self._poll.register(requests, select.POLLIN | select.POLLHUP)
        self._is_over = False

    def serve(self) -> None:
        """Work until the request pipe ends."""
        while not self._is_over:
            if not self._backlog and not self._fetch():
                return
            frame = self._backlog.pop(0)
            if frame[0] == "jobs":
                answer = self._answer(*frame[1:])
                if not self._is_over:
                    pipe.write(self._answers, answer)
            elif frame[0] == "warm":
                _prepare()

    def _fetch(self) -> bool:
        frames = self._reader.read()
        if frames is None:
            self._is_over = True
            return False
        self._backlog.extend(frames)
        return bool(self._backlog) or self._fetch()

    def _answer(
        self,
        serial: int,
        profile: str,
        key_id: str,
        load: tuple[str, float, int] | None,
        cost: tuple[int, int, int] | None,
        inputs: list[bytes],
    ) -> pipe.Frame:
        started = time.process_time()
        found = self._work(serial, profile, key_id, load, cost, inputs)
        return serial, (time.process_time() - started) / len(inputs), found

    def _work(
        self,
        serial: int,
        profile: str,
        key_id: str,
        load: tuple[str, float, int] | None,
        cost: tuple[int, int, int] | None,
        inputs: list[bytes],
    ) -> list[str | tuple[str, str]]:
        from guest_worker import hashing
        from guest_worker.values import Argon2Cost

        random_bytes = os.urandom(16 * len(inputs))
        try:
            stored = hashing.hash_numbers(
                profile, inputs, key_id, Argon2Cost(*cost) if cost else None, random_bytes
            )
            if load:
                _carry(load, stored[0], inputs[0], self, serial)
        except Exception as error:
            if len(inputs) > 1:
                # One bad job must not take the others with it.
                alone = (profile, key_id, load, cost)
                return [self._work(serial, *alone, [data])[0] for data in inputs]
            return [_fault(error)]
        return [*stored]

    def is_cancelled(self, serial: object) -> bool:
        """Whether the job `serial` was cancelled, or the worker is gone."""
        if not self._is_over and self._poll.poll(0):
            self._fetch()
        return self._is_over or ("cancel", serial) in self._backlog


def _fault(error: Exception) -> tuple[str, str]:
    from guest_worker import hashing, loads

    if isinstance(error, loads.AbandonedError):
        return ABANDONED, ""
    if isinstance(error, hashing.HashingRefusedError | loads.LoadRefusedError):
        return REFUSED, str(error)
    if isinstance(error, ImportError):
        return REFUSED, f"the package {error.name} is not installed in this guest"
    # Only the kind: an unforeseen text might quote its input.
    return FAILED, f"hashing failed with {type(error).__name__}"


def _carry(
    load: tuple[str, float, int], stored: str, data: bytes, server: Server, serial: object
) -> None:
    from guest_worker import loads

    kind, amount, seed = load

    def is_cancelled() -> bool:
        return server.is_cancelled(serial)

    if kind == "collision":
        start = seed or int.from_bytes(os.urandom(8), "big")
        loads.collide(data, int(amount), start, is_cancelled)
    elif kind == "verify":
        loads.verify(stored, data, int(amount), is_cancelled)
    elif kind == "busy":
        loads.busy(data, amount, time.thread_time, is_cancelled)


def _prepare() -> None:
    """Load what the first job needs, and leave signals to the worker.

    Both cost imports, so they wait until the worker has said Hello.
    """
    import signal

    from guest_worker import hashing, loads

    hashing.legacy_sha256([b"-"], bytes(16))
    assert loads
    # Ctrl-C and a service manager's stop reach the whole group; the worker decides what becomes of
    # the job and then closes the pipe.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def run(requests: int, answers: int) -> None:
    """Serve on two descriptors until the first ends."""
    os.nice(NICENESS)
    try:
        Server(requests, answers).serve()
    except (BrokenPipeError, KeyboardInterrupt):
        return


def main() -> int:
    """Serve on standard input and output: how a replacement for a crashed process starts."""
    answers = os.dup(1)
    os.dup2(2, 1)
    run(0, answers)
    return 0
