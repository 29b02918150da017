"""The dispatcher over gRPC. The one module of the stack that knows the generated code."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import grpc
from google.protobuf import duration_pb2, timestamp_pb2
from virtscale.v1 import (
    fleet_pb2,
    fleet_pb2_grpc,
    job_pb2,
    license_pb2,
    license_pb2_grpc,
)

from servicekit.config import ConfigError
from servicekit.tls import TokenFile, handshake_hint, is_loopback
from stack import rpc_details
from stack.calibration import JobLoad
from stack.jobs import Backlog, DispatcherError, JobSpec, JobView, Profile, State, WorkerView

Answer = TypeVar("Answer")

_PROFILES: dict[Profile, job_pb2.HashProfile] = {
    "legacy-sha256": job_pb2.HASH_PROFILE_LEGACY_SHA256,
    "hmac-sha256": job_pb2.HASH_PROFILE_HMAC_SHA256,
    "argon2id": job_pb2.HASH_PROFILE_ARGON2ID,
}
_PROFILE_NAMES = {value: name for name, value in _PROFILES.items()}
_STATES: dict[int, State] = {
    job_pb2.JOB_STATE_READY: "ready",
    job_pb2.JOB_STATE_LEASED: "leased",
    job_pb2.JOB_STATE_DONE: "done",
    job_pb2.JOB_STATE_FAILED: "failed",
    job_pb2.JOB_STATE_CANCELLED: "cancelled",
}
_WORKER_STATES: dict[int, Any] = {
    fleet_pb2.WORKER_STATE_READY: "ready",
    fleet_pb2.WORKER_STATE_CORDONED: "cordoned",
    fleet_pb2.WORKER_STATE_DRAINING: "draining",
    fleet_pb2.WORKER_STATE_DISCONNECTED: "disconnected",
}
_OPTIONS = (
    # A dispatcher that restarts must be found again within a second.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # Whatever the host's proxy settings: a proxy cannot reach this machine's loopback.
    ("grpc.enable_http_proxy", 0),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
)


class DispatcherClient:
    """Calls of `LicenseService` and `FleetService`; every failure is a `DispatcherError`."""

    def __init__(
        self,
        address: str,
        *,
        ca: Path | None = None,
        insecure: bool = False,
        seconds: float = 10.0,
        token_file: Path | None = None,
    ) -> None:
        """`seconds` is the deadline of each short call. `token_file` is read at the first call.

        Raises:
            DispatcherError: when the address is not loopback and neither `ca` nor `insecure` is
                given, or the CA file cannot be read.

        """
        self._address = address
        self._seconds = seconds
        self._token_file = token_file
        self._token: TokenFile | None = None
        self._channel = _channel(address, ca, insecure)
        self._licenses = license_pb2_grpc.LicenseServiceStub(self._channel)
        self._fleet = fleet_pb2_grpc.FleetServiceStub(self._channel)

    async def __aenter__(self) -> "DispatcherClient":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the connection."""
        await self._channel.close()

    async def submit(self, request_id: str, jobs: Sequence[JobSpec]) -> list[str]:
        """Submits a batch; returns the job ids in order once every job is on disk."""
        request = license_pb2.SubmitJobsRequest(
            request_id=request_id, jobs=[_job_message(job) for job in jobs]
        )
        answer = await self._call(self._licenses.SubmitJobs, request)
        return list(answer.job_ids)

    async def get(self, job_id: str) -> JobView:
        """One job."""
        answer = await self._call(self._licenses.GetJob, license_pb2.GetJobRequest(job_id=job_id))
        return _job_view(answer.job)

    async def wait(self, job_ids: Sequence[str], *, seconds: float) -> list[JobView]:
        """The jobs (at most 1,000) once all are final, or as they are after `seconds`."""
        request = license_pb2.WaitJobsRequest(job_ids=job_ids, timeout=_duration(seconds))
        answer = await self._call(self._licenses.WaitJobs, request, seconds=seconds + self._seconds)
        return [_job_view(job) for job in answer.jobs]

    async def watch(
        self, cursor: str = "", *, from_start: bool = False
    ) -> AsyncIterator[tuple[JobView, str]]:
        """Follows stored results from a cursor on: pairs of job and next cursor."""
        request = license_pb2.WatchResultsRequest(cursor=cursor, from_start=from_start)
        call = self._licenses.WatchResults(request, metadata=self._metadata())
        try:
            async for answer in call:
                yield _job_view(answer.job), answer.cursor
        except grpc.aio.AioRpcError as error:
            raise self._error(error) from None
        finally:
            call.cancel()
        raise DispatcherError("UNAVAILABLE", f"the dispatcher at {self._address} ended the stream")

    async def verify(self, number: str, stored: str) -> tuple[bool, bool]:
        """Whether the stored hash belongs to the number, and whether it should be made anew."""
        request = license_pb2.VerifyLicenseRequest(number=number, hash=stored)
        answer = await self._call(self._licenses.VerifyLicense, request)
        return answer.matches, answer.needs_rehash

    async def list_workers(self) -> list[WorkerView]:
        """All connected workers, and cordoned ones that are not connected."""
        answer = await self._call(self._fleet.ListWorkers, fleet_pb2.ListWorkersRequest())
        return [_worker_view(worker) for worker in answer.workers]

    async def backlog(self) -> Backlog:
        """The dispatcher's counts."""
        answer = await self._call(self._fleet.GetBacklog, fleet_pb2.GetBacklogRequest())
        return Backlog(
            accepted=answer.accepted,
            ready=answer.ready,
            leased=answer.leased,
            done=answer.done,
            failed=answer.failed,
            cancelled=answer.cancelled,
            oldest_ready_seconds=(
                _seconds(answer.oldest_ready_age) if answer.HasField("oldest_ready_age") else None
            ),
            slots=answer.slots,
        )

    async def drain(self, worker_id: str, *, reason: str, seconds: float) -> None:
        """Returns when the worker holds no lease, or the rest was taken back after `seconds`."""
        request = fleet_pb2.DrainWorkerRequest(
            worker_id=worker_id, reason=reason, deadline=_duration(seconds)
        )
        await self._call(self._fleet.DrainWorker, request, seconds=seconds + self._seconds)

    async def uncordon(self, worker_id: str) -> None:
        """Lifts a cordon."""
        await self._call(
            self._fleet.UncordonWorker, fleet_pb2.UncordonWorkerRequest(worker_id=worker_id)
        )

    async def _call(
        self, method: Callable[..., Awaitable[Answer]], request: Any, *, seconds: float = 0.0
    ) -> Answer:
        try:
            return await method(
                request, timeout=seconds or self._seconds, metadata=self._metadata()
            )
        except grpc.aio.AioRpcError as error:
            raise self._error(error) from None

    def _metadata(self) -> tuple[tuple[str, str], ...]:
        if self._token_file is None:
            return ()
        try:
            if self._token is None:
                self._token = TokenFile(self._token_file)
            return self._token.metadata()
        except ConfigError as error:
            raise DispatcherError("UNAUTHENTICATED", str(error)) from None

    def _error(self, error: grpc.aio.AioRpcError) -> DispatcherError:
        code = error.code().name
        detail = (error.details() or "").rstrip(".")
        violations, retry_seconds = _details(error)
        if code == "UNAVAILABLE":
            hint = handshake_hint(detail)
            text = f"the dispatcher at {self._address} does not answer ({detail}){hint}"
        elif violations:
            text = f"the dispatcher refused the request: {'; '.join(violations)}"
        else:
            text = f"the dispatcher at {self._address} answered {code}: {detail}"
        return DispatcherError(code, text, retry_seconds=retry_seconds)


