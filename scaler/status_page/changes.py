"""What of a page is new, so that a stream sends no more than that. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from scaler.status_page.html_page import Fragments


def whole(now: Fragments) -> dict[str, Any]:
    """Everything, for who has nothing."""
    return {
        "sections": dict(now.sections),
        "rows": {name: list(cells) for name, cells in now.rows.items()},
        "order": list(now.rows),
        "events": dict(now.events),
        "timeline": list(now.events),
        "version": now.version,
    }


def since(before: Fragments, now: Fragments) -> dict[str, Any]:
    """What differs. `rows` has changed cells by their place; an order that changed is whole."""
    found: dict[str, Any] = {
        "sections": {
            name: html for name, html in now.sections.items() if before.sections.get(name) != html
        }
    }
    rows = _rows(before.rows, now.rows)
    if rows:
        found["rows"] = rows
    if list(before.rows) != list(now.rows):
        found["order"] = list(now.rows)
    events = {key: html for key, html in now.events.items() if before.events.get(key) != html}
    if events:
        found["events"] = events
    if list(before.events) != list(now.events):
        found["timeline"] = list(now.events)
    return found


def _rows(
    before: Mapping[str, Sequence[str]], now: Mapping[str, Sequence[str]]
) -> dict[str, dict[int, str]]:
    changed = {}
    for name, cells in now.items():
        known = before.get(name)
        if known is None:
            changed[name] = dict(enumerate(cells))
        elif known != cells:
            changed[name] = {
                place: cell for place, cell in enumerate(cells) if known[place] != cell
            }
    return changed
