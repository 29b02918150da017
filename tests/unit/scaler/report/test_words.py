"""Numbers in words."""

import pytest

from scaler.report import words


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        *((0.0, "0 s"), (0.0046, "4.6 ms"), (0.22, "0.22 s"), (3.37, "3.4 s"), (9.97, "10 s")),
        *((59.6, "1 min 00 s"), (217, "3 min 37 s"), (3900, "1 h 05 min"), (183_600, "2 d 3 h")),
    ],
)
def test_seconds(seconds, told):
    assert words.seconds(seconds) == told


@pytest.mark.parametrize(
    ("share", "told"),
    [(0, "0 %"), (0.004, "0.4 %"), (0.114, "11 %"), (0.9999, "100 %"), (1, "100 %")],
)
def test_shares(share, told):
    assert words.percent(share) == told


@pytest.mark.parametrize(
    ("amount", "told"), [(0, "0.00"), (0.00461, "0.0046"), (12.345, "12.35"), (1234.5, "1,234.50")]
)
def test_money(amount, told):
    assert words.money(amount) == told


def test_one_is_not_many():
    assert words.counted(1, "job") == "1 job"
    assert words.counted(1200, "job") == "1,200 jobs"
