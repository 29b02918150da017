"""The description of the API: the same routes, and real answers that look as described."""

import json

import pytest
from prometheus_client import CollectorRegistry

from scaler import alert_api, openapi, override_api, policy_api
from scaler.api import Api
from scaler.override_file import OverrideFile
from scaler.reconciler import Reconciler
from scaler.records import config_record
from scaler.shadows import Shadow, Shadows
from scaler.status_page import web
from scaler.telemetry import Telemetry
from tests.simulation.recording import SETTINGS, lived, recorded_world
from tests.simulation.world import QUERIES
from tests.unit.scaler.test_api import Client


@pytest.fixture
async def client():
    world, store = recorded_world()
    telemetry = Telemetry("default", CollectorRegistry())
    store.append(config_record("0123456789ab", {"min": 1}, world.clock.wall(), is_start=True))
    world.scaler = Reconciler(
        SETTINGS,
        QUERIES,
        world.scaler._ports,
        [telemetry],
        shadows=Shadows((Shadow("same", SETTINGS),)),
    )
    await lived(world)
    client = Client()
    client.api = Api(
        telemetry.status, store, OverrideFile(None), lambda: None, wall=world.clock.wall
    )
    yield client
    await world.end()


def operation(method, path):
    (found,) = [one for one in openapi.OPERATIONS if (one.method, one.path) == (method, path)]
    return found


def test_describes_every_route_and_no_other(client):
    described = sorted((one.method, one.path) for one in openapi.OPERATIONS)
    others = (*override_api.OPERATIONS, *alert_api.OPERATIONS, *policy_api.OPERATIONS)
    others += web.OPERATIONS
    assert described == sorted([*client.api.operations(), *others])
    document = client.call("GET", "/api/v1/openapi.json")[1]
    paths = [(method.upper(), path) for path, one in document["paths"].items() for method in one]
    assert sorted(paths) == described


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/api/v1/status", b""),
        ("GET", "/api/v1/decisions?limit=1000", b""),
        ("GET", "/api/v1/explain", b""),
        ("GET", "/api/v1/explain?at=-150s&domain=domain-1&actions=2", b""),
        ("GET", "/api/v1/explain?last=1h", b""),
        ("POST", "/api/v1/pause", b'{"author": "ann", "reason": "upgrade"}'),
        ("POST", "/api/v1/resume", b""),
    ],
)
def test_real_answers_look_as_described(client, method, path, body):
    code, answer = client.call(method, path, body)
    assert code == 200
    models = operation(method, path.partition("?")[0]).answers
    faults = []
    for model in models:
        try:
            model.model_validate(answer, strict=True)
        except ValueError as error:
            faults.append(str(error))
    assert len(faults) < len(models), faults


def test_pages_hold_every_kind_of_entry(client):
    answer = client.call("GET", "/api/v1/decisions?limit=1000")[1]
    assert {one["type"] for one in answer["decisions"]} == {"decision", "result", "config"}


def test_refusals_look_as_described(client):
    code, answer = client.call("GET", "/api/v1/explain?domain=nobody")
    assert code == 404
    assert "there were: domain-0" in answer["error"]
    openapi.Error.model_validate(answer, strict=True)


def test_every_parameter_is_understood(client):
    """A parameter that is described but unknown to the API would be ignored in silence."""
    for one in openapi.OPERATIONS:
        for parameter in one.parameters:
            if parameter.name in ("domain", "before", "id") or parameter.place == "header":
                continue
            code, answer = client.call(one.method, f"{one.path}?{parameter.name}=%40wrong")
            assert code == 400, parameter
            assert answer["error"].startswith(f"{parameter.name} = ")


def test_what_changes_something_tells_of_its_token(client):
    document = client.call("GET", "/api/v1/openapi.json")[1]
    for path, operations in document["paths"].items():
        for method, one in operations.items():
            assert ("security" in one) is (method != "get"), f"{method} {path}"
            for required in one.get("security", ()):
                assert set(required) <= set(document["components"]["securitySchemes"])


def test_the_document_is_whole(client):
    document = client.call("GET", "/api/v1/openapi.json")[1]
    assert document["openapi"] == "3.1.0"
    schemas = document["components"]["schemas"]
    references = set()

    def walk(node):
        if isinstance(node, dict):
            if "$ref" in node:
                references.add(node["$ref"].removeprefix("#/components/schemas/"))
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(document)
    assert references <= set(schemas)
    names = [one["operationId"] for path in document["paths"].values() for one in path.values()]
    assert len(names) == len(set(names))
    assert json.loads(json.dumps(document)) == document
