import pytest
from google.protobuf.duration_pb2 import Duration
from virtscale.v1 import job_pb2, worker_pb2

from guest_worker import transport, values
from guest_worker.values import Lease, Outcome, Refusal

LEASE = worker_pb2.Lease(job_id="a", epoch=3)


def test_hello_carries_everything() -> None:
    hello = values.Hello(
        "w", "i", "t", 2, "0.1.0", "g", (Lease("a", 3),), 1.25, (values.LEGACY_SHA256,)
    )
    assert transport.encode(hello).hello == worker_pb2.Hello(
        worker_id="w",
        instance_id="i",
        join_token="t",
        slots=2,
        software_version="0.1.0",
        image_generation="g",
        held=[LEASE],
        uptime=Duration(seconds=1, nanos=250_000_000),
        profiles=[job_pb2.HASH_PROFILE_LEGACY_SHA256],
    )


def test_an_unknown_uptime_is_left_unset() -> None:
    hello = values.Hello("w", "i", "t", 1, "0", "", (), None, ())
    assert not transport.encode(hello).hello.HasField("uptime")


def test_results_are_hashes_or_refusals_with_their_cpu_time() -> None:
    outcomes = (
        Outcome(Lease("a", 3), "d:s", 0.5),
        Outcome(Lease("a", 3), Refusal(True, "why"), 0.9999999999),
    )
    hashed, refused = transport.encode(values.Results(outcomes)).results.outcomes
    assert hashed == worker_pb2.Outcome(
        lease=LEASE, hash="d:s", service_time=Duration(nanos=500_000_000)
    )
    assert refused.refusal == worker_pb2.Refusal(retryable=True, message="why")
    assert refused.service_time == Duration(seconds=1)


@pytest.mark.parametrize(
    ("message", "proto"),
    [
        (values.Credit(2), worker_pb2.WorkRequest(credit=worker_pb2.Credit(jobs=2))),
        (
            values.Heartbeat((Lease("a", 3),), 1),
            worker_pb2.WorkRequest(heartbeat=worker_pb2.Heartbeat(held=[LEASE], busy_slots=1)),
        ),
        (values.Draining("r"), worker_pb2.WorkRequest(draining=worker_pb2.Draining(reason="r"))),
        (values.Goodbye("r"), worker_pb2.WorkRequest(goodbye=worker_pb2.Goodbye(reason="r"))),
    ],
)
def test_small_messages(message: values.MessageUp, proto: worker_pb2.WorkRequest) -> None:
    assert transport.encode(message) == proto


@pytest.mark.parametrize(
    ("proto", "message"),
    [
        (
            worker_pb2.WorkResponse(
                welcome=worker_pb2.Welcome(
                    session_id="s",
                    heartbeat_interval=Duration(nanos=500_000_000),
                    lease_ttl=Duration(seconds=10),
                    kept=[LEASE],
                    cordoned=True,
                )
            ),
            values.Welcome("s", 0.5, 10.0, (Lease("a", 3),), True),
        ),
        (
            worker_pb2.WorkResponse(result_acks=worker_pb2.ResultAcks(leases=[LEASE])),
            values.ResultAcks((Lease("a", 3),)),
        ),
        (
            worker_pb2.WorkResponse(leases_revoked=worker_pb2.LeasesRevoked(leases=[LEASE])),
            values.LeasesRevoked((Lease("a", 3),)),
        ),
        (worker_pb2.WorkResponse(drain=worker_pb2.Drain()), values.Drain()),
        (
            worker_pb2.WorkResponse(drain_cancelled=worker_pb2.DrainCancelled()),
            values.DrainCancelled(),
        ),
        (worker_pb2.WorkResponse(goodbye_ack=worker_pb2.GoodbyeAck()), values.GoodbyeAck()),
        (worker_pb2.WorkResponse(), None),
    ],
)
def test_messages_down(proto: worker_pb2.WorkResponse, message: values.MessageDown | None) -> None:
    decoded = transport.decode(proto)
    assert decoded == message
    assert type(decoded) is type(message)


@pytest.mark.parametrize(
    ("load", "value"),
    [
        (None, None),
        (
            job_pb2.Load(collision=job_pb2.Collision(difficulty_bits=24, seed=7)),
            values.Collision(24, 7),
        ),
        (job_pb2.Load(verify=job_pb2.Verify(repetitions=9)), values.Verify(9)),
        (job_pb2.Load(busy=job_pb2.Busy(duration=Duration(seconds=2))), values.Busy(2.0)),
    ],
)
def test_assignments(load: job_pb2.Load | None, value: values.Load) -> None:
    assignment = worker_pb2.Assignment(
        lease=LEASE,
        profile=job_pb2.HASH_PROFILE_ARGON2ID,
        input=bytes(32),
        key_id="k1",
        load=load,
        argon2_cost=worker_pb2.Argon2Cost(memory_kib=8, passes=2, lanes=1),
    )
    jobs = transport.decode(worker_pb2.WorkResponse(jobs=worker_pb2.Jobs(assignments=[assignment])))
    cost = values.Argon2Cost(8, 2, 1)
    expected = values.Assignment(Lease("a", 3), values.ARGON2ID, bytes(32), "k1", value, cost)
    assert jobs == values.Jobs((expected,))
    assert type(jobs.assignments[0].load) is type(value)


def test_a_profile_of_a_later_version_is_named_by_its_number() -> None:
    assignment = worker_pb2.Assignment(lease=LEASE, profile=9, input=b"n")  # type: ignore[arg-type]
    jobs = transport.decode(worker_pb2.WorkResponse(jobs=worker_pb2.Jobs(assignments=[assignment])))
    assert isinstance(jobs, values.Jobs)
    assert jobs.assignments[0].profile == "number 9"
    assert jobs.assignments[0].argon2_cost is None
