import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from virtscale.v1 import job_pb2 as _job_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class WorkRequest(_message.Message):
    __slots__ = ("hello", "credit", "results", "heartbeat", "draining", "goodbye", "release")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    CREDIT_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    GOODBYE_FIELD_NUMBER: _ClassVar[int]
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    credit: Credit
    results: Results
    heartbeat: Heartbeat
    draining: Draining
    goodbye: Goodbye
    release: Release
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., credit: _Optional[_Union[Credit, _Mapping]] = ..., results: _Optional[_Union[Results, _Mapping]] = ..., heartbeat: _Optional[_Union[Heartbeat, _Mapping]] = ..., draining: _Optional[_Union[Draining, _Mapping]] = ..., goodbye: _Optional[_Union[Goodbye, _Mapping]] = ..., release: _Optional[_Union[Release, _Mapping]] = ...) -> None: ...

class WorkResponse(_message.Message):
    __slots__ = ("welcome", "jobs", "result_acks", "leases_revoked", "drain", "drain_cancelled", "goodbye_ack")
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    JOBS_FIELD_NUMBER: _ClassVar[int]
    RESULT_ACKS_FIELD_NUMBER: _ClassVar[int]
    LEASES_REVOKED_FIELD_NUMBER: _ClassVar[int]
    DRAIN_FIELD_NUMBER: _ClassVar[int]
    DRAIN_CANCELLED_FIELD_NUMBER: _ClassVar[int]
    GOODBYE_ACK_FIELD_NUMBER: _ClassVar[int]
    welcome: Welcome
    jobs: Jobs
    result_acks: ResultAcks
    leases_revoked: LeasesRevoked
    drain: Drain
    drain_cancelled: DrainCancelled
    goodbye_ack: GoodbyeAck
    def __init__(self, welcome: _Optional[_Union[Welcome, _Mapping]] = ..., jobs: _Optional[_Union[Jobs, _Mapping]] = ..., result_acks: _Optional[_Union[ResultAcks, _Mapping]] = ..., leases_revoked: _Optional[_Union[LeasesRevoked, _Mapping]] = ..., drain: _Optional[_Union[Drain, _Mapping]] = ..., drain_cancelled: _Optional[_Union[DrainCancelled, _Mapping]] = ..., goodbye_ack: _Optional[_Union[GoodbyeAck, _Mapping]] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("worker_id", "instance_id", "join_token", "slots", "software_version", "image_generation", "held", "store_id", "uptime", "profiles")
    WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    JOIN_TOKEN_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    SOFTWARE_VERSION_FIELD_NUMBER: _ClassVar[int]
    IMAGE_GENERATION_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    STORE_ID_FIELD_NUMBER: _ClassVar[int]
    UPTIME_FIELD_NUMBER: _ClassVar[int]
    PROFILES_FIELD_NUMBER: _ClassVar[int]
    worker_id: str
    instance_id: str
    join_token: str
    slots: int
    software_version: str
    image_generation: str
    held: _containers.RepeatedCompositeFieldContainer[Lease]
    store_id: str
    uptime: _duration_pb2.Duration
    profiles: _containers.RepeatedScalarFieldContainer[_job_pb2.HashProfile]
    def __init__(self, worker_id: _Optional[str] = ..., instance_id: _Optional[str] = ..., join_token: _Optional[str] = ..., slots: _Optional[int] = ..., software_version: _Optional[str] = ..., image_generation: _Optional[str] = ..., held: _Optional[_Iterable[_Union[Lease, _Mapping]]] = ..., store_id: _Optional[str] = ..., uptime: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., profiles: _Optional[_Iterable[_Union[_job_pb2.HashProfile, str]]] = ...) -> None: ...

class Lease(_message.Message):
    __slots__ = ("epoch", "key", "count")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    key: int
    count: int
    def __init__(self, epoch: _Optional[int] = ..., key: _Optional[int] = ..., count: _Optional[int] = ...) -> None: ...

class Credit(_message.Message):
    __slots__ = ("jobs",)
    JOBS_FIELD_NUMBER: _ClassVar[int]
    jobs: int
    def __init__(self, jobs: _Optional[int] = ...) -> None: ...

class Results(_message.Message):
    __slots__ = ("outcomes", "credit")
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    CREDIT_FIELD_NUMBER: _ClassVar[int]
    outcomes: _containers.RepeatedCompositeFieldContainer[Outcome]
    credit: int
    def __init__(self, outcomes: _Optional[_Iterable[_Union[Outcome, _Mapping]]] = ..., credit: _Optional[int] = ...) -> None: ...

class Outcome(_message.Message):
    __slots__ = ("lease", "refusal", "service_time", "hashes")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    SERVICE_TIME_FIELD_NUMBER: _ClassVar[int]
    HASHES_FIELD_NUMBER: _ClassVar[int]
    lease: Lease
    refusal: Refusal
    service_time: _duration_pb2.Duration
    hashes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, lease: _Optional[_Union[Lease, _Mapping]] = ..., refusal: _Optional[_Union[Refusal, _Mapping]] = ..., service_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., hashes: _Optional[_Iterable[str]] = ...) -> None: ...

