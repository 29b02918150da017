"""Reference pages that are made from code are current."""

import pytest

from docs import generate_configuration, generate_grpc_api, generate_http_api

MAKERS = (generate_configuration, generate_grpc_api, generate_http_api)


@pytest.mark.parametrize("maker", MAKERS, ids=lambda maker: maker.TARGET.name)
def test_a_page_is_current(maker):
    current = maker.TARGET.read_text(encoding="utf-8")
    assert current == maker.document(), f"run: python {maker.__name__.replace('.', '/')}.py"


def test_every_call_and_message_of_the_contract_is_on_its_page():
    sections = [
        section
        for name in generate_grpc_api.FILES
        for section in generate_grpc_api.read(
            (generate_grpc_api.FOLDER / f"{name}.proto").read_text(encoding="utf-8")
        )[1]
    ]
    assert {f"{name}.proto" for name in generate_grpc_api.FILES} == {
        path.name for path in generate_grpc_api.FOLDER.glob("*.proto")
    }
    wanted = sum(_declared(name) for name in generate_grpc_api.FILES)
    assert len(sections) == wanted > 50
    assert [one.name for one in sections if not one.text and one.kind != "enum"] == []
    rows = [row for one in sections for row in one.rows]
    assert len(rows) > 100


def _declared(name):
    text = (generate_grpc_api.FOLDER / f"{name}.proto").read_text(encoding="utf-8")
    words = ("service ", "message ", "enum ")
    return sum(line.strip().startswith(words) and "{" in line for line in text.splitlines())


def test_a_choice_and_a_nested_message_are_told():
    text = """// About.
syntax = "proto3";
// Outer.
message Outer {
  oneof kind {
    // Yes.
    string yes = 1;
  }
  // Inner.
  message Inner {
    // In.
    repeated int32 numbers = 2 [packed = true];
  }
}
"""
    about, (inner, outer) = generate_grpc_api.read(text)
    assert about == "About."
    assert (inner.name, outer.name) == ("Outer.Inner", "Outer")
    assert outer.rows == (("yes", "string = 1, one of `kind`", "Yes."),)
    assert inner.rows == (("numbers", "repeated int32 = 2", "In."),)
