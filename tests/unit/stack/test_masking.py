import pytest

from stack import masking


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        ("KA-47-UT-9173", "KA-**-**-**73"),
        ("KA47UT9173", "KA******73"),
        ("KA 47 9", "KA *7 9"),
        ("KA47", "****"),
        ("A1", "**"),
        ("", ""),
    ],
)
def test_only_both_ends_of_a_long_number_are_shown(number: str, shown: str) -> None:
    assert masking.mask(number) == shown


def test_control_characters_never_reach_a_terminal() -> None:
    assert "\x1b" not in masking.mask("KA\x1b[2J47UT9173")
