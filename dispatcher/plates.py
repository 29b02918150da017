"""Number plates: one canonical form, and the formats that a dispatcher accepts. Pure.

Without a format every misreading would be hashed as well, and be found by no later search. What a
format demands is what its source says of plates that are issued today or still on the road:

- `in`: India. State, district (RTO) 1 to 99, series of up to three letters without I and O, number
  1 to 9999; Delhi writes a letter for the category before the series; BH and VA (vintage) series;
  diplomatic CD, CC and UN. Sources: "Format of Vehicle registration number" (better.in.net, 2024),
  "Vehicle registration plates of India" (piglix.com, infokontak.com). Military plates begin with a
  broad arrow, which few keyboards have: refused with that reason.
- `in-legacy`: what the reference program's generator wrote: `KA-47-UT-9173` with any letters and
  digits, district 00, number 0000 and BH as a state among them.
- `gb`: two letters, two digits, three letters since 2001 (without I, Q and Z, and I and Q), the
  prefix and suffix formats before, and one to three letters with one to four digits without a year.
  Sources: carsgt.co "Number plates", drivearchive.co.uk "reginfo", gocompare.com "Number plates".
- `de`: one to three letters (with umlauts), one or two letters, one to four digits, at most eight
  in all with the E or H at the end. Sources: autokennzeichen.de "Kennzeichen-Aufbau", FZV § 8 and
  Anlage 2.
- `fr`: AA-001-AA since 2009, without I, O, U and SS. Source: skoda-storyboard.com "Deciphering
  number plates: France", tagtik.be.
- `es`: 0000 BBB since 2000, without vowels and Q. Source: surinenglish.com, "no vowels".
- `it`: AA 000 AA since 1994, without I, O, Q and U. Source: targheitaliane.it "Plates after 1994".
- `nl`: the RDW's side codes 1 to 11. Sources: nummerborden.info, kentekenkennis.nl "Sidecode".
- `free`: 1 to 64 printable characters with a letter or digit among them.
"""

import re
import unicodedata
from collections.abc import Sequence
from typing import Literal

FormatName = Literal["in", "in-legacy", "gb", "de", "fr", "es", "it", "nl", "free"]

MAX_CHARACTERS = 64

_MASKED_SHOWN = 24
_ARROWS = "↑⇑⇧⬆^"
_DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212"
_SEPARATORS = dict.fromkeys(map(ord, " \t\n\r\f\v\x1c\x1d\x1e\x1f-." + _DASHES + "\u00b7\u30fb"))

_STATE = (
    "A[NPRS]|BR|C[GH]|D[DLN]|G[AJ]|H[PR]|J[HK]|K[AL]|L[AD]|M[HLNPZ]|NL|O[DR]|P[BY]|RJ|SK|"
    "T[GNRS]|U[AKP]|WB"
)
_DISTRICT = "(?:0[1-9]|[1-9][0-9]?)"
_SERIES = "[A-HJ-NP-Z]"
_SERIAL = r"(?!0+(?![0-9]))[0-9]{1,4}"

_PATTERNS: dict[FormatName, str] = {
    "in": "|".join(
        (
            rf"(?:{_STATE}){_DISTRICT}{_SERIES}{{0,3}}{_SERIAL}",
            rf"DL{_DISTRICT}[SCEPRTVY]{_SERIES}{{0,3}}{_SERIAL}",
            rf"(?:2[1-9]|[3-9][0-9])BH(?!0000)[0-9]{{4}}{_SERIES}{{1,2}}",
            rf"(?:{_STATE})VA{_SERIES}{{2}}{_SERIAL}",
            rf"[1-9][0-9]{{0,2}}(?:CD|CC|UN){_SERIAL}",
        )
    ),
    "in-legacy": rf"(?:{_STATE}|BH)[0-9]{{2}}[A-Z]{{2}}[0-9]{{4}}",
    "gb": "|".join(
        (
            "[A-HJ-PR-Y]{2}[0-9]{2}[A-HJ-PR-Z]{3}",
            "[A-HJ-NP-TV-Y][1-9][0-9]{0,2}[A-Z]{3}",
            "[A-Z]{3}[1-9][0-9]{0,2}[A-HJ-NP-TV-Y]",
            "[A-Z]{1,3}[1-9][0-9]{0,3}",
        )
    ),
    "de": r"(?=.{3,8}\Z)[A-ZÄÖÜ]{1,3}[A-Z]{1,2}[1-9][0-9]{0,3}[EH]?",
    "fr": "(?!SS|.*SS$)[A-HJ-NP-TV-Z]{2}(?!000)[0-9]{3}[A-HJ-NP-TV-Z]{2}",
    "es": "[0-9]{4}[B-DF-HJ-NPR-TV-Z]{3}",
    "it": "[A-HJ-NPR-TV-Z]{2}[0-9]{3}[A-HJ-NPR-TV-Z]{2}",
    "nl": "|".join(
        (
            "[A-Z]{2}[0-9]{4}|[0-9]{4}[A-Z]{2}|[0-9]{2}[A-Z]{2}[0-9]{2}",
            "[A-Z]{2}[0-9]{2}[A-Z]{2}|[A-Z]{4}[0-9]{2}|[0-9]{2}[A-Z]{4}",
            "[0-9]{2}[A-Z]{3}[0-9]|[0-9][A-Z]{3}[0-9]{2}|[A-Z]{2}[0-9]{3}[A-Z]",
            "[A-Z][0-9]{3}[A-Z]{2}|[A-Z]{3}[0-9]{2}[A-Z]",
        )
    ),
    "free": r".*[^\W_].*",
}

