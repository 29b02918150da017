import pytest

from scaler.readings import implausible


@pytest.mark.parametrize(
    ("value", "is_share"), [(0.0, True), (1.0, True), (1.2, True), (-1e-12, True), (400.0, False)]
)
def test_a_load_may_be_anything_from_nothing_on(value, is_share):
    assert implausible(value, is_share=is_share) is None


@pytest.mark.parametrize(
    ("value", "is_share", "fault"),
    [
        (-1.0, False, "-1 is below 0"),
        (-0.2, True, "-0.2 is below 0"),
        (87.0, True, "87 is no share from 0 to 1; divide a percentage by 100"),
    ],
)
def test_what_no_load_can_be_is_told(value, is_share, fault):
    assert (implausible(value, is_share=is_share) or "").startswith(fault)
