"""What was submitted and what came back, judged from outside the dispatcher."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from virtscale.client.values import Job

Item = TypeVar("Item")

_SAMPLE_SIZE = 200


@dataclass
class Journal:
    """The submitting side's own books. A job is known by its reference: it is unique here."""

    prefix: str
    """Begins the reference of every job of this run."""
    draw: Callable[[], float]
    """Uniform values in [0, 1), for the sample."""
    submitted: int = 0
    """Jobs that the dispatcher acknowledged as durable."""
    completed: int = 0
    failed: int = 0
    duplicated: int = 0
    """Jobs of ours stored twice, or final twice."""
    first_queued_at: float | None = None
    """Unix time at which the first job was handed over."""
    first_result_at: float | None = None
    """Unix time at which the first result was stored."""
    sample: list[tuple[str, Job]] = field(default_factory=list)
    """Numbers with their results, chosen at random, to be verified at the end."""
    _open: dict[str, tuple[str, float]] = field(default_factory=dict)
    _final: dict[str, str] = field(default_factory=dict)
    _early: dict[str, Job] = field(default_factory=dict)
    _latencies: list[float] = field(default_factory=list)

    @property
    def outstanding(self) -> list[str]:
        """Ids of the jobs that are not final, as far as known."""
        return list(self._open)

    def accepted(self, jobs: Sequence[tuple[str, str, str, float]], *, at: float) -> None:
        """Records a durable batch: (job id, reference, number, intended Unix time) each.

        `at` is when the batch was first handed over.
        """
        if self.first_queued_at is None or at < self.first_queued_at:
            self.first_queued_at = at
        for job_id, reference, number, intended in jobs:
            self.submitted += 1
            self._open[job_id] = (number, intended)
            early = self._early.pop(reference, None)
            if early is not None:
                # The result overtook the answer to the submission.
                self.finished(early)

    def finished(self, job: Job) -> None:
        """Records a final job. Jobs of other clients are ignored."""
        if not job.is_final or not job.reference.startswith(self.prefix):
            return
        known = self._final.get(job.reference)
        if known is not None:
            # The same id again is only a repeated message of a resumed stream, a second id is a
            # job that was stored twice.
            self.duplicated += known != job.job_id
            return
        if job.job_id not in self._open:
            self._early[job.reference] = job
            return
        number, intended = self._open.pop(job.job_id)
        self._final[job.reference] = job.job_id
        if job.state != "done":
            self.failed += 1
            return
        self.completed += 1
        completed_at = job.completed_at or intended
        if self.first_result_at is None or completed_at < self.first_result_at:
            self.first_result_at = completed_at
        self._keep(self._latencies, max(0.0, completed_at - intended), 10 * _SAMPLE_SIZE)
        self._keep(self.sample, (number, job), _SAMPLE_SIZE)

    def latency_seconds(self, quantile: float) -> float | None:
        """Quantile of the time from a job's intended arrival to its stored result."""
        if not self._latencies:
            return None
        ordered = sorted(self._latencies)
        return ordered[min(len(ordered) - 1, int(quantile * len(ordered)))]

    def unknown(self) -> int:
        """Results under our prefix for jobs that were never acknowledged to us."""
        return len(self._early)

    def _keep(self, kept: list[Item], item: Item, size: int) -> None:
        """Reservoir sampling: every item has the same chance, however many come."""
        if len(kept) < size:
            kept.append(item)
            return
        position = int(self.draw() * self.completed)
        if position < size:
            kept[position] = item
