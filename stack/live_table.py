"""The live table: a snapshot, the size of a terminal and what a person chose become lines. Pure.

No line is wider than the terminal and there are no more lines than it has. What finds no room is
counted in the place where it would stand, or in the last line: nothing is left out silently.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from stack import cells
from stack.cells import Line, Span
from stack.pool_rows import ORDERS, Order, column_names, heading, ordered, row_line
from stack.pool_view import Row, Snapshot

Clock = Callable[[float], str]
"""A Unix time as a person reads it: the hour, minute and second where they are."""


@dataclass(frozen=True)
class Size:
    """Of a terminal, in cells."""

    columns: int
    lines: int


@dataclass(frozen=True)
class Look:
    """What a person chose to see, and what is said to them."""

    pool: str = ""
    load: str = ""
    selected: str = ""
    """Name of a domain; empty when none is selected."""
    order: Order = "name"
    why: tuple[str, ...] = ()
    """Why the selected domain was, or was not, chosen."""
    decisions: int = 10
    """How many of the last ones there is room for at most."""
    footer: tuple[str, ...] = ()
    """The last lines; the newest thing said comes first."""


@dataclass
class _Section:
    """Lines that belong together; `granted` of them find room."""

    noun: str
    lines: list[Line]
    granted: int = 0

    @property
    def missing(self) -> int:
        return len(self.lines) - self.granted


# In this order sections get room, up to so many lines; None: all that they have.
_GRANTS: tuple[tuple[str, int | None], ...] = (
    ("title", None),
    ("footer", 1),
    ("rows", 3),
    ("counts", 2),
    ("away", 2),
    ("footer", None),
    ("orders", 2),
    ("rows", 5),
    ("counts", None),
    ("why", 4),
    ("signals", None),
    ("away", None),
    ("orders", None),
    ("decisions", 3),
    ("rows", None),
    ("why", None),
    ("decisions", None),
)
_LINES_FOR_A_REMARK = 5


@dataclass
class _Page:
    """Gives room to sections, the most important first."""

    sections: dict[str, _Section] = field(default_factory=dict)
    room: int = 0

    def add(self, name: str, noun: str, lines: list[Line]) -> None:
        self.sections[name] = _Section(noun, lines)

    def arrange(self, room: int) -> None:
        self.room = room
        for section in self.sections.values():
            section.granted = 0
        for name, most in _GRANTS:
            section = self.sections[name]
            wanted = len(section.lines) if most is None else min(most, len(section.lines))
            more = max(0, min(self.room, wanted - section.granted))
            section.granted += more
            self.room -= more

    def left_out(self) -> list[str]:
        """What has no line at all."""
        return [
            f"{section.noun} ({section.missing})"
            for section in self.sections.values()
            if section.noun and section.missing and not section.granted
        ]


def draw(snapshot: Snapshot, size: Size, look: Look, clock: Clock) -> list[Line]:
    """The whole screen."""
    columns = max(1, size.columns)
    page = _Page()
    rows = ordered(snapshot.rows, look.order)
    page.add("title", "", [cells.cut(_title(snapshot, look, clock), columns)])
    page.add("footer", "", _footer(look, columns))
    page.add("counts", "figures", cells.flow(counts(snapshot, look.load), columns))
    page.add("away", "parts that do not answer", _away(snapshot, columns, clock))
    page.add("orders", "orders and alerts", _orders(snapshot, columns))
    page.add("signals", "signals", _signals(snapshot, columns))
    page.add("why", "lines of why; Enter shows all", _why(look, columns))
    page.add("decisions", "decisions", _decisions(snapshot, look, columns, clock))
    # Only how many there are; drawn when it is known how much room there is.
    page.add("rows", "domains", [()] * (len(rows) + 1))
    hidden = column_names(rows, columns).hidden if rows else []
    page.arrange(max(1, size.lines))
    if (hidden or page.left_out()) and not page.room and size.lines >= _LINES_FOR_A_REMARK:
        # A line for saying what has no room.
        page.arrange(size.lines - 1)
        page.room = 1
    table = _table(rows, page.sections["rows"].granted, columns, look, snapshot)
    shown = {
        name: _counted(section, columns) if section.missing else section.lines
        for name, section in page.sections.items()
    }
    order = ("title", "counts", "away", "orders", "signals")
    drawn = [line for name in order for line in shown[name]]
    drawn += [*table, *shown["why"], *shown["decisions"]]
    return [*drawn, *_last_lines(page, hidden, columns)]


def draw_text(title: str, text: Sequence[str], size: Size, *, offset: int) -> list[Line]:
    """A longer text on the whole screen from its line `offset` on."""
    columns, room = max(1, size.columns), max(1, size.lines - 2)
    lines = [part for line in text for part in cells.folded(cells.printable(line), columns)]
    offset = max(0, min(offset, len(lines) - room))
    below = max(0, len(lines) - offset - room)
    keys = "Enter, Esc: back  arrows: scroll" + (f"  ({below} lines more)" if below else "")
    drawn: list[Line] = [((cells.fit(cells.printable(title), columns), "bold"),)]
    drawn += [((line, ""),) for line in lines[offset : offset + room]]
    return [*drawn, ((cells.fit(keys, columns), "dim"),)][: max(1, size.lines)]


def counts(snapshot: Snapshot, load: str = "") -> list[Span]:
    """Pool, queue, rate and CPU, one piece each."""
    scaler, backlog = snapshot.scaler, snapshot.backlog
    pieces: list[Span] = []
    if scaler.desired is not None:
        changing = scaler.desired != scaler.current
        current = "?" if scaler.current is None else scaler.current
        pieces.append((f"current {current}, desired {scaler.desired}", "bold" if changing else ""))
    if backlog is not None:
        pieces += [(f"queue {backlog.ready}", "bold" if backlog.ready else "")]
        if backlog.ready and backlog.oldest_ready_seconds is not None:
            pieces.append((f"oldest waits {cells.duration(backlog.oldest_ready_seconds)}", ""))
        pieces += [(f"leased {backlog.leased}", ""), (f"done {backlog.done}", "")]
        if backlog.failed:
            pieces.append((f"failed {backlog.failed}", "red"))
    if snapshot.results_per_second is not None:
        pieces.append((f"{snapshot.results_per_second:.1f} results/s", ""))
    if snapshot.pool_cpu_ratio is not None:
        pieces.append((f"pool CPU {snapshot.pool_cpu_ratio:.0%}", ""))
    if load:
        pieces.append((cells.printable(load), ""))
    return pieces or [("nothing seen yet", "dim")]


def _title(snapshot: Snapshot, look: Look, clock: Clock) -> Line:
    number = len(snapshot.rows)
    pool = cells.printable(f" {look.pool}") if look.pool else ""
    states = _states(snapshot.rows)
    words = f"{number} domain{'' if number == 1 else 's'}" + (f": {states}" if states else "")
    if not number and any(part.name == "libvirt" for part in snapshot.away):
        words = "domains not known"
    return ((words, "bold"), (f"  pool{pool}  {clock(snapshot.at)}", "dim"))


def _states(rows: Sequence[Row]) -> str:
    found = Counter(row.state for row in rows)
    return ", ".join(f"{count} {state}" for state, count in sorted(found.items()))


def _away(snapshot: Snapshot, columns: int, clock: Clock) -> list[Line]:
    lines: list[Line] = []
    for part in snapshot.away:
        seconds = cells.duration(snapshot.at - part.since)
        text = f"{part.name} is away since {clock(part.since)} ({seconds}): {part.reason}"
        lines.append(((cells.fit(cells.printable(text), columns), "red"),))
    return lines


def _orders(snapshot: Snapshot, columns: int) -> list[Line]:
    held = snapshot.scaler.hold
    # A pause is an override like others; holding came before there were any.
    is_listed = any("pause" in one for one in snapshot.overrides)
    found = [(f"scaling is held: {held}", "yellow")] if held and not is_listed else []
    found += [(f"override {one}", "yellow") for one in snapshot.overrides]
    found += [(f"alert {one}", "red") for one in snapshot.alerts]
    found += [(f"for an alert, {one}", "yellow") for one in snapshot.scaler.alert_effects]
    return [((cells.fit(cells.printable(text), columns), style),) for text, style in found]


def _signals(snapshot: Snapshot, columns: int) -> list[Line]:
    pieces: list[Span] = []
    # As old as it was when the scaler used it, and as much older as that is ago.
    passed = 0.0 if snapshot.scaler.at is None else max(0.0, snapshot.at - snapshot.scaler.at)
    for signal in snapshot.scaler.signals:
        value = "" if signal.value is None else f" {signal.value:.2f}"
        kind = "" if signal.kind == "known" else f" {signal.kind}"
        age = (
            ""
            if signal.age_seconds is None
            else f" ({cells.duration(signal.age_seconds + passed)} old)"
        )
        text = cells.printable(f"{signal.name}{value}{kind}{age}")
        pieces.append((text, "" if signal.kind == "known" else "yellow"))
    return cells.flow([("signals:", "dim"), *pieces], columns) if pieces else []


def _why(look: Look, columns: int) -> list[Line]:
    return [
        ((part, "cyan"),)
        for line in look.why
        for part in cells.folded(cells.printable(line), columns)
    ]


def _decisions(snapshot: Snapshot, look: Look, columns: int, clock: Clock) -> list[Line]:
    lines: list[Line] = []
    for decision in snapshot.decisions[: look.decisions]:
        change = "" if decision.desired is None else f"{decision.current} -> {decision.desired} "
        # What follows comes first: a narrow window cuts the end.
        why = decision.text
        if decision.follows:
            why = f"{decision.follows}; {decision.text.removesuffix(decision.follows)}".rstrip("; ")
        text = f"{clock(decision.at)} {change}{decision.reason}: {why}"
        lines.append(((cells.fit(cells.printable(text), columns), "dim"),))
    return lines


def _footer(look: Look, columns: int) -> list[Line]:
    return [((cells.fit(cells.printable(line), columns), ""),) for line in look.footer]


def _counted(section: _Section, columns: int) -> list[Line]:
    """What has room, its last line giving way to how many are missing."""
    if not section.granted:
        return []
    kept = section.lines[: section.granted - 1]
    text = f"... {len(section.lines) - len(kept)} more {section.noun}"
    return [*kept, ((cells.fit(text, columns), "dim"),)]


def _table(
    rows: Sequence[Row], room: int, columns: int, look: Look, snapshot: Snapshot
) -> list[Line]:
    """The rows that have room, the selected one among them, and how many have none."""
    if not rows or room == 0:
        return []
    shown = column_names(rows, columns)
    lines = [] if room < 3 and room <= len(rows) else [heading(shown, columns)]
    free = room - len(lines)
    is_whole = free >= len(rows)
    visible = len(rows) if is_whole else free - 1
    names = [row.name for row in rows]
    place = names.index(look.selected) if look.selected in names else 0
    first = max(0, min(place - visible // 2, len(rows) - visible))
    for row in rows[first : first + visible]:
        curve = snapshot.curves.get(row.name, ())
        lines.append(
            row_line(row, shown, columns, curve=curve, is_selected=row.name == look.selected)
        )
    if not is_whole:
        rest = [*rows[:first], *rows[first + visible :]]
        above = f", {first} of them above" if first and visible else ""
        text = f"... {len(rest)} more domains{above}: {_states(rest)}"
        lines.append(((cells.fit(text, columns), "bold"),))
    return lines


def _last_lines(page: _Page, hidden: Sequence[str], columns: int) -> list[Line]:
    """The footer; before its last line what had no room at all, as far as there is any."""
    footer = page.sections["footer"]
    lines = footer.lines[len(footer.lines) - footer.granted :]
    missing = page.left_out() + ([f"columns {', '.join(hidden)}"] if hidden else [])
    if not missing:
        return lines
    text: Span = (cells.fit(f"no room for: {'; '.join(missing)}", columns), "dim")
    if page.room > 0:
        return [*lines[:-1], (text,), *lines[-1:]]
    # The keys give way: what is missing matters more.
    return [*lines[:-1], (text,)] if lines else []


def next_selected(snapshot: Snapshot, look: Look, step: int) -> str:
    """The domain `step` rows below the selected one; without one, from either end."""
    names = [row.name for row in ordered(snapshot.rows, look.order)]
    if not names:
        return ""
    outside = -1 if step > 0 else len(names)
    place = names.index(look.selected) if look.selected in names else outside
    return names[max(0, min(len(names) - 1, place + step))]


def next_order(order: Order) -> Order:
    """The order after this one, the first after the last."""
    return ORDERS[(ORDERS.index(order) + 1) % len(ORDERS)]
