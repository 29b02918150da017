"""Entries of a decision store as a scaler would have left them, written by hand."""

from scaler.entries import Entry
from scaler.turns import Sample

GAP, HELD = 32.0, 5.0


def turns(at, count=1, *, states, desired=1, **more):
    """A run of turns, one a second, that saw domains by name in these states."""
    counts = {}
    for state in states.values():
        counts[state] = counts.get(state, 0) + 1
    workers = more.pop("workers", ())
    signals = more.pop("signals", {})
    body = {
        "type": "decision",
        "time": at,
        "reason": "steady",
        "current": sum(counts.get(one, 0) for one in ("starting", "booting", "ready", "silent")),
        "desired": desired,
        "states": counts,
        "signals": {name: {"kind": "known", "value": value} for name, value in signals.items()},
        "proposals": [{"policy": "backlog", "reason": "demand", "desired": desired}],
        "actions": [],
        "incidents": [],
        "errors": [],
        "overrides": [],
        "alerts": [],
        "limits": [],
        "held": [],
        "hold": None,
        "inputs": {
            "domains": [{"name": name, "state": state} for name, state in states.items()],
            "workers": list(workers),
        },
        **more,
    }
    values = {name: (value, 0.0) for name, value in signals.items()}
    samples = [Sample(at + number, None, values) for number in range(count)]
    return Entry(0, "decision", body["reason"], at, at + count - 1, count, body, samples)


def act(action, domain, reason="scale_out"):
    """As in a turn's record."""
    return {"action": action, "domain": domain, "reason": reason}


def result(at, action, domain, outcome="done", error=None):
    """The end of an action."""
    body = {
        "type": "result",
        "time": at,
        "action": action,
        "domain": domain,
        "outcome": outcome,
        "error": error,
    }
    return Entry(0, "result", outcome, at, at, 1, body)


def worker(name, connected, slots=1):
    """One that said Hello so many seconds ago."""
    return {"id": name, "state": "ready", "slots": slots, "connected": connected}


def config(at, *, started=True, settings=None):
    """The entry of a start, or of other rules."""
    body = {"type": "config", "time": at, "config": "0123456789ab", "started": started}
    return Entry(0, "config", "", at, at, 1, {**body, "settings": settings or {}})


def up_and_down():
    """vs-1 is started at 100, says Hello at 104, is drained at 130 and off at 133."""
    off, booting = {"vs-1": "off"}, {"vs-1": "booting"}
    return [
        config(99.0, settings={"min": 1}),
        turns(100.0, states=off, actions=[act("start", "vs-1")]),
        result(100.5, "start", "vs-1"),
        turns(101.0, 4, states=booting),
        turns(
            105.0,
            states={"vs-1": "ready"},
            workers=[worker("vs-1", 1.0)],
            incidents=[{"domain": "vs-1", "incident": "boot_finished"}],
        ),
        turns(106.0, 24, states={"vs-1": "ready"}, workers=[worker("vs-1", 2.0)]),
        turns(130.0, states={"vs-1": "ready"}, actions=[act("drain", "vs-1", "scale_in")]),
        result(130.1, "drain", "vs-1"),
        turns(132.0, states={"vs-1": "draining"}, actions=[act("shutdown", "vs-1", "drained")]),
        result(132.1, "shutdown", "vs-1", "failed", "it <b>burns</b>"),
        turns(133.0, 7, states=off, actions=[act("settle", "vs-1", "off_reached")]),
    ]
