"""What the stack's loops need from outside; adapters are `virtscale.client` and `domains`."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from virtscale.client.errors import DispatcherError
from virtscale.client.retries import RetryPolicy
from virtscale.client.values import Backlog, Exported, Job, JobSpec, Verdict, Worker

DomainState = Literal["off", "running", "paused", "saved", "stopping", "crashed"]


@dataclass(frozen=True)
class DomainView:
    """A pool domain as libvirt knows it. `operation` is what the scaler has under way.

    `powered_off_in_order`: it is off because its guest went down by itself or on request, not
    because its QEMU died or was killed.
    """

    name: str
    state: DomainState
    operation: str = ""
    operation_since: float | None = None
    is_persistent: bool = True
    powered_off_in_order: bool = False

    @property
    def is_active(self) -> bool:
        """True while it has a QEMU process."""
        return self.state in ("running", "paused", "stopping", "crashed")


class Dispatcher(Protocol):
    """The dispatcher, for the load and the shutdown. Failures are `DispatcherError`."""

    def with_retry(
        self, retry: RetryPolicy, on_trouble: Callable[[DispatcherError], None]
    ) -> "Dispatcher":
        """The same with another patience."""
        ...

    async def submit(self, jobs: Sequence[JobSpec]) -> list[str]:
        """Job ids in order, once every job is on disk."""
        ...

    async def wait(self, job_ids: Sequence[str], *, seconds: float) -> list[Job]:
        """The jobs once all are final, or as they are after `seconds`."""
        ...

    def results(self) -> AsyncIterator[Exported]:
        """Results as they are stored, from now on."""
        ...

    async def verify(self, number: str, stored: str) -> Verdict:
        """Whether the hash belongs to the number."""
        ...

    async def workers(self) -> list[Worker]:
        """The workers."""
        ...

    async def backlog(self) -> Backlog:
        """The counts."""
        ...

    async def drain(self, worker_id: str, *, reason: str, seconds: float) -> None:
        """Returns when the worker holds no lease."""
        ...


class Domains(Protocol):
    """The pool's domains. Failures are `DomainsError`."""

    async def list_domains(self) -> list[DomainView]:
        """Every domain of the pool, by name."""
        ...

    async def shutdown(self, name: str) -> None:
        """Presses the domain's power button; returns at once."""
        ...

    async def destroy(self, name: str) -> None:
        """Cuts the domain's power."""
        ...


class DomainsError(Exception):
    """libvirt refused or is away. The text is for a person."""
