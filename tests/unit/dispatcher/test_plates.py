"""What a plate is, and how its faults read."""

import pytest

from dispatcher.plates import INDIAN, FormatName, NumberFormats, canonical, form_fault, mask, redact

LEGACY = NumberFormats(("in", "in-legacy"))


@pytest.mark.parametrize(
    "number",
    [
        "KA-47-UT-9173",
        " ka 47 ut 9173 ",
        "KA.47.UT.9173",
        "KA47UT9173",
        "\uff2b\uff21\uff14\uff17\uff35\uff34\uff19\uff11\uff17\uff13",
        "KA\u201147\u2013UT\u22129173",
        "KA 01 1",
        "MH 12 A 12",
        "GJ 5 AB 1234",
        "DL 2C AB 0007",
        "DL 11 CAA 1111",
        "DL 3 CAYZ 9999",
        *(
            f"{state}-01-AA-0001"
            for state in ("TG", "TS", "OR", "OD", "UA", "UK", "DN", "DD", "LA")
        ),
        "22 BH 9688 A",
        "21BH0001AA",
        "KA VA AA 0001",
        "11 CD 21",
        "101 UN 1",
        "77 CC 1234",
    ],
)
def test_these_are_indian_plates(number: str):
    assert INDIAN.fault(number) is None


@pytest.mark.parametrize(
    ("number", "rule"),
    [
        ("", "is empty"),
        (" \t ", "is empty"),
        ("- -", "only spaces and signs"),
        ("KA-47-UT-9173" * 6, "has 78 characters; send 1 to 64"),
        ("KA\u200b47UT9173", "unprintable"),
        ("KA-00-UT-9173", "district is 00"),
        ("KA-0-UT-9173", "district is 00"),
        ("KA-47-UT-0000", "1 to 9999"),
        ("KA-47-IT-9173", "letter I or O"),
        ("KA-47-UO-9173", "letter I or O"),
        ("KA-47-UTABC-9173", "at most 3"),
        ("XX-47-UT-9173", "no Indian state"),
        ("BH-47-UT-9173", "BH is no state"),
        ("20 BH 9173 AA", "send in: KA-47-UT-9173, 22 BH 9173 AA"),
        ("22 BH 0000 AA", "send in:"),
        ("22 BH 9173 IA", "send in:"),
        ("KA-47-UT-91734", "send in:"),
        ("KA-147-UT-9173", "send in:"),
        ("0 CD 21", "send in:"),
        ("11 CD 000", "send in:"),
        ("\u219106B123456H", "military"),
        ("\u041a\u0410-47-UT-9173", "CYRILLIC CAPITAL LETTER KA"),
        ("KA-\u096a\u096d-UT-9173", "DEVANAGARI DIGIT FOUR"),
        ("KA-47-UT-9173\u0130", "LATIN CAPITAL LETTER I WITH DOT"),
        ("KA-47-UT-9173; DROP", "send in:"),
    ],
)
def test_these_are_not_and_the_rule_is_named(number: str, rule: str):
    fault = INDIAN.fault(number)
    assert fault is not None
    assert rule in fault
    for part in ("47-UT", "9173", "123456"):
        assert part not in fault.replace("KA-47-UT-9173,", "").replace("22 BH 9173 AA", "")


@pytest.mark.parametrize(
    "number", ["BH-00-IO-0000", "KA-47-UT-9173", "ka-00-ut-0000", "22 BH 9688 A"]
)
def test_the_reference_program_s_numbers_fit_in_legacy(number: str):
    assert LEGACY.fault(number) is None


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        (
            "gb",
            ["AB12 CDE", "A123 ABC", "ABC 123A", "A 1"],
            ["IB12CDE", "AB12 CDQ"],
        ),
        (
            "de",
            ["B-AB 1234", "M\u00dc-A 1", "m\u00fc a 1 e", "WUG-A 123H"],
            ["B-AB 0123", "WUG-AB 1234"],
        ),
        ("fr", ["AB-123-CD"], ["SS-123-AA", "AA-123-SS", "AB-000-CD", "IB-123-CD"]),
        ("es", ["1234 BCD", "0000 BBB"], ["1234 ABC", "123 BCD"]),
        ("it", ["AB 123 CD", "ZA 000 AA"], ["AQ 123 CD", "AB 12 CD"]),
        ("nl", ["12-ABC-3", "AB-12-34", "GB-001-B", "ABC-12-D"], ["12-AB-345", "ABC-123"]),
        ("free", ["A", "\u00c4" * 64, "\u219106B123456H", "any thing"], ["-", "A" * 65]),
    ],
)
def test_other_formats(name: FormatName, good: list[str], bad: list[str]):
    formats = NumberFormats((name,))
    assert [formats.fault(number) for number in good] == [None] * len(good)
    assert all(formats.fault(number) for number in bad)


def test_one_of_several_formats_is_enough():
    both = NumberFormats(("in", "de"))
    assert both.fault("B-AB 1234") is None
    assert both.fault("KA-47-UT-9173") is None
    assert "in: KA-47-UT-9173" in str(both.fault("?!x"))
    assert "de: B-AB 1234" in str(both.fault("?!x"))


def test_a_plate_has_one_canonical_form():
    forms = (
        "KA-47-UT-9173",
        "ka 47 ut 9173",
        "KA.47.UT.9173",
        "\uff2ba47ut9173",
        "KA\u00a047UT9173",
    )
    assert {canonical(form) for form in forms} == {"KA47UT9173"}


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        ("KA-47-UT-9173", "KA-**-**-**73"),
        ("KA47UT9173", "KA******73"),
        ("KA 1 23", "** * **"),
        ("a@b;c", "*****"),
        ("\u0410" * 9, "*********"),
        ("A" * 40, "AA" + "*" * 22 + "..."),
        ("", ""),
    ],
)
def test_a_masked_number_shows_its_ends_at_most(number: str, shown: str):
    assert mask(number) == shown


def test_what_no_format_accepts():
    assert form_fault("A") is None
    assert "empty" in str(form_fault(" "))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("KA-47-UT-9173", "KA-**-**-**73"),
        ("cannot hash KA47UT9173, sorry", "cannot hash KA******73, sorry"),
        ("two: ka 47 ut 9173 and 22 BH 9173 AA.", "two: ka ** ** **73 and 22 ** **** AA."),
        ("no longer needed; drain vs-12 of pool default-1", None),
        ("9f0c1d5e-6f1c-4c40-9a53-0c6a4f1f6d01 at 127.0.0.1:15051 after 12.5 s", None),
    ],
)
def test_numbers_in_a_text_from_outside_are_masked(text: str, shown: str | None):
    assert redact(text) == (text if shown is None else shown)
