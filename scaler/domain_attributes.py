"""What the scaler writes into a domain's metadata, as attributes of one element. Pure.

`pool` makes a domain ours to look at, `scaler` says which scaler may touch it, `operation`,
`operation_since` and `token` tell of what is under way.
"""

from collections.abc import Mapping
from xml.etree import ElementTree

from scaler.pool import Operation, OperationKind

Attributes = dict[str, str]

_OF_AN_OPERATION = ("operation", "operation_since")
KEPT = (*_OF_AN_OPERATION, "token", "scaler")
"""Are of now: a definition that is put back does not bring back those of its day."""


def parse(text: str) -> Attributes | None:
    """The attributes of the element; None: it is no XML."""
    try:
        element = ElementTree.fromstring(text)
    except ElementTree.ParseError:
        return None
    return {name: value for name, value in element.attrib.items() if not name.startswith("{")}


def render(attributes: Mapping[str, str]) -> str:
    """The element."""
    return ElementTree.tostring(ElementTree.Element("domain", dict(attributes)), encoding="unicode")


def with_operation(attributes: Mapping[str, str], operation: Operation | None) -> Attributes:
    """The attributes while an operation is under way; None: nothing is."""
    found = {name: value for name, value in attributes.items() if name not in _OF_AN_OPERATION}
    if operation is not None:
        found["operation"] = operation.kind.value
        found["operation_since"] = f"{operation.since:.3f}"
        found["token"] = str(operation.token)
    return found


def without_token(attributes: Mapping[str, str]) -> Attributes:
    """The attributes for a new owner, whom a token of the old one's counting would fence off."""
    return {name: value for name, value in attributes.items() if name != "token"}


def token(attributes: Mapping[str, str]) -> int:
    """The token of the newest operation; 0: there was none."""
    return int(_number(attributes.get("token")))


def operation(attributes: Mapping[str, str]) -> Operation | None:
    """The operation under way; None: nothing is, or nothing that we know."""
    try:
        kind = OperationKind(attributes.get("operation", ""))
    except ValueError:
        return None
    return Operation(kind, _number(attributes.get("operation_since")), token(attributes))


def _number(text: str | None) -> float:
    try:
        return float(text or 0)
    except ValueError:
        return 0.0
