import pytest

from stack import scaler_view
from stack.scaler_view import ScalerView, SignalView

STATUS = {
    "time": 100.0,
    "current": 1,
    "desired": 2,
    "paused": True,
    "hold": {"author": "ann", "reason": "fair"},
    "decision": {
        "signals": {
            "cpu": {"kind": "known", "value": 0.5, "age_seconds": 2},
            "demand": {"kind": "error", "value": None, "age_seconds": None},
        },
        "alerts": [{"rule": "r", "reason": "alert_floor", "least": 3, "alerts": ["Fair"]}],
    },
}


def test_what_the_scaler_says():
    assert scaler_view.view(STATUS) == ScalerView(
        at=100.0,
        current=1,
        desired=2,
        signals=(SignalView("cpu", "known", 0.5, 2.0), SignalView("demand", "error")),
        alert_effects=("alert floor (at least 3): Fair",),
        hold="paused by ann: fair",
    )


@pytest.mark.parametrize("status", [{}, {"decision": None}, {"decision": {"signals": 3}}])
def test_what_is_missing_there_is_missing_here(status):
    assert scaler_view.view(status) == ScalerView()
