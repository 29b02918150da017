"""The stream to the dispatcher over gRPC. The only module that knows the generated code.

The synchronous API in two threads (ours reads, gRPC's writes) costs a third of asyncio's boot time,
and the loop that owns the session stays free of both.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from queue import SimpleQueue

# Nothing forks after this point, so gRPC need not prepare for it.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.internal import api_implementation
from virtscale.v1 import job_pb2, worker_pb2, worker_pb2_grpc

from guest_worker import values

# The pure Python implementation is ninety times slower per job.
assert api_implementation.Type() == "upb", "protobuf runs without upb: install a wheel with it"

CHANNEL_OPTIONS = (
    # A frozen peer or a cut network is noticed after at most 15 s. keepalive_timeout_ms alone is
    # ignored below 60 s; ping_timeout_ms is what counts.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.ping_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.keepalive_permit_without_calls", 1),
    # Each attempt is a fresh connection: waiting is Backoff's business, not the channel's.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.min_reconnect_backoff_ms", 5_000),
    ("grpc.enable_retries", 0),
    # The dispatcher is the host or near it: no proxy, no service configuration from DNS.
    ("grpc.enable_http_proxy", 0),
    ("grpc.service_config_disable_resolution", 1),
)

# Codes that waiting does not cure; a person has to look. ABORTED: another process with the same
# worker id has taken the place of this one, and two that retry at once would fence each other for
# ever.
_REJECTIONS = (
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.ABORTED,
)

_REASON_LENGTH = 300
_HINTS = (
    ("WRONG_VERSION_NUMBER", "that port speaks no TLS"),
    (
        "certificate has expired",
        "the dispatcher's certificate has expired, or this machine's clock is ahead",
    ),
    (
        "certificate is not yet valid",
        "this machine's clock is behind: the dispatcher's certificate is from a later time",
    ),
    ("CERTIFICATE_VERIFY_FAILED", "the dispatcher's certificate is not of tls-ca"),
    ("Hostname Verification", "the dispatcher's certificate does not name this address"),
    ("Peer name", "the dispatcher's certificate does not name this address"),
    ("Socket closed", "that port wants TLS (tls-ca), or refuses our certificate (tls-cert)"),
)
# As the dispatcher's: what one message may name, and the largest key and epoch.
_MAX_LEASES = 65_536
_MAX_KEY = 1 << 62

_PROFILE_TO_PROTO = {
    values.LEGACY_SHA256: job_pb2.HASH_PROFILE_LEGACY_SHA256,
    values.HMAC_SHA256: job_pb2.HASH_PROFILE_HMAC_SHA256,
    values.ARGON2ID: job_pb2.HASH_PROFILE_ARGON2ID,
}
_PROFILE_FROM_PROTO = {number: name for name, number in _PROFILE_TO_PROTO.items()}


class GrpcTransport:
    """Opens streams to one dispatcher. `wake` is called from another thread when there is news."""

    def __init__(
        self,
        address: str,
        credentials: grpc.ChannelCredentials | None,
        wake: Callable[[], None],
    ) -> None:
        self._address = address
        self._credentials = credentials
        self._wake = wake
        self._stream: _Stream | None = None

    def connect(self, hello: values.Hello) -> None:
        """Open a fresh stream, closing any other, and send Hello."""
        self.close()
        if self._credentials is None:
            channel = grpc.insecure_channel(self._address, CHANNEL_OPTIONS)
        else:
            channel = grpc.secure_channel(self._address, self._credentials, CHANNEL_OPTIONS)
        self._stream = _Stream(channel, self._wake)
        self._stream.send((hello,))

    def send(self, messages: Sequence[values.MessageUp]) -> None:
        """Queue messages on the present stream."""
        if self._stream:
            self._stream.send(messages)

    def take(self) -> list[values.MessageDown | values.Lost]:
        """What arrived on the present stream since the last call."""
        return self._stream.take() if self._stream else []

    def close(self) -> None:
        """Close the stream; nothing of it arrives any more."""
        if self._stream:
            self._stream.close()
            self._stream = None


class _Stream:
    def __init__(self, channel: grpc.Channel, wake: Callable[[], None]) -> None:
        self._channel = channel
        self._wake = wake
        self._outgoing: SimpleQueue[worker_pb2.WorkRequest | None] = SimpleQueue()
        self._arrived: deque[values.MessageDown | values.Lost] = deque()
        self._call = worker_pb2_grpc.WorkerServiceStub(channel).Work(iter(self._outgoing.get, None))
        self._thread = threading.Thread(target=self._read, name="stream", daemon=True)
        self._thread.start()

    def send(self, messages: Sequence[values.MessageUp]) -> None:
        for request in encode_all(messages):
            self._outgoing.put(request)

    def take(self) -> list[values.MessageDown | values.Lost]:
        taken = []
        while self._arrived:
            taken.append(self._arrived.popleft())
        return taken

    def close(self) -> None:
        self._call.cancel()
        self._outgoing.put(None)
        self._channel.close()
        self._thread.join()

    def _read(self) -> None:
        lost = values.Lost("the dispatcher ended the stream", False)
        responses: Iterator[worker_pb2.WorkResponse] = self._call
        try:
            for response in responses:
                message = decode(response)
                if message is not None:
                    self._arrived.append(message)
                    self._wake()
        except grpc.RpcError as error:
            assert isinstance(error, grpc.Call)
            details = error.details() or ""
            reason = f"{error.code().name}: {_hint(details)}{details}"[:_REASON_LENGTH]
            lost = values.Lost(reason, error.code() in _REJECTIONS)
        except OverrunError:
            self._call.cancel()
            lost = values.Lost("the dispatcher sent leases that no dispatcher grants", True)
        self._outgoing.put(None)
        self._arrived.append(lost)
        self._wake()


def _hint(details: str) -> str:
    """What a failed handshake means; gRPC says it in OpenSSL's words, and late in a long line."""
    return next((f"{hint}; " for words, hint in _HINTS if words in details), "")


