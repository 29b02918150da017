from typing import Any

import pytest

from collector.libvirt_source import hung
from collector.records import Control

OK, JOB, OCCUPIED, ERROR = range(4)


@pytest.mark.parametrize(
    ("control", "expected"),
    [
        (None, False),
        (Control(OK, 0), False),
        (Control(JOB, 60), False),
        (Control(OCCUPIED, 0.1), False),
        (Control(OCCUPIED, 0.2), True),
        (Control(ERROR, 60), False),
    ],
)
def test_who_leaves_a_question_open_for_too_long_hangs(control: Any, expected: Any) -> None:
    assert hung.is_hung(control, 0.2) is expected


def test_who_hung_still_hangs_while_the_same_question_is_open() -> None:
    known = {"same": 1, "answered": 2, "restarted": 3, "gone": 4, "untold": 5, "next": 6}
    numbers = {"same": 1, "answered": 2, "restarted": 30, "untold": 5, "next": 6}
    controls = {
        "same": Control(OCCUPIED, 9),
        "answered": Control(OK, 0),
        "restarted": Control(OCCUPIED, 9),
        "next": Control(OCCUPIED, 0.003),
    }
    assert hung.still_hung(known, numbers, controls, 0.1) == {"same": 1}
