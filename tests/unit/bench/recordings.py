"""A recording as short as can be judged."""

from typing import Any

from bench.recording import Recording, Seen, Served
from scaler.config import ScalerConfig
from scaler.simulator.traces import Trace

LENGTH = 120.0


def action(moment: float, kind: str, domain: str, reason: str = "scale_out") -> dict[str, Any]:
    """A decision with one action."""
    actions = [{"action": kind, "domain": domain, "reason": reason}]
    return {
        **{"type": "decision", "time": moment, "reason": "demand", "desired": 2},
        **{"actions": actions, "steps": [], "limits": []},
    }


def result(moment: float, kind: str, domain: str, outcome: str = "done") -> dict[str, Any]:
    """How an action ended."""
    return {
        **{"type": "result", "time": moment, "action": kind},
        **{"domain": domain, "outcome": outcome, "error": ""},
    }


def recording(**changes: Any) -> Recording:
    """One start at 10 s, its Hello at 14 s; one shutdown from 60 to 62 s; a job now and then."""
    jobs = [Served(at, at + 2.0, f"job-{at:g}", 1.9, 0) for at in (1.0, 20.0, 40.0)]
    values: dict[str, Any] = {
        "trace": Trace("short", (0.0,), (0.1,), LENGTH),
        "jobs": tuple(jobs),
        "course": (Seen(0.0, 1, 1, 1),),
        "hellos": {"vs-1": (-50.0,), "vs-2": (14.0,)},
        "entries": (
            action(10.0, "start", "vs-2"),
            result(10.5, "start", "vs-2"),
            result(60.0, "shutdown", "vs-2"),
            action(62.0, "settle", "vs-2", "off_reached"),
        ),
        "config": ScalerConfig(max=3).model_dump(mode="json", by_alias=True),
        "cores": 2,
    }
    return Recording(**{**values, **changes})
