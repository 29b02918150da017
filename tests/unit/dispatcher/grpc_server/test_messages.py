import gzip
import zlib

import pytest

from dispatcher.grpc_server.messages import Fault, MessageError, MessageReader, Packed, framed

MOST = 100
# Of no time: the same in every process, for it is in the names of tests.
ZIPPED = gzip.compress(b"abc", mtime=0)


def packed(raw):
    return b"\x01" + len(raw).to_bytes(4, "big") + raw


def plain(message):
    return message.plain() if isinstance(message, Packed) else message


def read(*pieces, encoding="identity", most=MOST):
    reader = MessageReader(most, encoding)
    return [plain(message) for piece in pieces for message in reader.feed(piece)], reader


def test_one_frame_one_message():
    assert read(framed(b"abc"))[0] == [b"abc"]
    assert read(framed(b""))[0] == [b""]


def test_messages_may_be_cut_anywhere():
    messages = [b"", b"a", b"x" * MOST, b"", b"yz"]
    whole = b"".join(map(framed, messages))
    for first in range(len(whole) + 1):
        for second in range(first, len(whole) + 1, 3):
            found, reader = read(whole[:first], whole[first:second], whole[second:])
            assert found == messages
            assert reader.held == reader.wanted == 0


def test_byte_by_byte():
    whole = framed(b"abc") + framed(b"") + framed(b"d")
    assert read(*(whole[at : at + 1] for at in range(len(whole))))[0] == [b"abc", b"", b"d"]


def test_what_is_held_and_wanted_is_told():
    reader = MessageReader(MOST, "identity")
    reader.feed(framed(b"abcdef")[:3])
    assert (reader.held, reader.wanted) == (3, 0)
    reader.feed(framed(b"abcdef")[3:7])
    assert (reader.held, reader.wanted) == (7, 11)
    reader.feed(framed(b"abcdef")[7:] + b"\0")
    assert (reader.held, reader.wanted) == (1, 0)


def test_nothing_is_read_out_of_an_empty_frame():
    _, reader = read(b"", b"")
    assert reader.held == 0


@pytest.mark.parametrize(
    ("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)]
)
def test_compressed_messages_are_unpacked_when_they_are_taken(encoding, pack):
    whole = packed(pack(b"abc")) + framed(b"plain") + packed(pack(b""))
    assert read(whole[:9], whole[9:], encoding=encoding)[0] == [b"abc", b"plain", b""]


def test_a_compressed_message_weighs_what_came():
    (message,) = MessageReader(1_000_000, "gzip").feed(packed(gzip.compress(bytes(900_000))))
    assert len(message) < 2_000


@pytest.mark.parametrize("size", [MOST, MOST + 1])
def test_the_limit_is_of_the_message_as_it_came(size):
    if size <= MOST:
        assert read(framed(bytes(size)))[0] == [bytes(size)]
        return
    for cut in (4, 5, 6, MOST):
        with pytest.raises(MessageError, match="send at most 100") as caught:
            read(framed(bytes(size))[:cut], framed(bytes(size))[cut:])
        assert caught.value.fault is Fault.TOO_LARGE


def test_a_large_message_is_refused_by_its_announcement():
    with pytest.raises(MessageError):
        read(b"\0\xff\xff\xff\xff")


@pytest.mark.parametrize(("size", "is_taken"), [(MOST, True), (MOST + 1, False), (10**8, False)])
def test_the_limit_is_also_of_the_message_unpacked(size, is_taken):
    raw = packed(gzip.compress(bytes(size)))
    if is_taken:
        assert read(raw, encoding="gzip")[0] == [bytes(size)]
        return
    with pytest.raises(MessageError, match="send at most") as caught:
        read(raw, encoding="gzip", most=max(MOST, len(raw)) if size > 10**6 else MOST)
    assert caught.value.fault is Fault.TOO_LARGE


@pytest.mark.parametrize(
    ("raw", "encoding", "fault"),
    [
        (packed(ZIPPED), "identity", Fault.MALFORMED),
        (packed(ZIPPED), "snappy", Fault.UNKNOWN_ENCODING),
        (packed(ZIPPED), "", Fault.UNKNOWN_ENCODING),
        (packed(ZIPPED), "deflate", Fault.MALFORMED),
        (packed(zlib.compress(b"abc")), "gzip", Fault.MALFORMED),
        (packed(ZIPPED[:-1]), "gzip", Fault.MALFORMED),
        (packed(ZIPPED + b"x"), "gzip", Fault.MALFORMED),
        (packed(b""), "gzip", Fault.MALFORMED),
        (b"\x02\0\0\0\x01x", "gzip", Fault.MALFORMED),
        (b"\xff\0\0\0\x01x", "identity", Fault.MALFORMED),
    ],
)
def test_what_cannot_be_unpacked_is_a_fault_that_quotes_nothing(raw, encoding, fault):
    with pytest.raises(MessageError) as caught:
        read(raw, encoding=encoding)
    assert caught.value.fault is fault
    assert "snappy" not in str(caught.value)


def test_after_a_fault_nothing_is_read_or_held():
    reader = MessageReader(MOST, "identity")
    with pytest.raises(MessageError):
        reader.feed(framed(b"x" * 200))
    assert reader.feed(framed(b"abc")) == []
    assert reader.feed(framed(b"abc")[:4]) == []
    assert reader.held == reader.wanted == 0
