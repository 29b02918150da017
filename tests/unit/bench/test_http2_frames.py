import base64

import pytest
from hpack import Decoder, Encoder

from bench import http2_frames as http2
from bench.http2_frames import Blocks, ConnectionFault, HeaderFrames


def test_a_frame_is_length_type_flags_stream_and_payload():
    made = http2.frame(http2.DATA, http2.END_STREAM, 5, b"x" * 70_000)
    assert made[:9] == bytes((1, 0x11, 0x70, 0, 1, 0, 0, 0, 5))
    assert http2.HEAD.unpack_from(made) == (1, 0x1170, 0, 1, 5)


def test_a_requests_fields_are_read_by_an_independent_decoder():
    path = "/virtscale.v1.LicenseService/" + "A" * 200  # a length of more than seven bits
    block = http2.request_block(path, "host:1", 2.5)
    decoder = Decoder()
    assert decoder.decode(block) == [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "host:1"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("grpc-timeout", "2500m"),
    ]
    assert not decoder.header_table.dynamic_entries


def test_an_endless_call_has_no_timeout():
    fields = dict(Decoder().decode(http2.request_block("/s/m", "host:1", float("inf"))))
    assert "grpc-timeout" not in fields


def test_a_block_that_needs_a_continuation_is_not_written():
    with pytest.raises(ValueError, match="one frame"):
        http2.request_block("/" + "a" * 20_000, "host:1", 1)


def test_settings_survive_writing_and_reading():
    values = [(http2.HEADER_TABLE_SIZE, 0), (http2.INITIAL_WINDOW_SIZE, 2**31 - 1)]
    assert http2.read_settings(http2.settings(values)[9:]) == values
    with pytest.raises(ConnectionFault) as caught:
        http2.read_settings(b"1234567")
    assert caught.value.code == http2.FRAME_SIZE_ERROR


@pytest.mark.parametrize(
    ("flags", "payload", "left"),
    [
        (0, b"abc", b"abc"),
        (http2.PADDED, b"\x02abc\0\0", b"abc"),
        (http2.PADDED, b"\x00", b""),
        (http2.HAS_PRIORITY, b"\0\0\0\0\x10abc", b"abc"),
        (http2.PADDED | http2.HAS_PRIORITY, b"\x01\0\0\0\0\x10abc\0", b"abc"),
    ],
)
def test_padding_and_priority_are_taken_off(flags, payload, left):
    assert http2.content(flags, payload) == left


@pytest.mark.parametrize(
    ("flags", "payload"),
    [
        (http2.PADDED, b""),
        (http2.PADDED, b"\x04abc"),
        (http2.HAS_PRIORITY, b"\0\0\0\0"),
        (http2.PADDED | http2.HAS_PRIORITY, b"\x04\0\0\0\0\0\0\0"),
    ],
)
def test_a_frame_too_short_for_its_flags_is_a_fault(flags, payload):
    with pytest.raises(ConnectionFault):
        http2.content(flags, payload)


@pytest.mark.parametrize(
    ("fields", "code", "http_code"),
    [
        ([("grpc-status", "0")], "OK", ""),
        ([(":status", "200"), ("grpc-status", "8")], "RESOURCE_EXHAUSTED", "UNKNOWN"),
        ([(":status", "200")], "", "UNKNOWN"),
        ([(":status", "503")], "", "UNAVAILABLE"),
        ([(":status", "404")], "", "UNIMPLEMENTED"),
        ([("grpc-status", "99")], "UNKNOWN", ""),
        ([("grpc-status", "x")], "UNKNOWN", ""),
    ],
)
def test_the_status_is_read(fields, code, http_code):
    found = http2.read_block(fields)
    assert (found.code, found.http_code) == (code, http_code)


@pytest.mark.parametrize("length", range(4))
def test_details_come_with_or_without_padding(length):
    details = b"x" * length
    for text in (base64.b64encode(details), base64.b64encode(details).rstrip(b"=")):
        found = http2.read_block([("grpc-status-details-bin", text.decode())])
        assert found.details == details
    assert http2.read_block([("grpc-status-details-bin", "?")]).details == b""


def test_resets_mean_what_grpc_says():
    assert http2.code_of_reset(http2.CANCEL) == "CANCELLED"
    assert http2.code_of_reset(http2.REFUSED_STREAM) == "UNAVAILABLE"
    assert http2.code_of_reset(http2.ENHANCE_YOUR_CALM) == "RESOURCE_EXHAUSTED"
    assert http2.code_of_reset(http2.NO_ERROR) == "INTERNAL"
    assert http2.code_of_reset(77) == "INTERNAL"


def test_equal_blocks_mean_the_same_each_time():
    encoder = Encoder()
    encoder.header_table_size = 0
    blocks = Blocks()
    # The first one carries the new size of the table, the others are equal.
    made = [encoder.encode([("grpc-status", "5")]) for _ in range(3)]
    assert made[0] != made[1] == made[2]
    assert [blocks.decode(each).code for each in made] == ["NOT_FOUND"] * 3
    assert blocks.decode(made[1]) is blocks.decode(made[2])


@pytest.mark.parametrize("block", [b"\xbe", b"\x00\x7f", b"\x3f\xe1\x1f"])
def test_what_the_dynamic_table_would_be_needed_for_is_a_fault(block):
    """An index beyond the static table, a string cut off, a table larger than allowed."""
    with pytest.raises(ConnectionFault) as caught:
        Blocks().decode(block)
    assert caught.value.code == http2.COMPRESSION_ERROR


def test_continuations_are_joined():
    frames = HeaderFrames()
    flags = http2.END_STREAM | http2.PADDED
    frames.check(http2.HEADERS, 1)
    assert frames.add(http2.HEADERS, flags, 1, b"\x01ab\0") is None
    frames.check(http2.CONTINUATION, 1)
    assert frames.add(http2.CONTINUATION, 0, 1, b"cd") is None
    frames.check(http2.CONTINUATION, 1)
    assert frames.add(http2.CONTINUATION, http2.END_HEADERS, 1, b"ef") == (flags, b"abcdef")
    frames.check(http2.DATA, 1)


@pytest.mark.parametrize(("kind", "stream"), [(http2.DATA, 1), (http2.CONTINUATION, 3)])
def test_nothing_comes_between_continuations(kind, stream):
    frames = HeaderFrames()
    with pytest.raises(ConnectionFault):
        frames.check(http2.CONTINUATION, 1)
    frames.add(http2.HEADERS, 0, 1, b"ab")
    with pytest.raises(ConnectionFault):
        frames.check(kind, stream)


def test_a_block_without_an_end_is_a_fault():
    frames = HeaderFrames()
    frames.add(http2.HEADERS, 0, 1, b"")
    with pytest.raises(ConnectionFault, match="without an end"):
        for _ in range(100_000):
            frames.add(http2.CONTINUATION, 0, 1, b"")
