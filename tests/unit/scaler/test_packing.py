"""What was packed can be read, today and by the next version."""

from hypothesis import given
from hypothesis import strategies as st

from scaler.packing import pack, pack_samples, unpack, unpack_samples
from scaler.turns import Sample

PACKED_BY_THE_FIRST_VERSION = "78bbfefc9af3abc692dcb0ba1a1e5446e4949cc0ac5b0b00a19623f7"


def test_a_body_comes_back():
    body = {"type": "decision", "time": 1.5, "hold": None, "signals": {"cpu": {"kind": "known"}}}
    assert unpack(pack(body)) == body


def test_what_the_first_version_packed_can_be_read():
    assert unpack(bytes.fromhex(PACKED_BY_THE_FIRST_VERSION)) == {
        "type": "decision",
        "reason": "in_window",
        "desired": 2,
        "inputs": {"domains": [{"name": "vs-1", "state": "ready"}]},
    }


@given(st.lists(st.floats(0, 1e3).map(lambda value: round(value, 3)), min_size=1, max_size=50))
def test_samples_come_back_with_their_times(spacings):
    samples, now = [], 1_700_000_000.0
    for spacing in spacings:
        now = round(now + spacing, 3)
        samples.append(Sample(now, None, {"cpu": (0.5, None), "demand": (spacing, 1.0)}))
    back = unpack_samples(pack_samples(samples))
    assert back == samples


def test_a_run_without_samples_has_none():
    assert unpack_samples(None) == []