def _channel(address: str, ca: Path | None, insecure: bool) -> grpc.aio.Channel:
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65_535:
        raise DispatcherError(
            "INVALID_ARGUMENT", f"dispatcher address {address!r}: must be HOST:PORT"
        )
    if ca is not None:
        try:
            credentials = grpc.ssl_channel_credentials(ca.read_bytes())
        except OSError as error:
            raise DispatcherError(
                "INVALID_ARGUMENT", f"--ca {ca}: cannot be read: {error.strerror}"
            ) from None
        return grpc.aio.secure_channel(address, credentials, options=_OPTIONS)
    if not insecure and not is_loopback(host.strip("[]")):
        raise DispatcherError(
            "INVALID_ARGUMENT",
            f"dispatcher {address} is another host, and numbers are not sent in clear; give its "
            "certificate authority with --ca FILE, or accept the risk with --insecure",
        )
    return grpc.aio.insecure_channel(address, options=_OPTIONS)


def _details(error: grpc.aio.AioRpcError) -> tuple[list[str], float | None]:
    raw = dict(error.trailing_metadata() or ()).get(rpc_details.METADATA_KEY)
    return rpc_details.read(raw) if isinstance(raw, bytes) else ([], None)


def _job_message(job: JobSpec) -> job_pb2.JobSpec:
    return job_pb2.JobSpec(
        number=job.number,
        profile=_PROFILES[job.profile],
        load=_load_message(job.load),
        reference=job.reference,
    )


def _load_message(load: JobLoad) -> job_pb2.Load | None:
    if load.kind == "collision":
        return job_pb2.Load(collision=job_pb2.Collision(difficulty_bits=int(load.amount)))
    if load.kind == "verify":
        return job_pb2.Load(verify=job_pb2.Verify(repetitions=int(load.amount)))
    if load.kind == "busy":
        return job_pb2.Load(busy=job_pb2.Busy(duration=_duration(load.amount)))
    return None


def _job_view(job: job_pb2.Job) -> JobView:
    result = job.result
    return JobView(
        job_id=job.job_id,
        state=_STATES.get(job.state, "ready"),
        reference=job.reference or result.reference,
        accepted_at=_unix(job.accepted_at),
        attempts=job.attempts,
        profile=_PROFILE_NAMES.get(result.profile, ""),
        hash=result.hash,
        worker_id=result.worker_id,
        completed_at=_unix(result.completed_at) if result.HasField("completed_at") else None,
        service_seconds=_seconds(result.service_time),
        failure=job.failure.message,
    )


def _worker_view(worker: fleet_pb2.Worker) -> WorkerView:
    return WorkerView(
        worker_id=worker.worker_id,
        state=_WORKER_STATES.get(worker.state, "disconnected"),
        slots=worker.slots,
        busy_slots=worker.busy_slots,
        leases=worker.leases,
        completed=worker.completed,
        connected_at=_unix(worker.connected_at) if worker.HasField("connected_at") else None,
        oldest_lease_at=(
            _unix(worker.oldest_lease_at) if worker.HasField("oldest_lease_at") else None
        ),
        boot_seconds=_seconds(worker.boot_time) if worker.HasField("boot_time") else None,
    )


def _duration(seconds: float) -> duration_pb2.Duration:
    whole = int(seconds)
    return duration_pb2.Duration(seconds=whole, nanos=int((seconds - whole) * 1e9))


def _seconds(duration: duration_pb2.Duration) -> float:
    return duration.seconds + duration.nanos / 1e9


def _unix(stamp: timestamp_pb2.Timestamp) -> float:
    return stamp.seconds + stamp.nanos / 1e9
