import socket

import pytest

from servicekit.config import ConfigError, check
from stack import listeners
from stack.listeners import Listener
from stack.settings import UpSettings


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"delta": 0}, "delta = 0"),
        ({"delta": float("nan")}, "delta"),
        ({"min": 3, "max": 2}, "min = 3 is above max = 2"),
        ({"load": "heavy"}, "load = 'heavy'"),
        ({"load": "collision", "difficulty": 99}, "bits, 1 to 40"),
        ({"difficulty": 5}, "choose --load"),
        ({"define": True}, "define needs url"),
        ({"memory": 10}, "memory = 10"),
        ({"scaler_port": 70_000}, "scaler_port = 70000"),
        ({"pool": "Bad Pool"}, "pool"),
        ({"for_seconds": -1}, "for_seconds = -1"),
        ({"profile": "md5"}, "profile = 'md5'"),
        ({"results_kept_seconds": 5}, "results_kept_seconds = 5"),
        ({"number_formats": ["xx"]}, "number_formats.0 = 'xx'"),
        ({"typo": 1}, "unknown key 'typo'"),
    ],
)
def test_a_bad_option_is_named_with_its_value(values: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError) as raised:
        check(UpSettings, values, source="flags")
    assert words in str(raised.value)


def test_ports_follow_the_base_unless_given() -> None:
    settings = UpSettings(port_base=20_000, scaler_port=9_999)
    ports = {listener.option: listener.port for listener in settings.listeners()}
    assert ports == {
        "--dispatcher-port": 20_000,
        "--dispatcher-metrics-port": 20_001,
        "--scaler-port": 9_999,
        "--collector-port": 20_003,
        "--prometheus-port": 20_004,
        "--alertmanager-port": 20_005,
        "--dispatcher-workers-port": 20_006,
    }


def test_the_default_ports_are_those_of_the_documentation() -> None:
    ports = sorted(listener.port for listener in UpSettings().listeners())
    assert ports == [9090, 9093, 9177, 9181, 9182, 15051, 15052]
    # Above this Linux takes the ports of outgoing connections.
    assert ports[-1] < 32_768


def test_a_busy_port_is_named_with_its_service_and_option() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        port = held.getsockname()[1]
        (fault,) = listeners.busy([Listener("scaler", port, "--scaler-port")])
    assert f"port {port} for the scaler" in fault
    assert "--scaler-port" in fault


def test_a_port_given_twice_names_both_options() -> None:
    faults = listeners.duplicates(
        [Listener("scaler", 5, "--scaler-port"), Listener("collector", 5, "--collector-port")]
    )
    assert faults == [
        "--scaler-port and --collector-port are both 5; give each service a port of its own"
    ]
