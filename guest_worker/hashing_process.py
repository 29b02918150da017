"""What runs in a hashing process: read a job, hash it, do its load, answer, again.

Requests:  ("jobs", job...) | ("cancel", serial) | ("warm",)
           with job (serial, profile, input, key_id, load, cost)
Answers:   (answer...), one for each job of the request and in its order
           with answer (serial, kind, value, cpu_seconds), kind HASH, REFUSED, FAILED or ABANDONED

A cancel names the job it means, because it may arrive after the answer has left. The end of the
request pipe means that the worker is gone: the process ends, in the middle of a load too.
"""

import os
import select
import time

from guest_worker import pipe

HASH, REFUSED, FAILED, ABANDONED = "hash", "refused", "failed", "abandoned"

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
                answers = tuple([self._answer(job) for job in frame[1:]])
                if not self._is_over:
                    pipe.write(self._answers, answers)
            elif frame[0] == "warm":
                _prepare()

    def _fetch(self) -> bool:
        frames = self._reader.read()
        if frames is None:
            self._is_over = True
            return False
        self._backlog.extend(frames)
        return bool(self._backlog) or self._fetch()

    def _answer(self, job: pipe.Frame) -> pipe.Frame:
        started = time.process_time()
        kind, value = self._work(job)
        return job[0], kind, value, time.process_time() - started

    def _work(self, job: pipe.Frame) -> tuple[str, str]:
        from guest_worker import hashing, loads
        from guest_worker.values import Argon2Cost

        serial, profile, data, key_id, load, cost = job
        try:
            stored = hashing.hash_number(
                profile,
                data,
                key_id,
                Argon2Cost(*cost) if cost else None,
                os.urandom(16),
            )
            if load:
                _carry(load, stored, data, self, serial)
        except (hashing.HashingRefusedError, loads.LoadRefusedError) as error:
            return REFUSED, str(error)
        except ImportError as error:
            return REFUSED, f"the package {error.name} is not installed in this guest"
        except loads.AbandonedError:
            return ABANDONED, ""
        except Exception as error:
            # Only the kind: an unforeseen text might quote its input.
            return FAILED, f"hashing failed with {type(error).__name__}"
        return HASH, stored

    def is_cancelled(self, serial: object) -> bool:
        """Whether the job `serial` was cancelled, or the worker is gone."""
        if not self._is_over and self._poll.poll(0):
            self._fetch()
        return self._is_over or ("cancel", serial) in self._backlog


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

    hashing.legacy_sha256(b"-", "")
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
