from hypothesis import given
from hypothesis import strategies as st

from scaler import domain_attributes
from scaler.pool import Operation, OperationKind

OPERATION = Operation(OperationKind.START, 1_700_000_000.25, 7)


def test_an_operation_is_read_back_as_it_was_written():
    written = domain_attributes.with_operation({"pool": "p", "scaler": "s"}, OPERATION)
    again = domain_attributes.parse(domain_attributes.render(written))
    assert again == written
    assert domain_attributes.operation(again) == OPERATION
    assert domain_attributes.token(again) == 7


def test_after_an_operation_the_token_and_everything_else_stay():
    written = domain_attributes.with_operation({"pool": "p", "scaler": "s"}, OPERATION)
    settled = domain_attributes.with_operation(written, None)
    assert settled == {"pool": "p", "scaler": "s", "token": "7"}
    assert domain_attributes.operation(settled) is None
    assert domain_attributes.without_token(settled) == {"pool": "p", "scaler": "s"}


def test_what_is_no_xml_is_nothing_and_namespaced_attributes_are_not_ours():
    assert domain_attributes.parse("<domain") is None
    text = "<domain xmlns:o='urn:o' o:pool='theirs' pool='p'/>"
    assert domain_attributes.parse(text) == {"pool": "p"}


@given(st.dictionaries(st.sampled_from(["operation", "operation_since", "token"]), st.text()))
def test_nonsense_is_no_operation_or_one_at_the_epoch(attributes):
    found = domain_attributes.operation(attributes)
    assert found is None or isinstance(found.since, float)
