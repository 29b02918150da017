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

class HashProfile(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    HASH_PROFILE_UNSPECIFIED: _ClassVar[HashProfile]
    HASH_PROFILE_LEGACY_SHA256: _ClassVar[HashProfile]
    HASH_PROFILE_HMAC_SHA256: _ClassVar[HashProfile]
    HASH_PROFILE_ARGON2ID: _ClassVar[HashProfile]

class JobState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    JOB_STATE_UNSPECIFIED: _ClassVar[JobState]
    JOB_STATE_READY: _ClassVar[JobState]
    JOB_STATE_LEASED: _ClassVar[JobState]
    JOB_STATE_DONE: _ClassVar[JobState]
    JOB_STATE_FAILED: _ClassVar[JobState]
    JOB_STATE_CANCELLED: _ClassVar[JobState]

class FailureReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FAILURE_REASON_UNSPECIFIED: _ClassVar[FailureReason]
    FAILURE_REASON_REFUSED: _ClassVar[FailureReason]
    FAILURE_REASON_ATTEMPTS_EXHAUSTED: _ClassVar[FailureReason]

class AttemptCause(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ATTEMPT_CAUSE_UNSPECIFIED: _ClassVar[AttemptCause]
    ATTEMPT_CAUSE_WORKER_LOST: _ClassVar[AttemptCause]
    ATTEMPT_CAUSE_LEASE_EXPIRED: _ClassVar[AttemptCause]
    ATTEMPT_CAUSE_WORKER_REFUSED: _ClassVar[AttemptCause]
    ATTEMPT_CAUSE_WRONG_RESULT: _ClassVar[AttemptCause]
HASH_PROFILE_UNSPECIFIED: HashProfile
HASH_PROFILE_LEGACY_SHA256: HashProfile
HASH_PROFILE_HMAC_SHA256: HashProfile
HASH_PROFILE_ARGON2ID: HashProfile
JOB_STATE_UNSPECIFIED: JobState
JOB_STATE_READY: JobState
JOB_STATE_LEASED: JobState
JOB_STATE_DONE: JobState
JOB_STATE_FAILED: JobState
JOB_STATE_CANCELLED: JobState
FAILURE_REASON_UNSPECIFIED: FailureReason
FAILURE_REASON_REFUSED: FailureReason
FAILURE_REASON_ATTEMPTS_EXHAUSTED: FailureReason
ATTEMPT_CAUSE_UNSPECIFIED: AttemptCause
ATTEMPT_CAUSE_WORKER_LOST: AttemptCause
ATTEMPT_CAUSE_LEASE_EXPIRED: AttemptCause
ATTEMPT_CAUSE_WORKER_REFUSED: AttemptCause
ATTEMPT_CAUSE_WRONG_RESULT: AttemptCause

class Load(_message.Message):
    __slots__ = ("collision", "verify", "busy")
    COLLISION_FIELD_NUMBER: _ClassVar[int]
    VERIFY_FIELD_NUMBER: _ClassVar[int]
    BUSY_FIELD_NUMBER: _ClassVar[int]
    collision: Collision
    verify: Verify
    busy: Busy
    def __init__(self, collision: _Optional[_Union[Collision, _Mapping]] = ..., verify: _Optional[_Union[Verify, _Mapping]] = ..., busy: _Optional[_Union[Busy, _Mapping]] = ...) -> None: ...

class Collision(_message.Message):
    __slots__ = ("difficulty_bits", "seed")
    DIFFICULTY_BITS_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    difficulty_bits: int
    seed: int
    def __init__(self, difficulty_bits: _Optional[int] = ..., seed: _Optional[int] = ...) -> None: ...

class Verify(_message.Message):
    __slots__ = ("repetitions",)
    REPETITIONS_FIELD_NUMBER: _ClassVar[int]
    repetitions: int
    def __init__(self, repetitions: _Optional[int] = ...) -> None: ...

class Busy(_message.Message):
    __slots__ = ("duration",)
    DURATION_FIELD_NUMBER: _ClassVar[int]
    duration: _duration_pb2.Duration
    def __init__(self, duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class JobSpec(_message.Message):
    __slots__ = ("number", "profile", "load", "reference")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    LOAD_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    number: str
    profile: HashProfile
    load: Load
    reference: str
    def __init__(self, number: _Optional[str] = ..., profile: _Optional[_Union[HashProfile, str]] = ..., load: _Optional[_Union[Load, _Mapping]] = ..., reference: _Optional[str] = ...) -> None: ...

class Result(_message.Message):
    __slots__ = ("job_id", "profile", "hash", "completed_at", "worker_id", "service_time", "reference")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    HASH_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_AT_FIELD_NUMBER: _ClassVar[int]
    WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    SERVICE_TIME_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    profile: HashProfile
    hash: str
    completed_at: _timestamp_pb2.Timestamp
    worker_id: str
    service_time: _duration_pb2.Duration
    reference: str
    def __init__(self, job_id: _Optional[str] = ..., profile: _Optional[_Union[HashProfile, str]] = ..., hash: _Optional[str] = ..., completed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., worker_id: _Optional[str] = ..., service_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., reference: _Optional[str] = ...) -> None: ...

class Failure(_message.Message):
    __slots__ = ("reason", "message")
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    reason: FailureReason
    message: str
    def __init__(self, reason: _Optional[_Union[FailureReason, str]] = ..., message: _Optional[str] = ...) -> None: ...

class Attempt(_message.Message):
    __slots__ = ("ordinal", "cause", "worker_id", "failed_at", "certain", "message")
    ORDINAL_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    FAILED_AT_FIELD_NUMBER: _ClassVar[int]
    CERTAIN_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    ordinal: int
    cause: AttemptCause
    worker_id: str
    failed_at: _timestamp_pb2.Timestamp
    certain: bool
    message: str
    def __init__(self, ordinal: _Optional[int] = ..., cause: _Optional[_Union[AttemptCause, str]] = ..., worker_id: _Optional[str] = ..., failed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., certain: _Optional[bool] = ..., message: _Optional[str] = ...) -> None: ...

class Job(_message.Message):
    __slots__ = ("job_id", "state", "accepted_at", "attempts", "result", "failure", "reference", "attempt_history")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_AT_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_HISTORY_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    state: JobState
    accepted_at: _timestamp_pb2.Timestamp
    attempts: int
    result: Result
    failure: Failure
    reference: str
    attempt_history: _containers.RepeatedCompositeFieldContainer[Attempt]
    def __init__(self, job_id: _Optional[str] = ..., state: _Optional[_Union[JobState, str]] = ..., accepted_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., attempts: _Optional[int] = ..., result: _Optional[_Union[Result, _Mapping]] = ..., failure: _Optional[_Union[Failure, _Mapping]] = ..., reference: _Optional[str] = ..., attempt_history: _Optional[_Iterable[_Union[Attempt, _Mapping]]] = ...) -> None: ...
