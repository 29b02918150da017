"""HTML in which everything is text unless it was made here: nothing from outside is ever markup."""

import re
from collections.abc import Iterable, Sequence
from html import escape

_UNSEEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]"
)
"""Characters that show nothing, or turn around what follows them."""


class Html(str):
    """Markup that was made here."""

    __slots__ = ()


def seen(words: object) -> str:
    """Words of whatever origin without what would hide or turn them."""
    return _UNSEEN.sub("\ufffd", str(words))


def text(words: object) -> Html:
    """Words of whatever origin, to be read as they are."""
    return Html(escape(seen(words)))


def tag(name: str, *children: object, **attributes: str | None) -> Html:
    """An element. Children that are not `Html` are text; `class_` stands for `class`."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Html(f"<{name}{given}>{joined(children)}</{name}>")


def joined(children: Iterable[object]) -> Html:
    """One after the other."""
    return Html("".join(one if isinstance(one, Html) else text(one) for one in children))


def table(head: Sequence[object], rows: Iterable[Html], *, class_: str | None = None) -> Html:
    """A table that scrolls by itself where the page is narrow."""
    cells = joined(tag("th", one, scope="col") for one in head)
    body = joined(rows)
    inner = joined([tag("thead", tag("tr", cells)), tag("tbody", body)])
    return tag("div", tag("table", inner, class_=class_), class_="wide")


def row(cells: Iterable[object], *, id_: str | None = None, class_: str | None = None) -> Html:
    """Cells that are `Html` and begin with `<td` are taken as they are."""
    told = [
        one if isinstance(one, Html) and one.startswith("<td") else tag("td", one) for one in cells
    ]
    return tag("tr", joined(told), id_=id_, class_=class_)


def number(words: object) -> Html:
    """A cell for a number."""
    return tag("td", words, class_="n")
