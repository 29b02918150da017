import pytest
from google.protobuf import any_pb2, duration_pb2
from virtscale import rpc_status
from virtscale.client.errors import Violation, refusal


def status(*details: tuple[str, bytes]) -> bytes:
    """A packed google.rpc.Status: its details are field 3."""
    raw = b""
    for name, value in details:
        body = any_pb2.Any(type_url=f"type.googleapis.com/{name}", value=value).SerializeToString()
        raw += b"\x1a" + bytes([len(body)]) + body
    return raw


def length_prefixed(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2, len(content)]) + content


def violation(field: str, description: str) -> bytes:
    content = length_prefixed(1, field.encode()) + length_prefixed(2, description.encode())
    return length_prefixed(1, content)


def retry(seconds: int, nanos: int = 0) -> bytes:
    delay = duration_pb2.Duration(seconds=seconds, nanos=nanos)
    return length_prefixed(1, delay.SerializeToString())


def test_every_faulty_field_is_read():
    raw = status(("google.rpc.BadRequest", violation("a", "is 1") + violation("b", "is 2")))
    assert rpc_status.read(raw) == rpc_status.Details((("a", "is 1"), ("b", "is 2")))


def test_the_time_to_come_back_is_read():
    assert rpc_status.read(
        status(("google.rpc.RetryInfo", retry(1, 500_000_000)))
    ) == rpc_status.Details((), 1.5)


def test_details_of_other_kinds_are_passed_over():
    raw = status(("google.rpc.DebugInfo", b"\x12\x03abc"), ("google.rpc.RetryInfo", retry(3)))
    assert rpc_status.read(raw) == rpc_status.Details((), 3.0)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff\xff\xff",
        status(("google.rpc.BadRequest", b"\x0a\xff")),
        status(("google.rpc.RetryInfo", retry(3)))[:-2],
    ],
)
def test_what_cannot_be_read_adds_nothing_and_breaks_nothing(raw):
    assert rpc_status.read(raw) == rpc_status.Details()


def test_what_many_jobs_are_refused_for_is_said_once():
    faults = [Violation(f"jobs[{number}].profile", "needs a key") for number in range(3)]
    found = refusal([*faults, Violation("jobs[1].number", "is empty")])
    assert found == (
        "the dispatcher refused the request: "
        "jobs[0].profile and 2 more: needs a key; jobs[1].number: is empty"
    )