def credentials(ca: bytes, certificate: bytes | None, key: bytes | None) -> grpc.ChannelCredentials:
    """TLS credentials from PEM texts; with certificate and key, mutual TLS."""
    return grpc.ssl_channel_credentials(ca, key, certificate)


# --- values to protobuf ---------------------------------------------------------------------------


def encode_all(messages: Sequence[values.MessageUp]) -> list[worker_pb2.WorkRequest]:
    """The protobuf form of messages: credit that follows results travels with them."""
    requests: list[worker_pb2.WorkRequest] = []
    for message in messages:
        if isinstance(message, values.Credit) and requests and requests[-1].HasField("results"):
            requests[-1].results.credit += message.jobs
        else:
            requests.append(encode(message))
    return requests


def encode(message: values.MessageUp) -> worker_pb2.WorkRequest:
    """The protobuf form of a message to the dispatcher."""
    if isinstance(message, values.Hello):
        return worker_pb2.WorkRequest(hello=_hello(message))
    if isinstance(message, values.Credit):
        return worker_pb2.WorkRequest(credit=worker_pb2.Credit(jobs=message.jobs))
    if isinstance(message, values.Results):
        results = worker_pb2.Results(outcomes=_outcomes(message.outcomes))
        return worker_pb2.WorkRequest(results=results)
    if isinstance(message, values.Heartbeat):
        beat = worker_pb2.Heartbeat(held=_leases(message.held), busy_slots=message.busy_slots)
        return worker_pb2.WorkRequest(heartbeat=beat)
    if isinstance(message, values.Release):
        release = worker_pb2.Release(leases=_leases(message.leases), credit=message.credit)
        return worker_pb2.WorkRequest(release=release)
    if isinstance(message, values.Draining):
        return worker_pb2.WorkRequest(draining=worker_pb2.Draining(reason=message.reason))
    return worker_pb2.WorkRequest(goodbye=worker_pb2.Goodbye(reason=message.reason))


def _hello(hello: values.Hello) -> worker_pb2.Hello:
    return worker_pb2.Hello(
        worker_id=hello.worker_id,
        instance_id=hello.instance_id,
        join_token=hello.join_token,
        slots=hello.slots,
        software_version=hello.software_version,
        image_generation=hello.image_generation,
        held=_leases(hello.held),
        uptime=None if hello.uptime is None else _duration(hello.uptime),
        profiles=[_PROFILE_TO_PROTO[name] for name in hello.profiles],
        store_id=hello.store_id,
    )


def _outcomes(outcomes: Sequence[values.Outcome]) -> list[worker_pb2.Outcome]:
    """Hashes whose leases follow one another, and which were made together, go in one message."""
    messages: list[worker_pb2.Outcome] = []
    hashes: list[str] = []
    key = epoch = 0
    spent = -1.0
    for (next_key, next_epoch), result, cpu_seconds in outcomes:
        follows = next_key == key + len(hashes) and next_epoch == epoch + len(hashes)
        if not (hashes and follows and cpu_seconds == spent and isinstance(result, str)):
            _close_run(messages, hashes)
            (key, epoch), spent, hashes = (next_key, next_epoch), cpu_seconds, []
            message = worker_pb2.Outcome(
                lease=worker_pb2.Lease(key=key, epoch=epoch), service_time=_duration(spent)
            )
            messages.append(message)
            if not isinstance(result, str):
                message.lease.count = 1
                message.refusal.retryable = result.retryable
                message.refusal.message = result.message
                continue
        hashes.append(result)
    _close_run(messages, hashes)
    return messages


