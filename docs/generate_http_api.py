"""Writes docs/HTTP_API.md from the scaler's OpenAPI document: `python docs/generate_http_api.py`.

The examples in docs/examples/http_api.json are answers with long lists cut; a test holds them
against the models. `--check` fails when the page is not current.
"""

import json
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "proto")]

from docs import page_file  # noqa: E402
from scaler.openapi import document as openapi_document  # noqa: E402

TARGET = ROOT / "docs" / "HTTP_API.md"
EXAMPLES = ROOT / "docs" / "examples" / "http_api.json"

_INTRODUCTION = """# HTTP API of the scaler

Written by `python docs/generate_http_api.py` from the scaler's own description, which it serves as
OpenAPI 3.1 at `/api/v1/openapi.json`; do not edit. In the examples long
lists are cut.

It answers on `listen_address` (127.0.0.1:9182), beside `/metrics` and the
[status page](OPERATIONS.md#the-status-page). Reading is open to whoever reaches the port. Orders
are taken from the same host only, unless `remote_control` is set, and with `control_token_file`
(as under `./run`) they need `Authorization: Bearer` and its token. A refusal has a code from 400
on and an [Error](#error) that says what is wrong, with what value, and what to do.
"""
_TOKENS = {
    "control": "Needs the token of `control_token_file`, where one is configured.",
    "alerts": "Needs the token of `alert_source.token_file`.",
}


def page(description: Mapping[str, Any], examples: Mapping[str, Any]) -> str:
    """The whole page."""
    parts = [_INTRODUCTION, "## Calls\n"]
    for path, methods in description["paths"].items():
        for method, one in methods.items():
            name = f"{method.upper()} {path}"
            parts.append("\n".join(_call(name, one, examples.get(name))))
    parts.append("## Models\n")
    for name, schema in sorted(description["components"]["schemas"].items()):
        parts.append("\n".join(_model(name, schema)))
    return "\n".join(parts)


def _call(name: str, call: Mapping[str, Any], example: Mapping[str, Any] | None) -> Iterator[str]:
    yield f"### {name}\n"
    yield f"{call['summary']}."
    for required in call.get("security", ()):
        yield from (_TOKENS[token] for token in required)
    yield ""
    if parameters := call.get("parameters"):
        yield "| Parameter | Where | Kind | Meaning |\n|---|---|---|---|"
        for one in parameters:
            kind = _kind(one["schema"])
            yield f"| `{one['name']}` | {one['in']} | {kind} | {_cell(one['description'])} |"
        yield ""
    if body := call.get("requestBody"):
        need = "Body" if body["required"] else "Body, which may be left out"
        yield f"{need}: {_content(body['content'])}."
        if example and "body" in example:
            yield f"\n```json\n{_shown(example['body'])}\n```"
        yield ""
    ((status, answer), *_) = call["responses"].items()
    yield f"Answer, {status}: {_content(answer['content'])}.\n"
    if example:
        language = "json" if "application/json" in answer["content"] else "text"
        yield f"```{language}\n{_shown(example['answer'])}\n```\n"


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)


def _content(content: Mapping[str, Any]) -> str:
    ((media, one),) = content.items()
    kind = _kind(one["schema"])
    return kind if media == "application/json" else f"`{media}` of {kind}"


def _model(name: str, schema: Mapping[str, Any]) -> Iterator[str]:
    yield f"### {name}\n"
    if text := schema.get("description"):
        yield _cell(text) + "\n"
    if "enum" in schema:
        yield "One of " + ", ".join(f"`{one}`" for one in schema["enum"]) + ".\n"
    required = schema.get("required", ())
    if fields := schema.get("properties"):
        yield "| Field | Kind | Meaning |\n|---|---|---|"
        for field, one in fields.items():
            absent = "" if field in required else ", may be absent"
            yield f"| `{field}` | {_kind(one)}{absent} | {_cell(one.get('description', ''))} |"
        yield ""


_KINDS = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "null": "null",
}


def _kind(schema: Mapping[str, Any]) -> str:
    """A schema in words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return " or ".join(_kind(one) for one in schema[key])
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return ", ".join(f"`{one}`" for one in schema["enum"])
    kind = schema.get("type")
    if kind == "array":
        return f"list of: {_kind(schema.get('items', {}))}"
    if kind == "object":
        inner = schema.get("additionalProperties")
        return f"names, each with {_kind(inner)}" if isinstance(inner, dict) else "object"
    return _KINDS.get(str(kind), "anything")


def _cell(text: str) -> str:
    parts = " ".join(text.split()).replace("|", "\\|").split("`")
    parts[::2] = [one.replace("<", "&lt;").replace("*", "\\*") for one in parts[::2]]
    return "`".join(parts)


def document() -> str:
    """The page as it should be."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    return page(openapi_document(version), json.loads(EXAMPLES.read_text(encoding="utf-8")))


if __name__ == "__main__":
    sys.exit(page_file.main(__doc__, TARGET, document))
