"""Rows of the live table: in what order, with which columns, and each as a line. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from stack import cells
from stack.cells import Line, Span
from stack.pool_view import Row

Order = Literal["name", "state", "CPU", "leases"]
ORDERS: tuple[Order, ...] = ("name", "state", "CPU", "leases")

STYLES = {
    "idle": "green",
    "busy": "bold green",
    "booting": "yellow",
    "draining": "cyan",
    "stopping": "cyan",
    "paused": "blue",
    "saved": "blue",
    "off": "dim",
    "error": "bold red",
}
_STATE_ORDER = ("error", *(state for state in STYLES if state != "error"))
_GAP = 2
_LONGEST_NAME = 40
_WIDEST_BAR, _WIDEST_CURVE = 20, 30


@dataclass(frozen=True)
class _Column:
    name: str
    least: int
    is_right: bool = False


# The most important first; a name is never left out.
_COLUMNS = (
    _Column("domain", 6),
    _Column("state", 8),
    _Column("CPU", 5, is_right=True),
    _Column("leases", 6, is_right=True),
    _Column("done", 7, is_right=True),
    _Column("up", 9, is_right=True),
    _Column("load", 8),
    _Column("tier", 6),
    _Column("history", 10),
)
_SHOWN = ("domain", "state", "tier", "load", "CPU", "history", "leases", "done", "up")


@dataclass(frozen=True)
class Columns:
    """Widths of those that have room, in the order in which they stand; names of the others."""

    widths: dict[str, int]
    hidden: list[str]


def ordered(rows: Sequence[Row], order: Order) -> list[Row]:
    """The rows in an order; those that are equal in it by name as they were."""
    keys: dict[Order, Callable[[Row], float]] = {
        "name": lambda row: 0.0,
        "state": lambda row: float(_STATE_ORDER.index(row.state)),
        "CPU": lambda row: -(row.cpu_ratio if row.cpu_ratio is not None else -1.0),
        "leases": lambda row: -float(row.leases),
    }
    return sorted(rows, key=keys[order])


def column_names(rows: Sequence[Row], columns: int) -> Columns:
    """Which columns fit, and how wide each is."""
    longest = max(cells.width(cells.printable(row.name)) for row in rows)
    name = max(6, min(_LONGEST_NAME, longest))
    room = columns - 2
    widths: dict[str, int] = {}
    hidden: list[str] = []
    has_tier = any(row.tier for row in rows)
    for column in _COLUMNS:
        if column.name == "tier" and not has_tier:
            continue
        least = min(name, max(6, room - 14)) if column.name == "domain" else column.least
        needed = least + (_GAP if widths else 0)
        if needed > room and widths:
            hidden.append(column.name)
            continue
        widths[column.name] = max(1, min(least, room))
        room -= needed
    for column_name, most in (("history", _WIDEST_CURVE), ("load", _WIDEST_BAR)):
        if column_name in widths and room > 0:
            more = min(room, most - widths[column_name])
            widths[column_name] += more
            room -= more
    return Columns({name: widths[name] for name in _SHOWN if name in widths}, hidden)


def heading(shown: Columns, columns: int) -> Line:
    """The names of the columns."""
    right = {column.name for column in _COLUMNS if column.is_right}
    parts = [
        (cells.right if name in right else cells.left)(name, width)
        for name, width in shown.widths.items()
    ]
    return cells.cut((("  " + (" " * _GAP).join(parts), "underline"),), columns)


def row_line(
    row: Row,
    shown: Columns,
    columns: int,
    *,
    curve: Sequence[float | None] = (),
    is_selected: bool = False,
) -> Line:
    """One domain."""
    style = STYLES[row.state]
    ratio = row.cpu_ratio
    up = "" if row.state_seconds is None else cells.duration(row.state_seconds)
    made: dict[str, Callable[[int], Span]] = {
        "domain": lambda width: (
            cells.left(cells.fit_name(cells.printable(row.name), width), width),
            "",
        ),
        "state": lambda width: (cells.left(row.state, width), style),
        "tier": lambda width: (cells.left(row.tier, width), ""),
        "load": lambda width: (
            cells.left("" if ratio is None else cells.bar(ratio, width), width),
            "",
        ),
        "CPU": lambda width: (cells.right("" if ratio is None else f"{ratio:.0%}", width), ""),
        "history": lambda width: (cells.curve(curve, width), "green"),
        "leases": lambda width: (cells.right(str(row.leases), width), ""),
        "done": lambda width: (cells.right(str(row.completed), width), ""),
        "up": lambda width: (cells.right(up, width), "dim"),
    }
    spans: list[Span] = [("> " if is_selected else "  ", "bold")]
    for position, (name, width) in enumerate(shown.widths.items()):
        if position:
            spans.append((" " * _GAP, ""))
        spans.append(made[name](width))
    line = cells.cut(tuple(spans), columns)
    return (
        tuple((text, f"reverse {style}".strip()) for text, style in line) if is_selected else line
    )
