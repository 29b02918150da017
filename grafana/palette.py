"""Colours: Grafana's names for them, and the order in which unnamed series get theirs."""

Colour = tuple[int, int, int]

INK, PALE_INK, PAPER, CARD, GRID, EDGE = (
    *("#24292e", "#6e7681", "#f4f5f7", "#ffffff", "#e9ebee", "#dfe1e5"),
)
_NAMED = {
    **{"green": "#56a64b", "light-green": "#96d98d", "dark-green": "#37872d"},
    **{"yellow": "#f2cc0c", "light-yellow": "#ffee52", "dark-yellow": "#cc9d00"},
    **{"orange": "#ff780a", "light-orange": "#ffb357", "dark-orange": "#e55400"},
    **{"red": "#e02f44", "light-red": "#ff7383", "dark-red": "#ad0317"},
    **{"blue": "#3274d9", "light-blue": "#8ab8ff", "dark-blue": "#1250b0"},
    **{"purple": "#a352cc", "light-purple": "#ca95e5", "dark-purple": "#7c2ea3"},
    "text": INK,
}
_ORDER = (
    *("green", "yellow", "blue", "orange", "red", "purple", "dark-green", "light-blue"),
    *("dark-orange", "light-purple", "dark-blue", "light-red", "dark-yellow", "light-green"),
)
_HEAT = ((255, 245, 235), (253, 190, 133), (253, 141, 60), (230, 85, 13), (127, 39, 4))


_TINTS = (1.0, 0.85, 0.7, 0.55, 0.45, 0.3, 0.18, 0.09)
_GREYS = 16


def named(name: str) -> str:
    """The colour of one of Grafana's names; an unknown one is that of text."""
    return _NAMED.get(name, INK)


def unnamed(place: int) -> str:
    """The colour of the series at that place, from 0."""
    return _NAMED[_ORDER[place % len(_ORDER)]]


def heat(share: float) -> str:
    """From pale to dark, for a share of the largest value, 0 to 1."""
    place = min(max(share, 0.0), 1.0) * (len(_HEAT) - 1)
    before = min(int(place), len(_HEAT) - 2)
    return _text(_mixed(_HEAT[before], _HEAT[before + 1], place - before))


def few() -> list[Colour]:
    """At most 256 colours that all pictures make do with: each one, and paler.

    A picture's own choice would give up what covers little of it, such as a thin line.
    """
    white = (255, 255, 255)
    exact = [_parts(one) for one in (PAPER, CARD, GRID, EDGE, PALE_INK)]
    greys = [_mixed(white, _parts(INK), place / _GREYS) for place in range(1, _GREYS + 1)]
    tints = [
        _mixed(white, _parts(colour), share)
        for colour in sorted(set(_NAMED.values()) - {INK})
        for share in _TINTS
    ]
    warm = [_parts(heat(place / _GREYS)) for place in range(_GREYS + 1)]
    return [*exact, *greys, *tints, *warm]


def _mixed(low: Colour, high: Colour, share: float) -> Colour:
    red, green, blue = (
        round(one + (other - one) * share) for one, other in zip(low, high, strict=True)
    )
    return red, green, blue


def _parts(colour: str) -> Colour:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _text(colour: Colour) -> str:
    return "#" + "".join(f"{one:02x}" for one in colour)
