import base64
import logging
from urllib.parse import unquote

import hpack
import pytest

from dispatcher.grpc_server import heads
from dispatcher.grpc_server.heads import HeadReader, MalformedError, UndecodableError

BASE = {
    ":method": "POST",
    ":scheme": "http",
    ":path": "/package.Service/Method",
    ":authority": "x",
    "content-type": "application/grpc",
    "te": "trailers",
}


def literal(text, bits=7):
    raw = text if isinstance(text, bytes) else text.encode("utf-8")
    assert len(raw) < 127
    return bytes((len(raw),)) + raw


def block(*more, without=(), **changed):
    fields = {**BASE, **{f":{name}": value for name, value in changed.items()}}
    pairs = [(name, value) for name, value in fields.items() if name not in without]
    return b"".join(b"\0" + literal(name) + literal(value) for name, value in [*pairs, *more])


def read(*more, **changed):
    return HeadReader().read(block(*more, **changed))


def test_a_call():
    head = read(("user-agent", "test"), ("grpc-timeout", "3S"), ("x", "1"), ("x", "2"))
    assert head.path == "/package.Service/Method"
    assert head.metadata == (("user-agent", "test"), ("x", "1"), ("x", "2"))
    assert (head.timeout, head.encoding, head.http_status) == (3.0, "identity", 200)


def test_as_the_real_encoder_writes_it_with_and_without_a_table():
    pairs = [*BASE.items(), ("x-long", "v" * 300)]
    for size in (0, 4096):
        encoder, reader = hpack.Encoder(), HeadReader()
        encoder.header_table_size = size
        found = [reader.read(encoder.encode(pairs, huffman=turn != 1)) for turn in range(4)]
        assert {head.metadata for head in found} == {(("x-long", "v" * 300),)}


# -- fields ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1H", 3600.0),
        ("2M", 120.0),
        ("99999999S", 99_999_999.0),
        ("5m", 0.005),
        ("7u", 7e-6),
        ("8n", 8e-9),
        ("0S", 0.0),
    ],
)
def test_timeouts(text, seconds):
    assert read(("grpc-timeout", text)).timeout == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "S", "1", "1 S", "-1S", "1.5S", "123456789S", "1s", "\u0661S"]
)
def test_what_is_no_timeout_is_a_bad_request(text):
    assert read(("grpc-timeout", text)).http_status == 400


@pytest.mark.parametrize("raw", [b"", b"\0\xff\xfe", b"abcd", bytes(50)])
def test_binary_metadata_with_and_without_padding(raw):
    encoded = base64.b64encode(raw).decode()
    for text in (encoded, encoded.rstrip("=")):
        assert read(("key-bin", text)).metadata == (("key-bin", raw),)


def test_binary_metadata_in_one_list():
    assert read(("key-bin", "YQ==,Yg, Yw")).metadata == tuple(
        ("key-bin", x) for x in (b"a", b"b", b"c")
    )


@pytest.mark.parametrize("text", ["a", "a=b", "ä", "a b c d", "====", "YQ==YQ=="])
def test_binary_metadata_that_is_none_is_a_bad_request(text):
    assert read(("key-bin", text)).http_status == 400


def test_spaces_around_a_value_are_no_part_of_it():
    assert read(("x", " a b\t ")).metadata == (("x", "a b"),)


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/grpc", 200),
        ("application/grpc+proto", 200),
        ("application/grpc;charset=utf-8", 200),
        ("application/grpc+json", 415),
        ("application/grpc-web", 415),
        ("application/json", 415),
        ("", 415),
    ],
)
def test_what_is_no_grpc_is_refused(content_type, status):
    raw = block(("content-type", content_type), without=("content-type",))
    assert HeadReader().read(raw).http_status == status


