"""The examples of docs/HTTP_API.md are what the API's models say, for every call."""

import json
from pathlib import Path

import pytest

from scaler import openapi

ROOT = Path(__file__).parents[3]
EXAMPLES = json.loads((ROOT / "docs/examples/http_api.json").read_text(encoding="utf-8"))
OPERATIONS = [one for one in openapi.OPERATIONS if one.path != "/api/v1/openapi.json"]


def name(operation):
    return f"{operation.method} {operation.path}"


def test_every_call_has_an_example_and_no_other():
    assert sorted(EXAMPLES) == sorted(map(name, OPERATIONS))


@pytest.mark.parametrize("operation", OPERATIONS, ids=name)
def test_an_example_is_what_the_model_says(operation):
    example = EXAMPLES[name(operation)]
    assert ("body" in example) == (operation.body is not None)
    if operation.body is not None:
        operation.body.model_validate(example["body"], strict=True)
    if operation.media == "application/json":
        faults = []
        for model in operation.answers:
            try:
                model.model_validate(example["answer"], strict=True)
            except ValueError as error:
                faults.append(str(error))
        assert len(faults) < len(operation.answers), faults
    else:
        assert example["answer"].startswith("retry: ")
