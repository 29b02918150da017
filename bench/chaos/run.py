"""One chaos run: start everything, submit under faults, let it settle, kill once more, audit."""

import asyncio
import contextlib
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.chaos import numbers, shim
from bench.chaos.book import CANCELLED, DONE, FAILED, Book
from bench.chaos.client import Client
from bench.chaos.disk import Disk
from bench.chaos.faults import Faults
from bench.chaos.processes import PEPPER_ID, Dispatcher, Worker
from bench.chaos.proxy import Gate
from bench.chaos.schedule import schedule
from bench.chaos.shim import Shim

_SUBMITTERS = 4
_STREAM_EVERY = 8
_SLOW_SHARE = 0.15
_MOST_AT_ONCE = 8
# Submissions run ahead of the faults by at most this part of all jobs.
_LEAD = 0.03


@dataclass
class Plan:
    """What a run is asked to do."""

    jobs: int
    faults: int
    seed: int
    seconds: float
    workers: int = 3
    batch: int = 250
    kinds: Sequence[str] = ()
    settle_seconds: float = 120.0
    keep: Path | None = None
    is_quiet: bool = False


@dataclass
class Outcome:
    """What a run has shown."""

    plan: Plan
    book: Book
    faults: Faults
    client: Client
    dispatcher: Dispatcher
    remarks: list[str] = field(default_factory=list)
    seconds: float = 0.0
    settle_seconds: float = 0.0
    worker_starts: int = 0

    @property
    def is_passed(self) -> bool:
        """Whether every promise was kept."""
        return not self.book.broken


async def chaos(plan: Plan) -> Outcome:
    """Runs the plan. SIGTERM ends it in order: no process is left behind."""
    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    directory = plan.keep or Path(tempfile.mkdtemp(prefix="chaos-"))
    directory.mkdir(parents=True, exist_ok=True)
    try:
        async with _running(plan, directory) as run:
            return await run.go()
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
        if plan.keep is None:
            shutil.rmtree(directory, ignore_errors=True)


