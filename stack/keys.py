"""What a terminal sends when a key is pressed, as names of keys. Pure."""

import re

_NAMES = {
    "A": "up",
    "B": "down",
    "C": "right",
    "D": "left",
    "H": "home",
    "F": "end",
    "1~": "home",
    "4~": "end",
    "5~": "page up",
    "6~": "page down",
    "7~": "home",
    "8~": "end",
}
_SEQUENCE = re.compile(r"\x1b[\[O]([0-9;]*[A-Za-z~])")
_PLAIN = {"\r": "enter", "\n": "enter", "\x1b": "escape", "\x7f": "backspace", " ": "space"}


def pressed(text: str) -> list[str]:
    """Names such as `up`, `enter`, `q`; a sequence that no key of ours has is nothing."""
    found = []
    position = 0
    while position < len(text):
        sequence = _SEQUENCE.match(text, position)
        if sequence is not None:
            name = _NAMES.get(sequence[1])
            found += [name] if name else []
            position = sequence.end()
            continue
        char = text[position]
        if char in _PLAIN:
            found.append(_PLAIN[char])
        elif char.isprintable():
            found.append(char)
        position += 1
    return found