def _close_run(messages: list[worker_pb2.Outcome], hashes: list[str]) -> None:
    if hashes:
        messages[-1].lease.count = len(hashes)
        messages[-1].hashes.extend(hashes)


def _leases(leases: Sequence[values.Lease]) -> list[worker_pb2.Lease]:
    """In runs whose keys and epochs follow one another."""
    runs: list[list[int]] = []
    for key, epoch in leases:
        last = runs[-1] if runs else (0, 0, 0)
        if key == last[0] + last[2] and epoch == last[1] + last[2]:
            runs[-1][2] += 1
        else:
            runs.append([key, epoch, 1])
    return [worker_pb2.Lease(key=key, epoch=epoch, count=count) for key, epoch, count in runs]


def _duration(seconds: float) -> Duration:
    whole, nanos = divmod(round(max(0.0, seconds) * 1e9), 1_000_000_000)
    return Duration(seconds=whole, nanos=nanos)


# --- protobuf to values ---------------------------------------------------------------------------


class OverrunError(Exception):
    """A message whose runs of leases would not fit into memory, or into the protocol."""


def decode(response: worker_pb2.WorkResponse) -> values.MessageDown | None:
    """The value of a message from the dispatcher; None for one this version does not know.

    Raises:
        OverrunError: it names more leases than the protocol allows.

    """
    kind = response.WhichOneof("message")
    if kind == "jobs":
        runs = response.jobs.assignments
        return values.Jobs(tuple([each for run in runs for each in _assignments(run)]))
    if kind == "result_acks":
        return values.ResultAcks(_values(response.result_acks.leases))
    if kind == "leases_revoked":
        return values.LeasesRevoked(_values(response.leases_revoked.leases))
    if kind == "welcome":
        return _welcome(response.welcome)
    if kind == "drain":
        return values.Drain()
    if kind == "drain_cancelled":
        return values.DrainCancelled()
    if kind == "goodbye_ack":
        return values.GoodbyeAck()
    return None


def _welcome(welcome: worker_pb2.Welcome) -> values.Welcome:
    return values.Welcome(
        session_id=welcome.session_id,
        heartbeat_interval=_seconds(welcome.heartbeat_interval),
        lease_ttl=_seconds(welcome.lease_ttl),
        kept=_values(welcome.kept),
        cordoned=welcome.cordoned,
        store_id=welcome.store_id,
    )


def _assignments(run: worker_pb2.Assignment) -> list[values.Assignment]:
    profile = _PROFILE_FROM_PROTO.get(run.profile, f"number {run.profile}")
    key_id, load, cost = run.key_id, _load(run.load), None
    if run.HasField("argon2_cost"):
        message = run.argon2_cost
        cost = values.Argon2Cost(message.memory_kib, message.passes, message.lanes)
    _check_run(run.lease)
    keys = range(run.lease.key, run.lease.key + len(run.inputs))
    epochs = range(run.lease.epoch, run.lease.epoch + len(run.inputs))
    return [
        values.Assignment(lease, profile, data, key_id, load, cost)
        for lease, data in zip(map(values.Lease, keys, epochs), run.inputs, strict=True)
    ]


def _load(load: job_pb2.Load) -> values.Load:
    kind = load.WhichOneof("kind")
    if kind == "collision":
        return values.Collision(load.collision.difficulty_bits, load.collision.seed)
    if kind == "verify":
        return values.Verify(load.verify.repetitions)
    if kind == "busy":
        return values.Busy(_seconds(load.busy.duration))
    return None


def _check_run(run: worker_pb2.Lease) -> None:
    # A few bytes can name billions of leases.
    if run.count > _MAX_LEASES or run.key > _MAX_KEY or run.epoch > _MAX_KEY:
        raise OverrunError


def _values(runs: Sequence[worker_pb2.Lease]) -> tuple[values.Lease, ...]:
    for run in runs:
        _check_run(run)
    if sum([run.count or 1 for run in runs]) > _MAX_LEASES:
        raise OverrunError
    return tuple(
        [
            values.Lease(run.key + place, run.epoch + place)
            for run in runs
            for place in range(run.count or 1)
        ]
    )


def _seconds(duration: Duration) -> float:
    return duration.seconds + duration.nanos / 1e9