@contextlib.asynccontextmanager
async def _running(plan: Plan, directory: Path) -> AsyncIterator["_Run"]:
    """All processes of a run; ended whatever happens."""
    disk = Disk(directory, 128 + plan.jobs // 1500)
    run = None
    try:
        run = _Run(plan, directory, disk)
        await run.start()
        yield run
    finally:
        if run is not None:
            await run.close()
        disk.close()


class _Run:
    def __init__(self, plan: Plan, directory: Path, disk: Disk) -> None:
        self.plan = plan
        self.remarks: list[str] = []
        library, reason = shim.build(directory)
        if library is None:
            self.remarks.append(f"NOT DONE: clock steps and disk errors ({reason})")
        if not disk.can_fill:
            self.remarks.append(
                f"disk full is failing writes, not a full file system: no tmpfs ({disk.reason})"
            )
        database = disk.path / "jobs.db"
        self.dispatcher_shim = Shim(library, directory / "dispatcher.state", database)
        self.worker_shims = [
            Shim(library, directory / f"worker-{place}.state") for place in range(plan.workers)
        ]
        self.dispatcher = Dispatcher(directory, database, self.dispatcher_shim.environment)
        self.gates = [Gate("127.0.0.1", self.dispatcher.port) for _ in range(plan.workers)]
        self.client_gate = Gate("127.0.0.1", self.dispatcher.port)
        self.book = Book(PEPPER_ID, self.dispatcher.pepper)
        self.disk = disk
        self.directory = directory
        self.workers: list[Worker] = []
        self.client: Client
        self.faults: Faults
        self.fired = 0
        self._next_batch = 0
        self._tasks: list[asyncio.Task[Any]] = []

    async def start(self) -> None:
        """Starts the processes and the followers."""
        await self.dispatcher.start()
        for gate in (*self.gates, self.client_gate):
            await gate.start()
        self.client = Client(
            self.book,
            seed=self.plan.seed,
            slow_every=self._slow_every(),
            gate=self.client_gate.port,
            port=self.dispatcher.port,
            metrics_port=self.dispatcher.metrics_port,
        )
        for place, (gate, bent) in enumerate(zip(self.gates, self.worker_shims, strict=True)):
            worker = Worker(
                f"worker-{place}",
                gate.port,
                self.dispatcher.join_key,
                self.directory,
                bent.environment,
            )
            worker.start()
            self.workers.append(worker)
        self.faults = Faults(
            dispatcher=self.dispatcher,
            workers=self.workers,
            gates=self.gates,
            client_gate=self.client_gate,
            client=self.client,
            disk=self.disk,
            dispatcher_shim=self.dispatcher_shim,
            worker_shims=self.worker_shims,
            take=self._take,
        )
        self._tasks = [
            asyncio.ensure_future(self.client.watch()),
            asyncio.ensure_future(self.client.scrape()),
        ]

    async def close(self) -> None:
        """Ends everything."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for worker in self.workers:
            await worker.close()
        if self.dispatcher.is_running:
            await self.dispatcher.end(signal.SIGKILL)
        if hasattr(self, "client"):
            await self.client.close()
        for gate in (*self.gates, self.client_gate):
            await gate.close()

    async def go(self) -> Outcome:
        """Submits under faults, settles, kills the dispatcher, starts it again and audits."""
        began = time.monotonic()
        shown = asyncio.ensure_future(self._show())
        self._tasks.append(shown)
        submitting = [asyncio.ensure_future(self._submit(place)) for place in range(_SUBMITTERS)]
        self._tasks += submitting
        await self._break()
        settling = time.monotonic()
        try:
            async with asyncio.timeout(self.plan.settle_seconds + self.plan.jobs / 1000):
                await asyncio.gather(*submitting)
                await self._until_final()
                await self._until_no_ghost()
        except TimeoutError:
            self.book.broke("did not settle", "jobs or workers were still missing at the end")
        settled = time.monotonic()
        shown.cancel()
        await self._audit()
        return Outcome(
            plan=self.plan,
            book=self.book,
            faults=self.faults,
            client=self.client,
            dispatcher=self.dispatcher,
            remarks=self.remarks,
            seconds=time.monotonic() - began,
            settle_seconds=settled - settling,
            worker_starts=sum(worker.starts for worker in self.workers),
        )

    # -- work ------------------------------------------------------------------------------------

    async def _submit(self, place: int) -> None:
        """Takes the next batch and submits it, no further ahead than the faults allow."""
        plan = self.plan
        batches = -(-plan.jobs // plan.batch)
        while self._next_batch < batches:
            if self._is_ahead():
                await asyncio.sleep(0.01)
                continue
            if place == 0 and self._next_batch % _STREAM_EVERY < 2:
                taken = [self._take() for _ in range(min(3, batches - self._next_batch))]
                await self.client.stream(taken)
            else:
                await self.client.submit(*self._take())

    def _slow_every(self) -> int:
        """So many slow jobs that they fill half a core while the faults last."""
        slow = max(1.0, _SLOW_SHARE * self.plan.seconds / numbers.SLOW_SECONDS)
        return max(4, int(self.plan.jobs / slow))

    def _take(self) -> tuple[int, int, int]:
        batch = self._next_batch
        self._next_batch += 1
        first = batch * self.plan.batch
        return batch, first, max(0, min(self.plan.batch, self.plan.jobs - first))

    def _is_ahead(self) -> bool:
        part = self.fired / self.plan.faults if self.plan.faults else 1.0
        return self._next_batch * self.plan.batch > self.plan.jobs * (part + _LEAD)

    async def _break(self) -> None:
        """Fires the schedule; returns when the last fault is over."""
        running: set[asyncio.Task[None]] = set()
        plan = self.plan
        for fault in schedule(
            plan.seed, plan.faults, workers=plan.workers, seconds=plan.seconds, kinds=plan.kinds
        ):
            await asyncio.sleep(fault.gap)
            if len(running) >= _MOST_AT_ONCE:
                # A slow machine gets the same faults in the same order, further apart.
                await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            task = asyncio.ensure_future(self.faults.do(fault))
            running.add(task)
            self._tasks.append(task)
            self.fired += 1
            for over in [each for each in running if each.done()]:
                running.remove(over)
                self._tasks.remove(over)
                over.result()
        if running:
            await asyncio.gather(*running)

    async def _until_final(self) -> None:
        """Every acknowledged job is final, as the results' sequence and cancellations tell."""
        while len(self.book.finals) < self.plan.jobs:  # noqa: ASYNC110 - the book has no events
            await asyncio.sleep(0.05)
        # What another call has told first must still come in the sequence.
        while len(self.book.watched) < sum(  # noqa: ASYNC110
            state != CANCELLED for state, _ in self.book.finals.values()
        ):
            await asyncio.sleep(0.05)

    async def _until_no_ghost(self) -> None:
        """Every worker is connected, takes jobs and does them: none is alive in name only."""
        left = {worker.name for worker in self.workers}
        first = self.plan.jobs
        batch = -(-self.plan.jobs // self.plan.batch)
        done_before: dict[str, int] = {}
        while left:
            await self.client.submit(batch, first, self.plan.batch)
            first += self.plan.batch
            batch += 1
            self.plan.jobs = first
            await self._until_final()
            for name, worker in (await self.client.workers() or {}).items():
                known = done_before.setdefault(name, worker.completed)
                if worker.completed > known and not worker.leases:
                    left.discard(name)
        for _ in range(100):
            figures = await self.client.scrape_once()
            if figures is not None and figures["ready"] == figures["leased"] == 0:
                return
            await asyncio.sleep(0.1)
        self.book.broke("jobs left that nobody was told of", str(figures))

    async def _show(self) -> None:
        """A line now and then."""
        if self.plan.is_quiet:
            return
        told = 0
        while True:
            await asyncio.sleep(5.0)
            print(
                f"faults {self.fired}/{self.plan.faults}  acknowledged {len(self.book.ids):,}  "
                f"final {len(self.book.finals):,}  broken {sum(self.book.broken.values())}",
                file=sys.stderr,
                flush=True,
            )
            for example in self.book.examples[told:]:
                print(f"  BROKEN {example}", file=sys.stderr, flush=True)
            told = len(self.book.examples)

    # -- audit -----------------------------------------------------------------------------------

    async def _audit(self) -> None:
        """From a fresh process: what is on the disk is what was promised."""
        await self.dispatcher.end(signal.SIGKILL)
        await self.dispatcher.start()
        await self.client.list_all()
        self.book.close(self.plan.jobs)
        for task in self._tasks:
            task.cancel()
        await self.dispatcher.end(signal.SIGTERM)
        await asyncio.to_thread(self._read_store)

    def _read_store(self) -> None:
        """The file itself, with the standard library: whole, and one row per job."""
        uri = f"file:{self.dispatcher.database}?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as store:
            (fault,) = store.execute("PRAGMA integrity_check").fetchone()
            if fault != "ok":
                self.book.broke("store damaged", str(fault))
            rows = dict(store.execute("SELECT state, count(*) FROM jobs GROUP BY state"))
            outcomes = self.book.outcomes()
            expected = {
                state: outcomes[name]
                for state, name in ((DONE, "done"), (FAILED, "failed"), (CANCELLED, "cancelled"))
                if outcomes[name]
            }
            if rows != expected:
                self.book.broke("store differs from what was seen", f"{rows}, not {expected}")
            (kept,) = store.execute("SELECT count(*) FROM jobs WHERE input IS NOT NULL").fetchone()
            if kept:
                self.book.broke("numbers kept after they were hashed", f"{kept} jobs")