@pytest.mark.parametrize("method", ["GET", "PUT", "post"])
def test_calls_are_posts(method):
    assert read(method=method).http_status == 405


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(block(without=(":method",)), id="no method"),
        pytest.param(block(without=(":path",)), id="no path"),
        pytest.param(block(without=(":scheme",)), id="no scheme"),
        pytest.param(block(path=""), id="empty path"),
        pytest.param(block((":path", "/other")), id="pseudo behind others"),
        pytest.param(block(without=BASE), id="nothing"),
        pytest.param(b"\0" + literal(":path") + literal("/a") + block(), id="pseudo twice"),
        pytest.param(b"\0" + literal(":status") + literal("200") + block(), id="of answers"),
        pytest.param(b"\0" + literal(":\xff") + literal("200") + block(), id="pseudo unknown"),
        pytest.param(block(path="/a\nb"), id="line in path"),
        pytest.param(block(("X-Upper", "1")), id="capital"),
        pytest.param(block(("", "1")), id="no name"),
        pytest.param(block(("a b", "1")), id="space in name"),
        pytest.param(block(("a:b", "1")), id="colon in name"),
        pytest.param(block((b"a\xe4", "1")), id="name not ASCII"),
        pytest.param(block(("a\x7f", "1")), id="delete in name"),
        pytest.param(block(("x", "a\0b")), id="zero"),
        pytest.param(block(("x", "a\rb")), id="carriage return"),
        pytest.param(block(("x", "a\nb: c")), id="line"),
        pytest.param(block(("x", b"\xff\xfe")), id="not text"),
        pytest.param(block(("te", "gzip")), id="te"),
        *(
            pytest.param(block((name, "x")), id=name)
            for name in (
                *("connection", "keep-alive", "proxy-connection", "transfer-encoding"),
                "upgrade",
            )
        ),
    ],
)
def test_what_breaks_the_rules_of_http2(raw):
    with pytest.raises(MalformedError):
        HeadReader().read(raw)


def test_a_client_without_te_is_served():
    assert HeadReader().read(block(without=("te", ":authority"))).http_status == 200


@pytest.mark.parametrize(("text", "length"), [("0", 0), ("17", 17)])
def test_a_content_length(text, length):
    assert read(("content-length", text)).content_length == length


@pytest.mark.parametrize("text", ["", "-1", "a", "1,1", "9" * 30])
def test_what_is_no_content_length(text):
    assert read(("content-length", text)).http_status == 400


def test_too_many_fields_cost_the_call_and_far_too_many_the_connection():
    small = b"\0" + literal("a") + literal("b")
    assert HeadReader().read(block() + small * 400).http_status == 200
    assert HeadReader().read(block() + small * 600).http_status == 431
    with pytest.raises(UndecodableError):
        HeadReader().read(block() + small * 4000)


def test_trailers_of_a_client_are_looked_at():
    heads.check_trailers([(b"x", b"1")])
    for name in (b":path", b"Upper", b"connection"):
        with pytest.raises(MalformedError):
            heads.check_trailers([(name, b"1")])


# -- HPACK -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"\x80", id="index 0"),
        pytest.param(b"\xff\xff\xff\xff\x7f", id="index far away"),
        pytest.param(b"\xbe", id="index of an empty table"),
        pytest.param(b"\0\x05abc", id="name cut short"),
        pytest.param(b"\0\x01a\x05abc", id="value cut short"),
        pytest.param(b"\0", id="nothing behind"),
        pytest.param(b"\0\x01a", id="no value"),
        pytest.param(b"\0\x7f" + b"\xff" * 30, id="endless number"),
        pytest.param(b"\0\x81\xff\x01a", id="wrong Huffman"),
        pytest.param(b"\x3f\xe2\x1f", id="table larger than allowed"),
        pytest.param(b"\x20\x20\x3f\x80\x00" + block(), id="table resized three times"),
        pytest.param(b"\0\x01a\x01b\x20", id="table resized in the middle"),
    ],
)
def test_no_hpack(raw):
    with pytest.raises(UndecodableError):
        HeadReader().read(raw)


def test_the_reason_quotes_nothing():
    with pytest.raises(UndecodableError) as caught:
        HeadReader().read(b"\0\x05token")
    assert "token" not in str(caught.value)


def indexed(name, value):
    return b"\x40" + literal(name) + literal(value)


def test_a_known_block_is_not_read_again():
    reader = HeadReader()
    assert reader.read(block()) is reader.read(block())


def test_a_block_is_not_known_while_there_is_a_table():
    reader = HeadReader()
    reader.read(block() + indexed("x", "1"))
    # 62 is the newest entry: the same block means another thing each time.
    assert reader.read(block() + b"\xbe").metadata == (("x", "1"),)
    reader.read(block() + indexed("y", "2"))
    assert reader.read(block() + b"\xbe").metadata == (("y", "2"),)