_PLATE_LIKE = re.compile(
    r"(?<![0-9A-Za-z])(?:[A-Za-z]{2}[-. ]?[0-9]{1,2}[-. ]?[A-Za-z]{1,4}[-. ]?[0-9]{3,4}"
    r"|[0-9]{2}[-. ]?[Bb][Hh][-. ]?[0-9]{4}[-. ]?[A-Za-z]{1,2})(?![0-9A-Za-z])"
)

_EXAMPLES: dict[FormatName, str] = {
    "in": "KA-47-UT-9173, 22 BH 9173 AA or 11 CD 21",
    "in-legacy": "KA-47-UT-9173",
    "gb": "AB12 CDE",
    "de": "B-AB 1234",
    "fr": "AB-123-CD",
    "es": "1234 BCD",
    "it": "AB 123 CD",
    "nl": "12-ABC-3",
    "free": "1 to 64 printable characters with a letter or digit",
}


def canonical(number: str) -> str:
    """The one way to write a number: upper case, without spaces, hyphens, dots and middle dots.

    Compatibility forms such as full-width digits become what they stand for. It does not depend on
    any format, so that a change of the accepted formats never changes a hash.
    """
    if not number.isascii():
        number = unicodedata.normalize("NFKC", number)
    return number.upper().translate(_SEPARATORS)


def mask(number: str) -> str:
    """A number for an error text: `KA-47-UT-9173` becomes `KA-**-**-**73`.

    Numbers with fewer than eight letters and digits vanish wholly, long ones are cut.
    """
    letters = sum(character.isalnum() for character in number)
    keep = 2 if letters >= 8 else 0
    shown: list[str] = []
    seen = 0
    for character in number:
        if character.isalnum():
            is_shown = character.isascii() and (seen < keep or seen >= letters - keep)
            seen += 1
        else:
            # Only separators that plates use: anything else could be part of a secret typed here.
            is_shown = character in "- "
        shown.append(character if is_shown else "*")
    return "".join(shown[:_MASKED_SHOWN]) + ("..." if len(shown) > _MASKED_SHOWN else "")


def redact(text: str) -> str:
    """A text from outside, for a log: what looks like an Indian plate in it is masked."""
    return _PLATE_LIKE.sub(lambda found: mask(found[0]), text)


class NumberFormats:
    """The formats that are accepted: a number must fit one of them."""

    def __init__(self, names: Sequence[FormatName]) -> None:
        self.names = tuple(names)
        self._fit = re.compile("|".join(_PATTERNS[name] for name in names)).fullmatch

    def fault(self, number: str) -> str | None:
        """What is wrong with a number, for a person, the number masked; None when nothing is."""
        # A plate that fits may still be hidden among padding or control characters.
        is_plain = len(number) <= MAX_CHARACTERS and number.isprintable()
        if not is_plain and (fault := form_fault(number)):
            return fault
        plate = canonical(number)
        return None if self._fit(plate) else self._misfit(number, plate)

    def _misfit(self, number: str, plate: str) -> str:
        if fault := form_fault(number):
            return fault
        shown = f"{mask(number.strip())!r} fits no format"
        if reason := _reason(plate, self.names):
            return f"{shown}: {reason}"
        wanted = "; ".join(f"{name}: {_EXAMPLES[name]}" for name in self.names)
        return f"{shown}; send {wanted}, or let number_formats of the dispatcher accept more"


INDIAN = NumberFormats(("in",))
"""What a dispatcher accepts by default."""


def form_fault(number: str) -> str | None:
    """What no format accepts; None when nothing is wrong."""
    text = number.strip()
    if not text:
        return f"is empty; send 1 to {MAX_CHARACTERS} printable characters"
    if len(text) > MAX_CHARACTERS:
        return f"has {len(text)} characters; send 1 to {MAX_CHARACTERS}"
    if not text.isprintable():
        return "has a control or other unprintable character; send printable characters only"
    if not any(character.isalnum() for character in text):
        return "has only spaces and signs; send at least one letter or digit"
    return None


def _reason(plate: str, names: Sequence[FormatName]) -> str | None:
    """The reason that a person can act on, if there is one."""
    if any(arrow in plate for arrow in _ARROWS):
        return "military numbers (broad arrow) are taken by the format free only"
    strange = next((each for each in plate if not each.isascii() and each not in "ÄÖÜ"), None)
    if strange is not None:
        name = unicodedata.name(strange, "an unnamed character")
        return f"it has {name}, however it looks; write it with the letters A-Z and digits 0-9"
    return _indian_reason(plate) if "in" in names else None


def _indian_reason(plate: str) -> str | None:
    if re.match("BH[0-9]", plate):
        return "BH is no state; numbers of the BH series are written 22 BH 9173 AA"
    parts = re.fullmatch("([A-Z]{2})([0-9]{1,2})([A-Z]*)([0-9]{1,4})", plate)
    if parts is None:
        return None
    state, district, series, serial = parts.groups()
    if not re.fullmatch(_STATE, state):
        return "its first two letters are no Indian state or territory, such as KA, DL or TG"
    if int(district) == 0:
        return "its district is 00, they are 01 to 99"
    if "I" in series or "O" in series:
        return "its series has the letter I or O, which plates leave out (they read as 1 and 0)"
    if len(series) > 3:
        return f"its series has {len(series)} letters, at most 3 exist"
    if int(serial) == 0:
        return "its last number is 0, they are 1 to 9999"
    return None