class Refusal(_message.Message):
    __slots__ = ("retryable", "message")
    RETRYABLE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    retryable: bool
    message: str
    def __init__(self, retryable: _Optional[bool] = ..., message: _Optional[str] = ...) -> None: ...

class Heartbeat(_message.Message):
    __slots__ = ("held", "busy_slots")
    HELD_FIELD_NUMBER: _ClassVar[int]
    BUSY_SLOTS_FIELD_NUMBER: _ClassVar[int]
    held: _containers.RepeatedCompositeFieldContainer[Lease]
    busy_slots: int
    def __init__(self, held: _Optional[_Iterable[_Union[Lease, _Mapping]]] = ..., busy_slots: _Optional[int] = ...) -> None: ...

class Release(_message.Message):
    __slots__ = ("leases", "credit")
    LEASES_FIELD_NUMBER: _ClassVar[int]
    CREDIT_FIELD_NUMBER: _ClassVar[int]
    leases: _containers.RepeatedCompositeFieldContainer[Lease]
    credit: int
    def __init__(self, leases: _Optional[_Iterable[_Union[Lease, _Mapping]]] = ..., credit: _Optional[int] = ...) -> None: ...

class Draining(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: str
    def __init__(self, reason: _Optional[str] = ...) -> None: ...

class Goodbye(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: str
    def __init__(self, reason: _Optional[str] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("session_id", "heartbeat_interval", "lease_ttl", "kept", "cordoned", "store_id")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    LEASE_TTL_FIELD_NUMBER: _ClassVar[int]
    KEPT_FIELD_NUMBER: _ClassVar[int]
    CORDONED_FIELD_NUMBER: _ClassVar[int]
    STORE_ID_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    heartbeat_interval: _duration_pb2.Duration
    lease_ttl: _duration_pb2.Duration
    kept: _containers.RepeatedCompositeFieldContainer[Lease]
    cordoned: bool
    store_id: str
    def __init__(self, session_id: _Optional[str] = ..., heartbeat_interval: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., lease_ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., kept: _Optional[_Iterable[_Union[Lease, _Mapping]]] = ..., cordoned: _Optional[bool] = ..., store_id: _Optional[str] = ...) -> None: ...

class Jobs(_message.Message):
    __slots__ = ("assignments",)
    ASSIGNMENTS_FIELD_NUMBER: _ClassVar[int]
    assignments: _containers.RepeatedCompositeFieldContainer[Assignment]
    def __init__(self, assignments: _Optional[_Iterable[_Union[Assignment, _Mapping]]] = ...) -> None: ...

class Assignment(_message.Message):
    __slots__ = ("lease", "profile", "key_id", "load", "argon2_cost", "inputs")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    LOAD_FIELD_NUMBER: _ClassVar[int]
    ARGON2_COST_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    lease: Lease
    profile: _job_pb2.HashProfile
    key_id: str
    load: _job_pb2.Load
    argon2_cost: Argon2Cost
    inputs: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, lease: _Optional[_Union[Lease, _Mapping]] = ..., profile: _Optional[_Union[_job_pb2.HashProfile, str]] = ..., key_id: _Optional[str] = ..., load: _Optional[_Union[_job_pb2.Load, _Mapping]] = ..., argon2_cost: _Optional[_Union[Argon2Cost, _Mapping]] = ..., inputs: _Optional[_Iterable[bytes]] = ...) -> None: ...

class Argon2Cost(_message.Message):
    __slots__ = ("memory_kib", "passes", "lanes")
    MEMORY_KIB_FIELD_NUMBER: _ClassVar[int]
    PASSES_FIELD_NUMBER: _ClassVar[int]
    LANES_FIELD_NUMBER: _ClassVar[int]
    memory_kib: int
    passes: int
    lanes: int
    def __init__(self, memory_kib: _Optional[int] = ..., passes: _Optional[int] = ..., lanes: _Optional[int] = ...) -> None: ...

class ResultAcks(_message.Message):
    __slots__ = ("leases",)
    LEASES_FIELD_NUMBER: _ClassVar[int]
    leases: _containers.RepeatedCompositeFieldContainer[Lease]
    def __init__(self, leases: _Optional[_Iterable[_Union[Lease, _Mapping]]] = ...) -> None: ...

class LeasesRevoked(_message.Message):
    __slots__ = ("leases",)
    LEASES_FIELD_NUMBER: _ClassVar[int]
    leases: _containers.RepeatedCompositeFieldContainer[Lease]
    def __init__(self, leases: _Optional[_Iterable[_Union[Lease, _Mapping]]] = ...) -> None: ...

class Drain(_message.Message):
    __slots__ = ("deadline",)
    DEADLINE_FIELD_NUMBER: _ClassVar[int]
    deadline: _duration_pb2.Duration
    def __init__(self, deadline: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class DrainCancelled(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GoodbyeAck(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
