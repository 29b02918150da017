import pytest

from dispatcher.grpc_server import frames
from dispatcher.grpc_server.frames import Code, Setting


def test_a_frame_s_head_has_nine_bytes():
    assert frames.frame(frames.PING, frames.ACK, 7, b"12345678") == (
        b"\0\0\x08\x06\x01\0\0\0\x07" + b"12345678"
    )


def test_the_largest_frame_has_a_length_of_24_bits():
    made = frames.frame(frames.DATA, 0, 1, memoryview(bytes(frames.MOST_MAX_FRAME)))
    assert made[:9] == b"\xff\xff\xff\0\0\0\0\0\x01"
    high, low, kind, flags, stream = frames.HEAD.unpack_from(made)
    assert (high << 8 | low, kind, flags, stream) == (frames.MOST_MAX_FRAME, 0, 0, 1)


def test_settings_are_read_as_they_are_written():
    values = {Setting.MAX_FRAME_SIZE: 16_384, Setting.INITIAL_WINDOW_SIZE: 2**32 - 1}
    assert dict(frames.read_settings(frames.settings(values)[9:])) == values


def test_builders_give_what_their_names_say():
    assert frames.window_update(3, 9) == frames.frame(frames.WINDOW_UPDATE, 0, 3, b"\0\0\0\x09")
    assert frames.reset(3, Code.CANCEL) == frames.frame(frames.RST_STREAM, 0, 3, b"\0\0\0\x08")
    assert frames.goaway(5, Code.NO_ERROR, "ä!")[9:] == b"\0\0\0\x05\0\0\0\0?!"


def test_the_reserved_bit_of_a_word_counts_for_nothing():
    assert frames.word(b"\xff\xff\xff\xff") == 2**31 - 1


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b"\0abc", b"abc"),
        (b"\x02abc", b"a"),
        (b"\x03abc", b""),
        (b"\x04abc", None),
        (b"\0", b""),
        (b"\x01", None),
        (b"", None),
    ],
)
def test_padding_is_taken_off(payload, expected):
    assert frames.unpadded(frames.PADDED, payload) == expected
    assert frames.unpadded(0, payload) == payload


@pytest.mark.parametrize("size", [0, 1, 16_384, 16_385, 32_768, 50_000])
@pytest.mark.parametrize("is_last", [True, False])
def test_a_header_block_is_cut_into_frames_that_every_peer_takes(size, is_last):
    block = bytes(index & 0xFF for index in range(size))
    out = frames.headers(5, block, is_last=is_last)
    at, found = 0, []
    while at < len(out):
        high, low, kind, flags, stream = frames.HEAD.unpack_from(out, at)
        length = high << 8 | low
        found.append((kind, flags, out[at + 9 : at + 9 + length]))
        assert stream == 5
        assert length <= frames.LEAST_MAX_FRAME
        at += 9 + length
    assert b"".join(content for _, _, content in found) == block
    assert [kind for kind, _, _ in found] == [1] + [9] * (len(found) - 1)
    assert bool(found[0][1] & frames.END_STREAM) is is_last
    assert [bool(flags & frames.END_HEADERS) for _, flags, _ in found] == (
        [False] * (len(found) - 1) + [True]
    )
