import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.web.messages import MalformedError, parse_target


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"/", "/", {}),
        (b"/metrics?collect[]=cpu&collect[]=state", "/metrics", {"collect[]": ["cpu", "state"]}),
        (b"/metrics?collect%5B%5D=cpu", "/metrics", {"collect[]": ["cpu"]}),
        (b"/probe?target=qemu%3A%2F%2F%2Fsystem", "/probe", {"target": ["qemu:///system"]}),
        (b"/probe?target=", "/probe", {"target": [""]}),
        (b"http://host:9177/metrics", "/metrics", {}),
        (b"http://host", "/", {}),
        (b"/a%20b", "/a b", {}),
    ],
)
def test_path_and_query(target, path, query):
    assert parse_target(target) == (path, query)


@pytest.mark.parametrize(
    "target", [b"metrics", b"/%ff", b"/\xff", b"http://[::1/x", b"/?" + b"&".join([b"a=b"] * 101)]
)
def test_what_is_no_path_is_refused(target):
    with pytest.raises(MalformedError):
        parse_target(target)


@given(st.binary(max_size=200))
def test_never_fails_otherwise(target):
    try:
        path, _ = parse_target(target)
    except MalformedError:
        return
    assert path.startswith("/")
