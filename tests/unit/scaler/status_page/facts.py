"""Facts in few words, for the tests of the page."""

from scaler.status_page.composition import Facts
from scaler.status_page.load import POINTS, Backlog, Figures, History, Load
from scaler.status_page.outages import Outages
from scaler.status_page.view import Settings, ShownAlert

NOW = 1_000.0
SCRIPT = "<script>alert('1')</script>&\""


def domain(name, state="ready", **fields):
    return {
        "name": name,
        "state": state,
        "lifecycle": "running",
        "cause": "",
        "operation": None,
        "operation_age_seconds": None,
        "action_in_flight": None,
        "failures": 0,
        "generation": "",
        "outdated": False,
        "foreign_scaler": "",
        "slots": 1,
        "busy_slots": 0,
        "leases": 0,
        **fields,
    }


def decision(**fields):
    return {
        "type": "decision",
        "time": NOW,
        "reason": "steady",
        "desired": 2,
        "current": 2,
        "recommended": 2,
        "states": {"ready": 2},
        "signals": {"cpu": {"kind": "known", "value": 0.5, "age_seconds": 1.0}},
        "proposals": [
            {
                **{"policy": "backlog", "reason": "demand", "desired": 2},
                **{"low": 2, "high": 2, "complete": True},
            }
        ],
        "steps": [],
        "actions": [],
        "limits": [],
        "incidents": [],
        "hold": None,
        "errors": [],
        "overrides": [],
        "alerts": [],
        **fields,
    }


def entry(number, **fields):
    told = {"id": number, "last": NOW + number, "count": 1, "time": NOW + number}
    return {**decision(), **told, **fields}


def action(kind, name, reason="scale_out"):
    return {"action": kind, "domain": name, "reason": reason}


def status(domains=(), **fields):
    told = decision(**fields)
    return {
        "pool": "default",
        "time": NOW,
        "desired": told["desired"],
        "current": told["current"],
        "ready": told["current"],
        "active": told["current"],
        "domains": list(domains),
        "fleet_known": True,
        "breaker": {"failures": 0, "retry_in_seconds": None},
        "decision": told,
    }


def load(**cpu):
    return Load(
        Backlog(ready=3, leased=2, done=40, failed=0, oldest_seconds=4.4),
        Figures(cpu, wait_p95_seconds=2.2, results_per_second=1.5),
        History({name: (None,) * (POINTS - 2) + (0.5, 0.6) for name in cpu}, (), ()),
        dispatcher_fault="",
        prometheus_fault="",
    )


def facts(**fields):
    found = {
        "now": NOW + 1,
        "pool": "default",
        "status": status([domain("vs-1"), domain("vs-2")]),
        "entries": [],
        "overrides": [],
        "contradictions": [],
        "alerts": [],
        "load": load(**{"vs-1": 0.25}),
        "outages": Outages(has_begun=True),
        "settings": Settings(least=1, most=4),
        "clock": lambda moment: f"@{moment:g}",
        **fields,
    }
    return Facts(**found)


def override(kind, **fields):
    told = {"id": "a1", "kind": kind, "author": "ann", "reason": "fair", "created_at": NOW}
    return {**told, **fields}


def alert(name="Behind", **labels):
    return ShownAlert(name, {"alertname": name, **labels}, NOW - 60)
