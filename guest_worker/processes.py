"""The hashing processes: one per slot, so that hashing never delays a heartbeat.

The first ones are forked, before gRPC is imported: its threads do not survive a fork, and a process
that holds only the interpreter starts at once and stays small. A replacement for one that crashed
is a fresh interpreter, since by then the threads exist.
"""

import contextlib
import os
import sys
from collections import deque
from collections.abc import Sequence

from guest_worker import hashing_process, pipe
from guest_worker.values import (
    Assignment,
    Busy,
    Collision,
    Lease,
    Outcome,
    Refusal,
    Verify,
)

# Jobs of a few microseconds travel together: the way to a process and back costs more than they do.
# Their answers must fit into a pipe (64 KiB), or a process would wait for the worker in the middle.
MAX_LIGHT_JOBS = 128
# While one batch of them is hashed the next one waits in the pipe, so that no process waits.
MAX_LIGHT_BATCHES = 2

_REPLACEMENT = """\
import sys
sys.path[:] = {path!r}
from guest_worker.hashing_process import main
sys.exit(main())
"""


class _Process:
    """One hashing process as its parent sees it."""

    def __init__(self, pid: int, requests: int, answers: int) -> None:
        self.pid = pid
        self.requests = requests
        self.answers = answers
        self.reader = pipe.Reader(answers)
        # What it was given and has not answered, by serial, the oldest first. None: cancelled, the
        # job's answer is of no interest.
        self.work: dict[int, list[Assignment | None]] = {}
        self.is_light = True
        os.set_blocking(answers, False)

    def tell(self, frame: pipe.Frame) -> None:
        """Write a request. If the process is dead, its answer pipe says so: nothing to do here."""
        with contextlib.suppress(BrokenPipeError):
            pipe.write(self.requests, frame)

    def close(self) -> int:
        """Close the pipes and reap; the wait status."""
        for descriptor in (self.requests, self.answers):
            os.close(descriptor)
        return os.waitpid(self.pid, 0)[1]


