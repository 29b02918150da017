import pytest

from collector.libvirt_source.patience import patience, usual


@pytest.mark.parametrize(
    ("timeout", "usually", "expected"),
    [
        (10, 0, 0.3),
        (10, 0.1, 0.3),
        (10, 1, 1.5),
        (10, 8, 5),
        (0.8, 0, 0.2),
        (0.8, 0.2, 0.3),
        (0.8, 0.5, 0.4),
    ],
)
def test_as_configured_unless_time_is_short_or_the_host_slow(
    timeout: float, usually: float, expected: float
) -> None:
    assert patience(0.3, timeout, usually) == pytest.approx(expected)


def test_the_usual_follows_slowly() -> None:
    seconds = 0.0
    for _ in range(4):
        seconds = usual(seconds, 1.0)
    assert 0.3 < seconds < 0.6
