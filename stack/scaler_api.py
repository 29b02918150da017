"""The scaler's HTTP API: why it did what it did, and holding it."""

import urllib.parse
from collections.abc import Mapping
from typing import Any

from stack import http_api
from stack.pool_view import DecisionView


async def records(address: str, *, limit: int, since: float = 0.0) -> list[dict[str, Any]]:
    """The newest entries of the decision store, oldest first: decisions and results of actions.

    Raises:
        HttpError: when the scaler does not answer.

    """
    answer = await http_api.get(
        f"http://{address}/api/v1/decisions?limit={limit}&since={since:.3f}"
    )
    return list(answer["decisions"])


async def decisions(address: str, *, limit: int) -> list[DecisionView]:
    """The last decisions, newest first.

    Raises:
        HttpError: when the scaler does not answer.

    """
    # Results stand between the decisions; each decision has a few at most.
    entries = await records(address, limit=5 * limit)
    views = [view(entry) for entry in entries if entry.get("type") == "decision"]
    return views[: -limit - 1 : -1]


async def explain(address: str, question: Mapping[str, str]) -> dict[str, Any]:
    """Why the pool was as big as it was; `question` has `at`, `domain`, `last` or `actions`.

    Raises:
        RefusedError: the question cannot be answered; says why.
        HttpError: when the scaler does not answer.

    """
    query = urllib.parse.urlencode(question)
    answer = await http_api.get(f"http://{address}/api/v1/explain?{query}", seconds=10.0)
    return dict(answer)


def explanation_lines(answer: Mapping[str, Any]) -> list[str]:
    """An answer for a terminal."""
    if "lines" in answer:
        return list(answer["lines"]) or ["nothing was recorded in that time"]
    note = [f"note: {answer['gap']}"] if answer.get("gap") else []
    actions = [f"  {line}" for line in answer["actions"]]
    return [
        *(*note, answer["answer"], *answer["details"]),
        *(["", "last actions:", *actions] if actions else []),
    ]


async def status(address: str) -> dict[str, Any]:
    """The pool as the scaler sees it now, with its newest decision.

    Raises:
        HttpError: when the scaler does not answer or has not finished a turn.

    """
    answer = await http_api.get(f"http://{address}/api/v1/status")
    return dict(answer)


async def hold(
    address: str,
    *,
    is_held: bool,
    token: str = "",
    author: str = "console",
    reason: str = "typed `pause`",
) -> None:
    """Holds scaling in both directions, or lets it go on.

    Raises:
        HttpError: when the scaler refuses or does not answer.

    """
    body = {"author": author, "reason": reason} if is_held else {}
    await http_api.post(
        f"http://{address}/api/v1/{'pause' if is_held else 'resume'}", body, token=token
    )


async def order(
    address: str, method: str, path: str, body: Any = None, *, token: str = ""
) -> dict[str, Any]:
    """A question or order under `/api/v1/`, such as `overrides`; returns the answer.

    Raises:
        HttpError: when the scaler refuses or does not answer.

    """
    return dict(await http_api.send(method, f"http://{address}/api/v1/{path}", body, token=token))


def view(record: dict[str, Any]) -> DecisionView:
    """A decision of the log for the table."""
    return DecisionView(
        at=float(record.get("time", 0.0)),
        current=record.get("current"),
        desired=record.get("desired"),
        reason=str(record.get("reason", "")),
        text="; ".join([*_signals(record), *_follows(record)]),
        follows="; ".join(_follows(record)),
    )


def _signals(record: dict[str, Any]) -> list[str]:
    return [signal_text(name, one) for name, one in (record.get("signals") or {}).items()]


def _follows(record: dict[str, Any]) -> list[str]:
    actions = [f"{action['action']} {action['domain']}" for action in record.get("actions") or []]
    limits = [str(limit) for limit in record.get("limits") or []]
    return [
        *([f"so: {', '.join(actions)}"] if actions else []),
        *([f"held by: {', '.join(limits)}"] if limits else []),
    ]


def signal_text(name: str, signal: dict[str, Any]) -> str:
    """`cpu 0.93`, or `cpu stale`."""
    value = signal.get("value")
    if value is None:
        return f"{name} {signal.get('kind', 'unknown')}"
    mark = "" if signal.get("kind") == "known" else f" ({signal.get('kind')})"
    return f"{name} {value:.2f}{mark}"
