import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class WorkerState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    WORKER_STATE_UNSPECIFIED: _ClassVar[WorkerState]
    WORKER_STATE_READY: _ClassVar[WorkerState]
    WORKER_STATE_CORDONED: _ClassVar[WorkerState]
    WORKER_STATE_DRAINING: _ClassVar[WorkerState]
    WORKER_STATE_DISCONNECTED: _ClassVar[WorkerState]

class DrainOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DRAIN_OUTCOME_UNSPECIFIED: _ClassVar[DrainOutcome]
    DRAIN_OUTCOME_DRAINED: _ClassVar[DrainOutcome]
    DRAIN_OUTCOME_DEADLINE: _ClassVar[DrainOutcome]
    DRAIN_OUTCOME_CANCELLED: _ClassVar[DrainOutcome]
    DRAIN_OUTCOME_LOST: _ClassVar[DrainOutcome]
WORKER_STATE_UNSPECIFIED: WorkerState
WORKER_STATE_READY: WorkerState
WORKER_STATE_CORDONED: WorkerState
WORKER_STATE_DRAINING: WorkerState
WORKER_STATE_DISCONNECTED: WorkerState
DRAIN_OUTCOME_UNSPECIFIED: DrainOutcome
DRAIN_OUTCOME_DRAINED: DrainOutcome
DRAIN_OUTCOME_DEADLINE: DrainOutcome
DRAIN_OUTCOME_CANCELLED: DrainOutcome
DRAIN_OUTCOME_LOST: DrainOutcome

class Worker(_message.Message):
    __slots__ = ("worker_id", "state", "slots", "busy_slots", "leases", "connected_at", "heartbeat_age", "boot_time", "completed", "instance_id", "image_generation", "oldest_lease_at")
    WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    BUSY_SLOTS_FIELD_NUMBER: _ClassVar[int]
    LEASES_FIELD_NUMBER: _ClassVar[int]
    CONNECTED_AT_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_AGE_FIELD_NUMBER: _ClassVar[int]
    BOOT_TIME_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    IMAGE_GENERATION_FIELD_NUMBER: _ClassVar[int]
    OLDEST_LEASE_AT_FIELD_NUMBER: _ClassVar[int]
    worker_id: str
    state: WorkerState
    slots: int
    busy_slots: int
    leases: int
    connected_at: _timestamp_pb2.Timestamp
    heartbeat_age: _duration_pb2.Duration
    boot_time: _duration_pb2.Duration
    completed: int
    instance_id: str
    image_generation: str
    oldest_lease_at: _timestamp_pb2.Timestamp
    def __init__(self, worker_id: _Optional[str] = ..., state: _Optional[_Union[WorkerState, str]] = ..., slots: _Optional[int] = ..., busy_slots: _Optional[int] = ..., leases: _Optional[int] = ..., connected_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., heartbeat_age: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., boot_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., completed: _Optional[int] = ..., instance_id: _Optional[str] = ..., image_generation: _Optional[str] = ..., oldest_lease_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListWorkersRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListWorkersResponse(_message.Message):
    __slots__ = ("workers",)
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    workers: _containers.RepeatedCompositeFieldContainer[Worker]
    def __init__(self, workers: _Optional[_Iterable[_Union[Worker, _Mapping]]] = ...) -> None: ...

class CordonWorkerRequest(_message.Message):
    __slots__ = ("worker_id", "reason", "max_leases")
    WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MAX_LEASES_FIELD_NUMBER: _ClassVar[int]
    worker_id: str
    reason: str
    max_leases: int
    def __init__(self, worker_id: _Optional[str] = ..., reason: _Optional[str] = ..., max_leases: _Optional[int] = ...) -> None: ...

class CordonWorkerResponse(_message.Message):
    __slots__ = ("granted", "leases")
    GRANTED_FIELD_NUMBER: _ClassVar[int]
    LEASES_FIELD_NUMBER: _ClassVar[int]
    granted: bool
    leases: int
    def __init__(self, granted: _Optional[bool] = ..., leases: _Optional[int] = ...) -> None: ...

class DrainWorkerRequest(_message.Message):
    __slots__ = ("worker_id", "reason", "deadline")
    WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_FIELD_NUMBER: _ClassVar[int]
    worker_id: str
    reason: str
    deadline: _duration_pb2.Duration
    def __init__(self, worker_id: _Optional[str] = ..., reason: _Optional[str] = ..., deadline: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class DrainWorkerResponse(_message.Message):
    __slots__ = ("outcome", "leases_taken_back")
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    LEASES_TAKEN_BACK_FIELD_NUMBER: _ClassVar[int]
    outcome: DrainOutcome
    leases_taken_back: int
    def __init__(self, outcome: _Optional[_Union[DrainOutcome, str]] = ..., leases_taken_back: _Optional[int] = ...) -> None: ...

class UncordonWorkerRequest(_message.Message):
    __slots__ = ("worker_id",)
    WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    worker_id: str
    def __init__(self, worker_id: _Optional[str] = ...) -> None: ...

class UncordonWorkerResponse(_message.Message):
    __slots__ = ("was_cordoned",)
    WAS_CORDONED_FIELD_NUMBER: _ClassVar[int]
    was_cordoned: bool
    def __init__(self, was_cordoned: _Optional[bool] = ...) -> None: ...

class GetBacklogRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetBacklogResponse(_message.Message):
    __slots__ = ("accepted", "ready", "leased", "done", "failed", "cancelled", "oldest_ready_age", "slots")
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    LEASED_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    CANCELLED_FIELD_NUMBER: _ClassVar[int]
    OLDEST_READY_AGE_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    accepted: int
    ready: int
    leased: int
    done: int
    failed: int
    cancelled: int
    oldest_ready_age: _duration_pb2.Duration
    slots: int
    def __init__(self, accepted: _Optional[int] = ..., ready: _Optional[int] = ..., leased: _Optional[int] = ..., done: _Optional[int] = ..., failed: _Optional[int] = ..., cancelled: _Optional[int] = ..., oldest_ready_age: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., slots: _Optional[int] = ...) -> None: ...
