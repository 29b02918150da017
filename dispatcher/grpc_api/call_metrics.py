"""gRPC server metrics under the names of go-grpc-prometheus, which dashboards know.

Counted per call and per message, never per job: a batch is one message. The counts are plain
integers that only the event loop changes; a scrape reads them. Endless streams have no duration.
"""

import asyncio
import inspect
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from dispatcher.grpc_server.calls import Arrival, RefusedCall
from dispatcher.grpc_server.service import Resolve

_LABELS = ("grpc_type", "grpc_service", "grpc_method")
_BUCKETS = (
    *(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)
# By number, in the spelling of Go's grpc/codes.
_CODES = (
    *("OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound"),
    *("AlreadyExists", "PermissionDenied", "ResourceExhausted", "FailedPrecondition", "Aborted"),
    *("OutOfRange", "Unimplemented", "Internal", "Unavailable", "DataLoss", "Unauthenticated"),
)


class _Method:
    """The counts of one method."""

    __slots__ = ("handled", "labels", "observe", "received", "sent", "started")

    def __init__(self, labels: tuple[str, str, str], observe: Callable[[float], None]) -> None:
        self.labels = labels
        self.observe = observe
        self.started = self.received = self.sent = 0
        self.handled = Counter({"OK": 0})

    def ended(self, context: Any, error: BaseException | None) -> None:
        """A call is over."""
        self.handled[_code(context, error)] += 1


class MeasureCalls(Collector):
    """Counts every call of the services it knows; must be the outermost judge."""

    def __init__(self, registry: CollectorRegistry, services: Iterable[ServiceDescriptor]) -> None:
        seconds = Histogram(
            "grpc_server_handling_seconds",
            "Seconds from the start of a unary call to its end, in the server.",
            _LABELS,
            buckets=_BUCKETS,
            registry=registry,
        )
        self._methods: dict[str, _Method] = {}
        self._measured: dict[str, tuple[Any, Any]] = {}
        for service in services:
            for method in service.methods:
                labels = (_kind(method), service.full_name, method.name)
                observe = seconds.labels(*labels).observe if labels[0] == "unary" else _forget
                self._methods[f"/{service.full_name}/{method.name}"] = _Method(labels, observe)
        registry.register(self)

    def __call__(self, following: Resolve) -> Resolve:
        """See `grpc_server.service.Service`. Unknown methods are left alone: anybody names them."""

        def resolve(arrival: Arrival) -> Any:
            handler = following(arrival)
            method = self._methods.get(arrival.method)
            if handler is None or method is None:
                return handler
            if isinstance(handler, RefusedCall):
                method.started += 1
                method.handled[_CODES[handler.code]] += 1
                return handler
            known, measured = self._measured.get(arrival.method, (None, None))
            if handler is not known:
                measured = _measured_handler(handler, method)
                self._measured[arrival.method] = handler, measured
            return measured

        return resolve

    def describe(self) -> list[Metric]:
        """Nothing by name: the registry need not collect at once."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The counts as they are."""
        for name, text, count in (
            ("started", "Calls that began.", "started"),
            ("msg_received", "Messages received from clients.", "received"),
            ("msg_sent", "Messages sent to clients.", "sent"),
        ):
            family = CounterMetricFamily(f"grpc_server_{name}", text, labels=_LABELS)
            for method in self._methods.values():
                family.add_metric(method.labels, getattr(method, count))
            yield family
        handled = CounterMetricFamily(
            "grpc_server_handled",
            "Calls that ended, by code; a code appears with its first call.",
            labels=(*_LABELS, "grpc_code"),
        )
        for method in self._methods.values():
            for code, calls in list(method.handled.items()):
                handled.add_metric((*method.labels, code), calls)
        yield handled


class _CountedContext:
    """A call's context that counts what is written."""

    def __init__(self, context: Any, method: _Method) -> None:
        self._context = context
        self._method = method

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    async def write(self, message: Any) -> None:
        await self._context.write(message)
        self._method.sent += 1


def _measured_handler(handler: Any, method: _Method) -> Any:
    for form in ("unary_unary", "unary_stream", "stream_unary", "stream_stream"):
        if (serve := getattr(handler, form)) is not None:
            return handler._replace(**{form: _measured(method, form, serve)})
    return handler


def _measured(method: _Method, form: str, serve: Any) -> Any:
    takes_stream, sends_stream = form.startswith("stream"), form.endswith("stream")

    def begin(given: Any) -> Any:
        method.started += 1
        if takes_stream:
            return _counted(method, given)
        method.received += 1
        return given

    async def answered(given: Any, context: Any) -> Any:
        request, began = begin(given), time.perf_counter()
        try:
            answer = await serve(
                request, _CountedContext(context, method) if sends_stream else context
            )
        except BaseException as error:
            method.ended(context, error)
            raise
        else:
            method.sent += not sends_stream
            method.ended(context, None)
            return answer
        finally:
            method.observe(time.perf_counter() - began)

    async def streamed(given: Any, context: Any) -> AsyncIterator[Any]:
        request = begin(given)
        try:
            async for answer in serve(request, context):
                yield answer
                method.sent += 1
        except BaseException as error:
            method.ended(context, error)
            raise
        else:
            method.ended(context, None)

    return streamed if inspect.isasyncgenfunction(serve) else answered


async def _counted(method: _Method, requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for request in requests:
        method.received += 1
        yield request


def _code(context: Any, error: BaseException | None) -> str:
    if error is None or isinstance(error, grpc.aio.AbortError):
        code = context.code() or 0
        return _CODES[code if isinstance(code, int) else code.value[0]]
    if isinstance(error, asyncio.CancelledError | GeneratorExit):
        left = context.time_remaining()
        return "DeadlineExceeded" if left is not None and left <= 0 else "Canceled"
    return "Unknown"


def _kind(method: MethodDescriptor) -> str:
    if method.client_streaming:
        return "bidi_stream" if method.server_streaming else "client_stream"
    return "server_stream" if method.server_streaming else "unary"


def _forget(_seconds: float) -> None:
    """An endless stream's duration says nothing."""
