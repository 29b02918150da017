"""Small JSON questions over HTTP to the stack's own services on loopback."""

import asyncio
import json
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

# Whatever the host's proxy settings: a proxy cannot reach this machine's loopback.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class HttpError(Exception):
    """No usable answer. The text is for a person."""


class RefusedError(HttpError):
    """The service understood the request and refuses it; the text is its reason."""


async def get(url: str, *, seconds: float = 2.0) -> Any:
    """The JSON document at `url`.

    Raises:
        HttpError: when there is none.

    """
    return await asyncio.to_thread(_json, urllib.request.Request(url), seconds)


async def post(url: str, body: Any, *, seconds: float = 5.0, token: str = "") -> Any:
    """Posts a JSON document; returns the answer.

    Raises:
        HttpError: when it is refused or does not come.

    """
    return await send("POST", url, body, seconds=seconds, token=token)


async def send(
    method: str, url: str, body: Any = None, *, seconds: float = 5.0, token: str = ""
) -> Any:
    """Sends a JSON document, or nothing when it is None; returns the answer.

    `token` is shown as a bearer token, when there is one.

    Raises:
        HttpError: when it is refused or does not come.

    """
    request = urllib.request.Request(
        url,
        data=None if body is None else json.dumps(body).encode(),
        headers={
            "Content-Type": "application/json",
            **({"Authorization": f"Bearer {token}"} if token else {}),
        },
        method=method,
    )
    return await asyncio.to_thread(_json, request, seconds)


async def not_ready(url: str) -> str | None:
    """Why a readiness page does not say yes; None when it does."""
    try:
        await asyncio.to_thread(_read, urllib.request.Request(url), 2.0)
    except HttpError as error:
        return str(error)
    return None


async def instant(prometheus: str, query: str) -> list[tuple[dict[str, str], float]]:
    """An instant vector from a Prometheus at `host:port`.

    Raises:
        HttpError: when it does not answer.

    """
    parameters = urllib.parse.urlencode({"query": query})
    answer = await get(f"http://{prometheus}/api/v1/query?{parameters}")
    return [
        (dict(sample["metric"]), float(sample["value"][1])) for sample in answer["data"]["result"]
    ]


def _json(request: urllib.request.Request, seconds: float) -> Any:
    body = _read(request, seconds)
    try:
        return json.loads(body) if body.strip() else None
    except ValueError:
        raise HttpError(f"{request.full_url}: the answer is not JSON") from None


def _read(request: urllib.request.Request, seconds: float) -> bytes:
    try:
        with _OPENER.open(request, timeout=seconds) as answer:
            body: bytes = answer.read()
            return body
    except urllib.error.HTTPError as error:
        with error:
            text = error.read(10_000).decode("utf-8", "replace").strip()
        kind = RefusedError if 400 <= error.code < 500 else HttpError
        raise kind(_refusal(text) or f"HTTP {error.code}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise HttpError(f"no answer: {reason}") from None


def _refusal(text: str) -> str:
    """Our services say why in the field `error` of a JSON object."""
    try:
        return str(json.loads(text)["error"])
    except (ValueError, KeyError, TypeError):
        return text[:500]
