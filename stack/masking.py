"""How a licence number may be shown: never whole."""

_SHOWN_AT_EACH_END = 2


def mask(number: str) -> str:
    """`KA-47-UT-9173` becomes `KA-**-**-**73`; separators stay, short numbers vanish wholly."""
    letters = sum(character.isalnum() for character in number)
    keep = _SHOWN_AT_EACH_END if letters > 2 * _SHOWN_AT_EACH_END else 0
    shown = []
    seen = 0
    for character in number:
        if not character.isalnum():
            # Only separators that plates use: anything else could be part of a secret typed here.
            shown.append(character if character in "- " else "*")
            continue
        shown.append(character if seen < keep or seen >= letters - keep else "*")
        seen += 1
    return "".join(shown)
