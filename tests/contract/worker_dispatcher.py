"""A dispatcher that a test scripts message by message, over a real gRPC server on loopback."""

import contextlib
import queue
from collections.abc import Iterator
from concurrent import futures

import grpc
from google.protobuf.duration_pb2 import Duration
from virtscale.v1 import job_pb2, worker_pb2, worker_pb2_grpc

PATIENCE = 20.0
_END = object()


def lease(key: int, epoch: int = 1) -> worker_pb2.Lease:
    return worker_pb2.Lease(key=key, epoch=epoch, count=1)


def welcome(*kept: worker_pb2.Lease, heartbeat: float = 30.0) -> worker_pb2.Welcome:
    interval = Duration()
    interval.FromMicroseconds(int(heartbeat * 1e6))
    return worker_pb2.Welcome(
        session_id="s1", heartbeat_interval=interval, lease_ttl=Duration(seconds=10), kept=kept
    )


def legacy(
    key: int,
    number: str = "KA-47-UT-9173",
    load: job_pb2.Load | None = None,
    epoch: int = 1,
) -> worker_pb2.Assignment:
    return worker_pb2.Assignment(
        lease=lease(key, epoch),
        profile=job_pb2.HASH_PROFILE_LEGACY_SHA256,
        inputs=[number.encode()],
        load=load,
    )


def busy(seconds: int) -> job_pb2.Load:
    return job_pb2.Load(busy=job_pb2.Busy(duration=Duration(seconds=seconds)))


class Stream:
    """One Work call: what the worker said, and what the test answers."""

    def __init__(self, context: grpc.ServicerContext) -> None:
        self.context = context
        self.requests: queue.Queue[object] = queue.Queue()
        self.responses: queue.Queue[object] = queue.Queue()

    def send(self, **message: object) -> None:
        self.responses.put(worker_pb2.WorkResponse(**message))  # type: ignore[arg-type]

    def send_jobs(self, *assignments: worker_pb2.Assignment) -> None:
        self.send(jobs=worker_pb2.Jobs(assignments=assignments))

    def ack(self, *leases: worker_pb2.Lease) -> None:
        self.send(result_acks=worker_pb2.ResultAcks(leases=leases))

    def end(self) -> None:
        """End the call from the dispatcher's side without a word."""
        self.responses.put(_END)

    def abort(self, code: grpc.StatusCode, details: str) -> None:
        self.responses.put((code, details))

    def next(self, timeout: float = PATIENCE) -> worker_pb2.WorkRequest | None:
        """The next message; None when the worker ended the call."""
        request = self.requests.get(timeout=timeout)
        if request is _END:
            return None
        assert isinstance(request, worker_pb2.WorkRequest)
        return request

    def expect(self, kind: str, *skip: str) -> worker_pb2.WorkRequest:
        """The next message, which must be of this kind; kinds in `skip` are passed over."""
        while True:
            request = self.next()
            found = request.WhichOneof("message") if request else "end"
            if found == kind:
                assert request
                return request
            assert found in skip, f"expected {kind}, got {found}: {request}"

    def has_nothing(self, timeout: float) -> bool:
        try:
            request = self.requests.get(timeout=timeout)
        except queue.Empty:
            return True
        raise AssertionError(f"unexpected message: {request}")


class _Servicer(worker_pb2_grpc.WorkerServiceServicer):
    def __init__(self, streams: "queue.Queue[Stream]") -> None:
        self._streams = streams

    def Work(
        self,
        request_iterator: Iterator[worker_pb2.WorkRequest],
        context: grpc.ServicerContext,
    ) -> Iterator[worker_pb2.WorkResponse]:
        stream = Stream(context)
        context.add_callback(lambda: stream.responses.put(_END))
        reader = futures.ThreadPoolExecutor(1)
        reader.submit(self._read, stream, request_iterator)
        self._streams.put(stream)
        while (response := stream.responses.get()) is not _END:
            if isinstance(response, tuple):
                context.abort(*response)
            yield response  # type: ignore[misc]
        reader.shutdown(wait=False)

    @staticmethod
    def _read(stream: Stream, requests: Iterator[worker_pb2.WorkRequest]) -> None:
        with contextlib.suppress(grpc.RpcError, Exception):
            for request in requests:
                stream.requests.put(request)
        stream.requests.put(_END)


class ScriptedDispatcher:
    """A server whose streams a test talks through. May be stopped and started on the same port."""

    def __init__(self, credentials: grpc.ServerCredentials | None = None) -> None:
        self.streams: queue.Queue[Stream] = queue.Queue()
        self._credentials = credentials
        self.port = 0
        self.start()

    def start(self) -> None:
        self._pool = futures.ThreadPoolExecutor(8)
        self._server = grpc.server(self._pool, options=[("grpc.so_reuseport", 0)])
        worker_pb2_grpc.add_WorkerServiceServicer_to_server(_Servicer(self.streams), self._server)
        address = f"127.0.0.1:{self.port}"
        if self._credentials is None:
            self.port = self._server.add_insecure_port(address)
        else:
            self.port = self._server.add_secure_port(address, self._credentials)
        self._server.start()

    def stop(self) -> None:
        self._server.stop(grace=None).wait(PATIENCE)
        self._pool.shutdown(wait=False)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def accept(self, timeout: float = PATIENCE) -> Stream:
        """The next stream that a worker opens."""
        return self.streams.get(timeout=timeout)

    def greet(self, *kept: worker_pb2.Lease, heartbeat: float = 30.0) -> Stream:
        """Accept a stream, read its Hello and answer it."""
        stream = self.accept()
        stream.expect("hello")
        stream.send(welcome=welcome(*kept, heartbeat=heartbeat))
        return stream
