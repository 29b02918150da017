"""The outside ledger: what was promised to the client, against what was seen. Pure.

It is told what the wire said, in the order it was said, and notes every broken promise. It shares
no code with the dispatcher: the hash formats are written down here a second time.
"""

import base64
import hashlib
import hmac
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from argon2.low_level import Type, hash_secret_raw
from virtscale.v1 import job_pb2

from bench.chaos import numbers

READY, LEASED, DONE, FAILED, CANCELLED = 1, 2, 3, 4, 5
_ARGON2ID = re.compile(
    r"\$argon2id\$v=19\$m=(\d+),t=(\d+),p=(\d+),keyid=([^$]+)\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)"
)
_MAX_SHOWN = 20


@dataclass
class Book:
    """Every promise, by the job's index."""

    pepper_id: str
    pepper: bytes = field(repr=False)
    number_of: Callable[[int], str] = numbers.number
    profile_of: Callable[[int], int] = numbers.profile
    ids: dict[int, str] = field(default_factory=dict)
    """Acknowledged jobs."""
    finals: dict[int, tuple[int, str]] = field(default_factory=dict)
    """The final state and hash first seen of a job."""
    watched: dict[int, str] = field(default_factory=dict)
    """Results seen in the results' sequence, with their cursor."""
    may_be_cancelled: set[int] = field(default_factory=set)
    broken: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    scrapes: int = 0
    _accepted: int = 0
    _least: dict[str, float] = field(default_factory=dict)
    _cursors: set[str] = field(default_factory=set)

    # -- what the wire said ----------------------------------------------------------------------

    def acknowledged(self, first: int, ids: Sequence[str], asked: int) -> None:
        """A batch of `asked` jobs from index `first` on was acknowledged with these names."""
        if len(ids) != asked:
            self._break("batch acknowledged in part", f"{len(ids)} of {asked} from {first}")
        for index, name in enumerate(ids, first):
            known = self.ids.setdefault(index, name)
            if known != name:
                self._break("repeated request made new jobs", f"{known} and {name}")

    def seen(self, job: job_pb2.Job) -> None:
        """Any answer of any call that shows a job."""
        index = self._index(job)
        if index is None:
            return
        known = self.ids.setdefault(index, job.job_id)
        if known != job.job_id:
            self._break("accepted twice", f"{known} and {job.job_id}")
            return
        before = self.finals.get(index)
        if job.state not in (DONE, FAILED, CANCELLED):
            if before is not None:
                self._break("final job came back to life", f"{job.job_id}: state {job.state}")
            return
        now = (int(job.state), job.result.hash)
        if before is None:
            self.finals[index] = now
            self._judge(index, job)
        elif before != now:
            self._break("final state changed", f"{job.job_id}: {before[0]} to {now[0]}")

    def watch(self, job: job_pb2.Job, cursor: str) -> None:
        """One entry of the results' sequence."""
        if cursor in self._cursors:
            self._break("cursor given twice", cursor)
        self._cursors.add(cursor)
        index = self._index(job)
        if index is None:
            return
        if index in self.watched:
            self._break("result shown twice", f"{job.job_id} at {self.watched[index]} and {cursor}")
        self.watched[index] = cursor
        self.seen(job)

    def counts(self, figures: dict[str, float], acknowledged_before: int) -> None:
        """A scrape: `accepted` and the five states. Final counts never shrink, restart or not."""
        self.scrapes += 1
        states = ("ready", "leased", "done", "failed", "cancelled")
        total = sum(figures[state] for state in states)
        if figures["accepted"] != total:
            self._break("counts do not add up", str(figures))
        if figures["accepted"] < acknowledged_before:
            self._break("acknowledged job not counted", str(figures))
        for name in ("accepted", "done", "failed", "cancelled"):
            if figures[name] < self._least.get(name, 0):
                self._break("count went back", f"{name} from {self._least[name]} {figures}")
            self._least[name] = figures[name]

    def broke(self, what: str, example: str) -> None:
        """A promise that others watch over."""
        self._break(what, example)

    # -- the end ---------------------------------------------------------------------------------

    def listed(self, jobs: Iterable[job_pb2.Job]) -> None:
        """All jobs, after the last kill: the whole store as a client sees it."""
        found: set[int] = set()
        for job in jobs:
            self.seen(job)
            index = self._index(job)
            if index is None:
                continue
            if index in found:
                self._break("listed twice", job.job_id)
            found.add(index)
        for index in self.ids.keys() - found:
            self._break("acknowledged and missing", self.ids[index])

    def close(self, asked: int) -> None:
        """No more will come: everything acknowledged must be final, each result shown once."""
        for index in range(asked):
            if index not in self.ids:
                self._break("never acknowledged", str(index))
            elif index not in self.finals:
                self._break("never finished", self.ids[index])
        for index, (state, _) in self.finals.items():
            if state == CANCELLED:
                if index not in self.may_be_cancelled:
                    self._break("cancelled by nobody", self.ids[index])
                if index in self.watched:
                    self._break("cancelled job among the results", self.ids[index])
            elif index not in self.watched:
                self._break("result not shown", self.ids[index])

    def outcomes(self) -> Counter[str]:
        """Jobs by final state."""
        names = {DONE: "done", FAILED: "failed", CANCELLED: "cancelled"}
        return Counter(names[state] for state, _ in self.finals.values())

    # -- inside ----------------------------------------------------------------------------------

    def _index(self, job: job_pb2.Job) -> int | None:
        if not job.reference.isdigit():
            self._break("reference changed", f"{job.job_id}: {job.reference!r}")
            return None
        return int(job.reference)

    def _judge(self, index: int, job: job_pb2.Job) -> None:
        if job.state == DONE:
            if job.result.job_id != job.job_id or job.result.reference != job.reference:
                self._break("result of another job", job.job_id)
            if job.result.profile != self.profile_of(index):
                self._break("result of another profile", job.job_id)
            if not self._is_hash(index, job.result.hash):
                self._break("result does not verify", job.job_id)
        elif job.result.hash:
            self._break("result of a job that is not done", job.job_id)
        if job.state == FAILED:
            # Every job here is innocent: none kills its worker, none is out of range.
            self._break("innocent job given up", f"{job.job_id}: {job.failure.message}")

    def _is_hash(self, index: int, stored: str) -> bool:
        plain = self.number_of(index)
        profile = self.profile_of(index)
        if profile == numbers.LEGACY:
            digest, _, salt = stored.partition(":")
            expected = hashlib.sha256((salt + plain).encode()).hexdigest()
            return len(salt) == 32 and hmac.compare_digest(expected, digest)
        bare = plain.replace("-", "").encode()
        keyed = hmac.digest(self.pepper, b"virtscale:number:v1:" + bare, "sha256")
        if profile == numbers.HMAC:
            digest = _base64(hashlib.sha256(b"virtscale:hmac-sha256:v1:" + keyed).digest())
            return stored == f"$hmac-sha256$keyid={self.pepper_id}${digest}"
        match = _ARGON2ID.fullmatch(stored)
        if match is None or match[4] != self.pepper_id:
            return False
        memory, passes, lanes = int(match[1]), int(match[2]), int(match[3])
        salt_bytes = base64.b64decode(match[5] + "==")
        raw = hash_secret_raw(keyed, salt_bytes, passes, memory, lanes, 32, Type.ID)
        return _base64(raw) == match[6]

    def _break(self, what: str, example: str) -> None:
        self.broken[what] += 1
        if len(self.examples) < _MAX_SHOWN:
            self.examples.append(f"{what}: {example}")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode().rstrip("=")