def test_a_block_that_is_known_with_no_table_is_read_with_one():
    reader = HeadReader()
    same = block() + indexed("x", "1")
    reader.read(b"\x20" + block())
    reader.read(same)  # nothing remains in a table of no size
    reader.read(b"\x3f\xe1\x1f" + block())
    reader.read(same)
    assert reader.read(block() + b"\xbe").metadata == (("x", "1"),)


def test_a_table_may_be_resized_twice():
    assert HeadReader().read(b"\x20\x3f\xe1\x1f" + block()).path == "/package.Service/Method"


def test_an_agreed_empty_table_stays_empty():
    reader = HeadReader()
    reader.read(block() + indexed("x", "1"))
    reader.empty_table()
    with pytest.raises(UndecodableError):
        reader.read(block() + b"\xbe")
    reader = HeadReader()
    reader.empty_table()
    reader.read(b"\x20" + block())
    with pytest.raises(UndecodableError):
        reader.read(b"\x3f\xe1\x1f" + block())


def test_what_is_known_is_bounded():
    reader = HeadReader()
    reader.empty_table()
    for number in range(2_000):
        reader.read(block(("x", str(number))))
    reader.read(block(*[("x", "v" * 100)] * 10))
    assert len(reader._known) <= 256
    assert max(map(len, reader._known)) <= 1_024


def test_what_is_read_is_never_logged(caplog):
    """Tokens are among it; hpack would log them."""
    with caplog.at_level(logging.DEBUG):
        read(("authorization", "Bearer secret-token"))
        with pytest.raises(UndecodableError):
            HeadReader().read(b"\0\x05token")
    assert not [record for record in caplog.records if record.name.startswith("hpack")]
    for name in ("hpack.hpack", "hpack.table", "hpack.huffman"):
        assert not logging.getLogger(name).isEnabledFor(logging.DEBUG)


# -- answers ---------------------------------------------------------------------------------------


def decoded(raw):
    return dict(hpack.Decoder().decode(raw))


def test_constant_answers():
    assert decoded(heads.RESPONSE) == {
        ":status": "200",
        "content-type": "application/grpc",
        "grpc-accept-encoding": "identity,deflate,gzip",
    }
    assert decoded(heads.OK) == {"grpc-status": "0"}
    assert decoded(heads.http_status(415)) == {":status": "415"}


def test_trailers():
    found = decoded(heads.trailers(5, "no such job", (("x", "1"), ("y-bin", b"\xff\xfe"))))
    assert found == {"grpc-status": "5", "grpc-message": "no such job", "x": "1", "y-bin": "//4"}
    assert decoded(heads.trailers(5, "", is_only=True))[":status"] == "200"


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("100% sure?", "100%25 sure?"),
        ("ä\n~", "%C3%A4%0A~"),
        ("\x7f\0", "%7F%00"),
        ("a-b_c.d", "a-b_c.d"),
        ("\ud800", "?"),
    ],
)
def test_a_message_is_percent_encoded(text, sent):
    assert decoded(heads.trailers(2, text))["grpc-message"] in (sent, sent.replace("?", "%3F"))


def test_all_printable_ascii_but_percent_stays():
    text = "".join(map(chr, range(0x20, 0x7F))).replace("%", "").strip()
    assert decoded(heads.trailers(2, text))["grpc-message"] == text


@pytest.mark.parametrize("text", ["x" * 10_000, "ä" * 10_000, "🎈" * 10_000])
def test_a_long_message_is_cut_where_it_can_be(text):
    sent = decoded(heads.trailers(2, text))["grpc-message"]
    assert 1_000 < len(sent) <= heads.MAX_TEXT
    assert text.startswith(unquote(sent, errors="strict"))


@pytest.mark.parametrize("size", [0, 1, 126, 127, 128, 254, 255, 256, 16_511, 16_512, 70_000])
def test_lengths_of_every_size(size):
    raw = heads.trailers(0, "", (("x", "v" * size),))
    decoder = hpack.Decoder(max_header_list_size=100_000)
    assert dict(decoder.decode(raw))["x"] == "v" * size
