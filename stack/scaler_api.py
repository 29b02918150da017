"""The scaler's HTTP API: why it did what it did, and holding it."""

from typing import Any

from stack import http_api
from stack.pool_view import DecisionView


async def decisions(address: str, *, pool: str, limit: int) -> list[DecisionView]:
    """The last decisions, newest first.

    Raises:
        HttpError: when the scaler does not answer.

    """
    answer = await http_api.get(f"http://{address}/api/v1/decisions?pool={pool}&limit={limit}")
    entries = answer.get("decisions", []) if isinstance(answer, dict) else answer
    return [_decision(entry) for entry in entries]


async def override(address: str, *, pool: str) -> str:
    """What holds the pool now, in words; empty when nothing does.

    Raises:
        HttpError: when the scaler does not answer.

    """
    answer = await http_api.get(f"http://{address}/api/v1/overrides?pool={pool}")
    return str(answer) if answer else ""


async def hold(address: str, *, pool: str, is_held: bool) -> None:
    """Holds scaling in both directions, or lets it go on.

    Raises:
        HttpError: when the scaler refuses or does not answer.

    """
    verb = "pause" if is_held else "resume"
    await http_api.post(f"http://{address}/api/v1/{verb}", {"pool": pool, "author": "console"})


def _decision(entry: dict[str, Any]) -> DecisionView:
    return DecisionView(
        at=float(entry.get("at", 0.0)),
        current=entry.get("current"),
        desired=entry.get("desired"),
        reason=str(entry.get("reason", "")),
        text=str(entry.get("text", "")),
    )
