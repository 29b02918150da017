"""The Python client of the dispatcher: `Client` (blocking) and `AsyncClient` (asyncio).

    from virtscale.client import Client

    with Client("127.0.0.1:15051") as client:
        for hashed in client.hash_many(["KA-47-UT-9173", "22BH9173UT"]):
            print(hashed.index, hashed.job.hash)

Needs grpcio and protobuf only. Reading order: values, errors, retries, job_stream, wire, exchange,
asynchronous, blocking.
"""

from typing import TYPE_CHECKING, Any

from virtscale.client.errors import (
    ConflictError,
    DispatcherError,
    InvalidRequestError,
    NotAllowedError,
    OverloadedError,
    UnavailableError,
    UnknownJobError,
    Violation,
)
from virtscale.client.retries import FOREVER, ONCE, RetryPolicy
from virtscale.client.values import (
    FINAL_STATES,
    MAX_BATCH,
    MAX_NUMBER_LENGTH,
    PROFILES,
    Attempt,
    Backlog,
    Busy,
    Collision,
    Exported,
    Hashed,
    Job,
    JobSpec,
    Load,
    Profile,
    State,
    Verdict,
    Verify,
    Worker,
)

if TYPE_CHECKING:
    from virtscale.client.asynchronous import AsyncClient
    from virtscale.client.blocking import Client
    from virtscale.client.connection import Tls

# grpc takes longer to import than everything else together, and whoever only handles values and
# errors has no need of it.
_LATE = {"AsyncClient": "asynchronous", "Client": "blocking", "Tls": "connection"}


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_LATE[name]}"), name)


__all__ = [
    "FINAL_STATES",
    "FOREVER",
    "MAX_BATCH",
    "MAX_NUMBER_LENGTH",
    "ONCE",
    "PROFILES",
    "AsyncClient",
    "Attempt",
    "Backlog",
    "Busy",
    "Client",
    "Collision",
    "ConflictError",
    "DispatcherError",
    "Exported",
    "Hashed",
    "InvalidRequestError",
    "Job",
    "JobSpec",
    "Load",
    "NotAllowedError",
    "OverloadedError",
    "Profile",
    "RetryPolicy",
    "State",
    "Tls",
    "UnavailableError",
    "UnknownJobError",
    "Verdict",
    "Verify",
    "Violation",
    "Worker",
]
