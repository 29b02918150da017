"""What the scaler says of itself and its pool, for a person's eyes. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class SignalView:
    """One of the scaler's signals. `kind` is `known`, `stale`, `empty` or `error`."""

    name: str
    kind: str
    value: float | None = None
    age_seconds: float | None = None


@dataclass(frozen=True)
class ScalerView:
    """The pool as the scaler sees it after its newest turn."""

    at: float | None = None
    """Unix time of that turn."""
    current: int | None = None
    desired: int | None = None
    signals: tuple[SignalView, ...] = ()
    alert_effects: tuple[str, ...] = ()
    """What alerts do to the pool, such as `at least 3: BankHoliday`."""
    hold: str = ""
    """Who paused it and why; empty when nobody did."""


def view(status: Mapping[str, Any]) -> ScalerView:
    """From the answer of `/api/v1/status`; what is missing there is missing here."""
    decision = status.get("decision")
    decision = decision if isinstance(decision, dict) else {}
    return ScalerView(
        at=_number(status.get("time")),
        current=_whole(status.get("current")),
        desired=_whole(status.get("desired")),
        signals=tuple(_signal(name, one) for name, one in _pairs(decision.get("signals"))),
        alert_effects=tuple(_effect(one) for one in _dicts(decision.get("alerts"))),
        hold=_hold(status),
    )


def _signal(name: str, signal: Mapping[str, Any]) -> SignalView:
    return SignalView(
        name=name,
        kind=str(signal.get("kind", "unknown")),
        value=_number(signal.get("value")),
        age_seconds=_number(signal.get("age_seconds")),
    )


def _effect(effect: Mapping[str, Any]) -> str:
    least = _whole(effect.get("least"))
    does = "" if least is None else f" (at least {least})"
    names = ", ".join(str(name) for name in effect.get("alerts") or [])
    reason = str(effect.get("reason", "")).replace("_", " ")
    return f"{reason}{does}: {names or effect.get('rule', '')}"


def _hold(status: Mapping[str, Any]) -> str:
    hold = status.get("hold")
    if not status.get("paused") or not isinstance(hold, dict):
        return ""
    reason = hold.get("reason")
    return f"paused by {hold.get('author', 'unknown')}" + (f": {reason}" if reason else "")


def _pairs(found: Any) -> list[tuple[str, Mapping[str, Any]]]:
    pairs = found.items() if isinstance(found, dict) else ()
    return [(str(name), one) for name, one in pairs if isinstance(one, dict)]


def _dicts(found: Any) -> Sequence[Mapping[str, Any]]:
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _number(found: Any) -> float | None:
    return float(found) if isinstance(found, int | float) else None


def _whole(found: Any) -> int | None:
    return found if isinstance(found, int) else None
