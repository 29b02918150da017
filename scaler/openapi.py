"""The HTTP API described as OpenAPI 3.1. The models are what the answers must look like.

A test compares the operations with the API's routes and real answers with the models.
"""

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from scaler.api_models import (
    Decisions,
    Error,
    Explanation,
    Notification,
    NotificationTaken,
    OverrideAdded,
    OverrideOrder,
    OverrideRemoved,
    Overrides,
    Paused,
    PauseOrder,
    Period,
    Policies,
    Status,
)
from scaler.status_page.models import PageEvent, PageView

_SECURITY = {
    "control": {
        "type": "http",
        "scheme": "bearer",
        "description": "The token in `control_token_file`, where one is configured.",
    },
    "alerts": {
        "type": "http",
        "scheme": "bearer",
        "description": "The token in `alert_source.token_file`.",
    },
}

_MOMENT = "As people write it: 10:42, -5m, 2026-11-26T10:42, or Unix seconds."


@dataclass(frozen=True)
class Parameter:
    """One of the query string, or of the path."""

    name: str
    description: str
    kind: str = "string"
    is_repeated: bool = False
    place: Literal["query", "path", "header"] = "query"


@dataclass(frozen=True)
class Operation:
    """One route."""

    method: str
    path: str
    summary: str
    answers: tuple[type[BaseModel], ...]
    parameters: tuple[Parameter, ...] = ()
    body: type[BaseModel] | None = None
    status: str = "200"
    token: Literal["none", "control", "alerts"] = "none"
    """Which one `Authorization: Bearer` shows, where one is configured."""
    may_be_empty: bool = False
    """The body may be left out."""
    media: str = "application/json"
    """What the answer is; of a stream, what its events carry is the model."""


OPERATIONS = (
    Operation("GET", "/api/v1/status", "Domains, signals and the newest decision", (Status,)),
    Operation(
        "GET",
        "/api/v1/decisions",
        "Recorded decisions and results of actions: the newest, oldest first",
        (Decisions,),
        (
            Parameter("limit", "Most entries, 1,000 at most; 50.", "integer"),
            Parameter("since", f"Entries that ended then or later. {_MOMENT}"),
            Parameter("until", f"Entries that began then or before. {_MOMENT}"),
            Parameter("reason", "Decisions with this headline reason.", is_repeated=True),
            Parameter("type", "decision, result or config.", is_repeated=True),
            Parameter("before", "Entries older than the one with this id.", "integer"),
        ),
    ),
    Operation(
        "GET",
        "/api/v1/explain",
        "Why the pool was as big as it was, in one line and in full",
        (Explanation, Period),
        (
            Parameter(
                "at",
                f"{_MOMENT} Default: now. Of a minute or second as 10:42 or 10:42:07, the turn "
                "with most to say.",
            ),
            Parameter("domain", "Why this domain was, or was not, chosen."),
            Parameter("last", "A duration such as 1h: everything that happened in it up to `at`."),
            Parameter("actions", "How many of the last actions to list; 10.", "integer"),
        ),
    ),
    Operation("GET", "/api/v1/openapi.json", "This description", ()),
    Operation("GET", "/api/v1/view", "What the status page shows", (PageView,)),
    Operation(
        "GET",
        "/api/v1/events",
        "Server-sent events for the status page: `state`, then `change` by `change`; the markup in "
        "them is the page's own and may change with any version",
        (PageEvent,),
        (Parameter("Last-Event-ID", "Goes on after this event, if it is known.", place="header"),),
        media="text/event-stream",
    ),
    Operation(
        *("POST", "/api/v1/pause", "Take no action until resumed", (Paused,), (), PauseOrder),
        token="control",
        may_be_empty=True,
    ),
    Operation("POST", "/api/v1/resume", "Lift the pause", (Paused,), token="control"),
    Operation("GET", "/api/v1/overrides", "Overrides in force", (Overrides,)),
    Operation(
        *("POST", "/api/v1/overrides", "Give an order", (OverrideAdded,), (), OverrideOrder),
        status="201",
        token="control",
    ),
    Operation(
        "DELETE",
        "/api/v1/overrides/{id}",
        "Lift an order",
        (OverrideRemoved,),
        (Parameter("id", "The override's.", place="path"),),
        token="control",
    ),
    Operation(
        "POST",
        "/api/v1/alerts",
        "Alertmanager's webhook, with a bearer token",
        (NotificationTaken,),
        (),
        Notification,
        token="alerts",
    ),
    Operation("GET", "/api/v1/policies", "The policies in effect", (Policies,)),
    Operation(
        *("POST", "/api/v1/policies/reload", "Read the policies file again; same host"),
        (Policies,),
        token="control",
    ),
)


def document(version: str) -> dict[str, Any]:
    """The whole description."""
    models: set[type[BaseModel]] = {Error}
    for one in OPERATIONS:
        models.update(one.answers)
        models.update(() if one.body is None else (one.body,))
    ordered = sorted(models, key=lambda model: model.__name__)
    _, schemas = models_json_schema(
        [(model, "validation") for model in ordered],
        ref_template="#/components/schemas/{model}",
    )
    paths: dict[str, dict[str, Any]] = {}
    for one in OPERATIONS:
        paths.setdefault(one.path, {})[one.method.lower()] = _described(one)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "virtscale scaler",
            "version": version,
            "description": "Reads are open to whoever reaches the port; orders are taken from the "
            "same host only, unless the scaler is configured otherwise.",
        },
        "paths": paths,
        "components": {"schemas": schemas["$defs"], "securitySchemes": _SECURITY},
    }


def _described(operation: Operation) -> dict[str, Any]:
    name = operation.path.removeprefix("/api/v1/").removesuffix(".json")
    name = name.removesuffix("/{id}").replace("/", "_")
    found: dict[str, Any] = {
        "operationId": f"{operation.method.lower()}_{name}",
        "summary": operation.summary,
        "responses": {
            operation.status: {"description": "Done", "content": _content(operation)},
            "default": {"description": "Refused, with the reason", "content": _json(_ref(Error))},
        },
    }
    if operation.parameters:
        found["parameters"] = [_parameter(one) for one in operation.parameters]
    if operation.body is not None:
        required = not operation.may_be_empty
        found["requestBody"] = {"required": required, "content": _json(_ref(operation.body))}
    if operation.token == "alerts":
        found["security"] = [{operation.token: []}]
    elif operation.token == "control":
        # Without `control_token_file` none is asked for.
        found["security"] = [{operation.token: []}, {}]
    return found


def _content(operation: Operation) -> dict[str, Any]:
    return {operation.media: {"schema": _one_of(operation.answers)}}


def _parameter(parameter: Parameter) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": parameter.kind}
    if parameter.is_repeated:
        schema = {"type": "array", "items": schema}
    return {
        "name": parameter.name,
        "in": parameter.place,
        "required": parameter.place == "path",
        "description": parameter.description,
        "schema": schema,
    }


def _one_of(models: tuple[type[BaseModel], ...]) -> dict[str, Any]:
    if not models:
        return {"type": "object"}
    refs = [_ref(model) for model in models]
    return refs[0] if len(refs) == 1 else {"oneOf": refs}


def _ref(model: type[BaseModel]) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