class HashingPool:
    """A fixed number of hashing processes and the work that waits for one of them."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._processes: list[_Process] = []
        self._queue: deque[Assignment] = deque()
        self._serial = 0
        self._is_warm = False
        # Processes that died and were replaced, for the log.
        self.crashes: deque[str] = deque(maxlen=16)

    def fork(self) -> None:
        """Start all processes as forks of this one. Call before anything starts a thread."""
        for _ in range(self._slots):
            child_requests, requests = os.pipe()
            answers, child_answers = os.pipe()
            pid = os.fork()
            if pid == 0:
                self._become_child(child_requests, child_answers, (requests, answers))
            os.close(child_requests)
            os.close(child_answers)
            self._processes.append(_Process(pid, requests, answers))

    def file_descriptors(self) -> list[int]:
        """Those that become readable when `collect` has something."""
        return [process.answers for process in self._processes]

    @property
    def pids(self) -> list[int]:
        """The processes, for tests and the log."""
        return [process.pid for process in self._processes]

    def warm(self) -> None:
        """Let idle processes load what they will need."""
        if not self._is_warm:
            self._is_warm = True
            for process in self._processes:
                process.tell(("warm",))

    def start(self, assignments: Sequence[Assignment]) -> None:
        """Begin this work, or queue it until a process is free."""
        self._queue.extend(assignments)
        self._dispatch()

    def cancel(self, leases: Sequence[Lease]) -> None:
        """Abandon the work under `leases`: no outcomes will come."""
        gone = set(leases)
        self._queue = deque([waiting for waiting in self._queue if waiting.lease not in gone])
        for process in self._processes:
            for serial, batch in process.work.items():
                for place, held in enumerate(batch):
                    if held is not None and held.lease in gone:
                        batch[place] = None
                        process.tell(("cancel", serial))

    def collect(self) -> list[Outcome]:
        """Outcomes since the last call. Replaces processes that died."""
        outcomes: list[Outcome] = []
        for process in list(self._processes):
            try:
                frames = process.reader.read()
            except BlockingIOError:
                continue
            if frames is None:
                outcomes.extend(self._crashed(process))
                continue
            for frame in frames:
                outcomes.extend(_outcomes(process, frame))
        self._dispatch()
        return outcomes

    def close(self) -> None:
        """End all processes; a running load notices within milliseconds."""
        self._queue.clear()
        for process in self._processes:
            process.close()
        self._processes.clear()

    # --- inside -----------------------------------------------------------------------------------

    def _become_child(self, requests: int, answers: int, parents: tuple[int, int]) -> None:
        try:
            # A sibling's pipe kept open here would hide the worker's end from that sibling.
            for descriptor in parents:
                os.close(descriptor)
            for sibling in self._processes:
                os.close(sibling.requests)
                os.close(sibling.answers)
            hashing_process.run(requests, answers)
        finally:
            os._exit(0)

    def _dispatch(self) -> None:
        if not self._queue:
            return
        while len(self._processes) < self._slots:
            self._spawn()
        for batches in range(MAX_LIGHT_BATCHES):
            ready = [each for each in self._processes if len(each.work) == batches]
            for left, process in zip(range(len(ready), 0, -1), ready, strict=True):
                if self._queue and (batches == 0 or self._is_light_on(process)):
                    self._give(process, -(-len(self._queue) // left))

    def _is_light_on(self, process: _Process) -> bool:
        """Whether neither the work of a process nor the next job can take long."""
        return process.is_light and self._queue[0].is_light

    def _give(self, process: _Process, share: int) -> None:
        """One job, or up to `share` light ones that are hashed alike, from the queue's front."""
        first = self._queue.popleft()
        batch: list[Assignment | None] = [first]
        inputs = [first.input]
        process.is_light = first.is_light
        while process.is_light and self._queue and len(inputs) < min(share, MAX_LIGHT_JOBS):
            if self._queue[0][1::2] != first[1::2] or not self._queue[0].is_light:
                break
            job = self._queue.popleft()
            batch.append(job)
            inputs.append(job.input)
        self._serial += 1
        process.work[self._serial] = batch
        cost = tuple(first.argon2_cost) if first.argon2_cost else None
        alike = (first.profile, first.key_id, _load_frame(first), cost)
        process.tell(("jobs", self._serial, *alike, inputs))

    def _crashed(self, process: _Process) -> list[Outcome]:
        self._processes.remove(process)
        status = process.close()
        how = f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"status {status >> 8}"
        self.crashes.append(how)
        if not process.work:
            return []  # replaced when work comes: one that dies idle must not become a loop
        self._spawn()
        worked_on, *waiting = process.work.values()
        self._queue.extendleft(job for batch in reversed(waiting) for job in reversed(batch) if job)
        refusal = Refusal(True, f"the hashing process died ({how})")
        return [Outcome(job.lease, refusal, 0.0) for job in worked_on if job]

    def _spawn(self) -> None:
        import subprocess

        child_requests, requests = os.pipe()
        answers, child_answers = os.pipe()
        # The same -I, -S, -X ... as this interpreter, and its path: a lean guest depends on both.
        flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, *flags, "-c", _REPLACEMENT.format(path=sys.path)],
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, child_requests, 0),
                (os.POSIX_SPAWN_DUP2, child_answers, 1),
            ],
        )
        os.close(child_requests)
        os.close(child_answers)
        process = _Process(pid, requests, answers)
        if self._is_warm:
            process.tell(("warm",))
        self._processes.append(process)


def _load_frame(assignment: Assignment) -> tuple[str, float, int] | None:
    load = assignment.load
    if isinstance(load, Collision):
        return "collision", load.bits, load.seed
    if isinstance(load, Verify):
        return "verify", load.repetitions, 0
    if isinstance(load, Busy):
        return "busy", load.seconds, 0
    return None


def _outcomes(process: _Process, answer: pipe.Frame) -> list[Outcome]:
    serial, cpu_seconds, found = answer
    outcomes = []
    for job, value in zip(process.work.pop(serial), found, strict=True):
        if job is None:
            continue
        if not isinstance(value, str):
            kind, text = value
            if kind == hashing_process.ABANDONED:
                continue
            value = Refusal(kind == hashing_process.FAILED, text)
        outcomes.append(Outcome(job.lease, value, cpu_seconds))
    return outcomes
