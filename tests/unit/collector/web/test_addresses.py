import pytest

from collector.web.addresses import Address, address


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:9177", Address("127.0.0.1", 9177)),
        ("[::1]:9177", Address("::1", 9177)),
        ("[fe80::1%eth0]:80", Address("fe80::1%eth0", 80)),
        (":9177", Address("", 9177)),
        ("host.example:0", Address("host.example", 0)),
        ("unix:/run/virtscale/collector.sock", Address(path="/run/virtscale/collector.sock")),
    ],
)
def test_reads_what_it_writes(text, expected):
    assert address(text) == expected
    assert str(expected) == text


@pytest.mark.parametrize(
    "text",
    ["", "9177", "h", "h:", "h:x", "h:99999", "::1:9177", "unix:relative", "unix:/" + "x" * 107],
)
def test_refuses_what_is_none(text):
    with pytest.raises(ValueError, match="must"):
        address(text)
