import pytest
from google.protobuf.duration_pb2 import Duration
from virtscale.v1 import job_pb2, worker_pb2

from guest_worker import transport, values
from guest_worker.values import Lease, Outcome, Refusal

LEASE = worker_pb2.Lease(key=7, epoch=3, count=1)


def test_hello_carries_everything() -> None:
    hello = values.Hello(
        *("w", "i", "t", 2, "0.1.0", "g", (Lease(7, 3), Lease(8, 4), Lease(8, 5)), 1.25),
        (values.LEGACY_SHA256,),
        "5f5f5f5f",
    )
    assert transport.encode(hello).hello == worker_pb2.Hello(
        worker_id="w",
        instance_id="i",
        join_token="t",
        slots=2,
        software_version="0.1.0",
        image_generation="g",
        held=[worker_pb2.Lease(key=7, epoch=3, count=2), worker_pb2.Lease(key=8, epoch=5, count=1)],
        store_id="5f5f5f5f",
        uptime=Duration(seconds=1, nanos=250_000_000),
        profiles=[job_pb2.HASH_PROFILE_LEGACY_SHA256],
    )


def test_an_unknown_uptime_is_left_unset() -> None:
    hello = values.Hello("w", "i", "t", 1, "0", "", (), None, ())
    assert not transport.encode(hello).hello.HasField("uptime")


def test_results_are_hashes_or_refusals_with_their_cpu_time() -> None:
    outcomes = (
        Outcome(Lease(7, 3), "d:s", 0.5),
        Outcome(Lease(7, 3), Refusal(True, "why"), 0.9999999999),
    )
    hashed, refused = transport.encode(values.Results(outcomes)).results.outcomes
    assert hashed == worker_pb2.Outcome(
        lease=LEASE, hashes=["d:s"], service_time=Duration(nanos=500_000_000)
    )
    assert refused.lease == LEASE
    assert refused.refusal == worker_pb2.Refusal(retryable=True, message="why")
    assert refused.service_time == Duration(seconds=1)


def test_results_made_together_travel_in_runs() -> None:
    outcomes = (
        *(Outcome(Lease(7 + place, 3 + place), f"h{place}", 0.5) for place in range(3)),
        Outcome(Lease(10, 6), "slower", 0.75),
        Outcome(Lease(12, 7), "a gap before it", 0.75),
        Outcome(Lease(13, 8), Refusal(False, "no"), 0.75),
        Outcome(Lease(14, 9), "after a refusal", 0.75),
    )
    runs = transport.encode(values.Results(outcomes)).results.outcomes
    assert [(each.lease.key, each.lease.epoch, each.lease.count) for each in runs] == [
        *((7, 3, 3), (10, 6, 1), (12, 7, 1), (13, 8, 1), (14, 9, 1))
    ]
    assert list(runs[0].hashes) == ["h0", "h1", "h2"]
    assert not runs[3].hashes


def test_credit_travels_with_the_results_that_make_room() -> None:
    results = values.Results((Outcome(Lease(7, 3), "d:s", 0.5),))
    messages = (values.Credit(1), results, values.Credit(2), values.Credit(3), values.Draining(""))
    kinds = [
        (request.WhichOneof("message"), request.results.credit)
        for request in transport.encode_all(messages)
    ]
    assert kinds == [("credit", 0), ("results", 5), ("draining", 0)]


@pytest.mark.parametrize(
    ("message", "proto"),
    [
        (values.Credit(2), worker_pb2.WorkRequest(credit=worker_pb2.Credit(jobs=2))),
        (
            values.Heartbeat((Lease(7, 3),), 1),
            worker_pb2.WorkRequest(heartbeat=worker_pb2.Heartbeat(held=[LEASE], busy_slots=1)),
        ),
        (
            values.Release((Lease(7, 3), Lease(8, 4)), 5),
            worker_pb2.WorkRequest(
                release=worker_pb2.Release(
                    leases=[worker_pb2.Lease(key=7, epoch=3, count=2)], credit=5
                )
            ),
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
                    store_id="5f5f5f5f",
                )
            ),
            values.Welcome("s", 0.5, 10.0, (Lease(7, 3),), True, "5f5f5f5f"),
        ),
        (
            worker_pb2.WorkResponse(
                result_acks=worker_pb2.ResultAcks(
                    leases=[worker_pb2.Lease(key=7, epoch=3, count=2), LEASE]
                )
            ),
            values.ResultAcks((Lease(7, 3), Lease(8, 4), Lease(7, 3))),
        ),
        (
            worker_pb2.WorkResponse(leases_revoked=worker_pb2.LeasesRevoked(leases=[LEASE])),
            values.LeasesRevoked((Lease(7, 3),)),
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
        inputs=[bytes(32), bytes(31)],
        key_id="k1",
        load=load,
        argon2_cost=worker_pb2.Argon2Cost(memory_kib=8, passes=2, lanes=1),
    )
    jobs = transport.decode(worker_pb2.WorkResponse(jobs=worker_pb2.Jobs(assignments=[assignment])))
    cost = values.Argon2Cost(8, 2, 1)
    alike = ("k1", value, cost)
    first = values.Assignment(Lease(7, 3), values.ARGON2ID, bytes(32), *alike)
    second = values.Assignment(Lease(8, 4), values.ARGON2ID, bytes(31), *alike)
    assert jobs == values.Jobs((first, second))
    assert type(jobs.assignments[0].load) is type(value)


def test_a_profile_of_a_later_version_is_named_by_its_number() -> None:
    assignment = worker_pb2.Assignment(lease=LEASE, profile=9, inputs=[b"n"])  # type: ignore[arg-type]
    jobs = transport.decode(worker_pb2.WorkResponse(jobs=worker_pb2.Jobs(assignments=[assignment])))
    assert isinstance(jobs, values.Jobs)
    assert jobs.assignments[0].profile == "number 9"
    assert jobs.assignments[0].argon2_cost is None
