"""The live table and the status line, from a snapshot."""

import time
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from stack.cells import printable
from stack.pool_rows import STYLES
from stack.pool_view import Row, Snapshot

_BAR_WIDTH = 12


def render(snapshot: Snapshot, *, load: str = "", footer: Sequence[str] = ()) -> RenderableType:
    """The whole screen below the start-up messages."""
    table = Table(title=None, expand=False, pad_edge=False)
    for heading, justify in (
        ("domain", "left"),
        ("state", "left"),
        ("CPU", "left"),
        ("leases", "right"),
        ("done", "right"),
    ):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    for row in snapshot.rows:
        table.add_row(
            Text(printable(row.name)),
            Text(row.state, STYLES[row.state]),
            cpu(row),
            str(row.leases),
            str(row.completed),
        )
    lines: list[RenderableType] = [table, Text(counts(snapshot) + (f" | {load}" if load else ""))]
    if snapshot.override:
        lines.append(Text(f"scaling is held: {snapshot.override}", "yellow"))
    for decision in snapshot.decisions[:3]:
        change = "" if decision.desired is None else f"{decision.current} -> {decision.desired} "
        lines.append(
            Text(f"{clock(decision.at)} {change}{decision.reason}: {decision.text}", "dim")
        )
    lines += [Text(trouble, "red") for trouble in snapshot.troubles]
    lines += [Text(line) for line in footer]
    return Group(*lines)


def clock(moment: float) -> str:
    """A Unix time as hour, minute and second of this machine's time zone."""
    return time.strftime("%H:%M:%S", time.localtime(moment))


def counts(snapshot: Snapshot) -> str:
    """Queue, rate and CPU in one line."""
    parts = []
    if snapshot.backlog is not None:
        parts.append(
            f"queue {snapshot.backlog.ready} | leased {snapshot.backlog.leased} | "
            f"done {snapshot.backlog.done}"
        )
        if snapshot.backlog.failed:
            parts.append(f"failed {snapshot.backlog.failed}")
    if snapshot.results_per_second is not None:
        parts.append(f"{snapshot.results_per_second:.1f} results/s")
    if snapshot.pool_cpu_ratio is not None:
        parts.append(f"pool CPU {snapshot.pool_cpu_ratio:.0%}")
    return " | ".join(parts) or "nothing seen yet"


def status_line(snapshot: Snapshot, *, load: str = "") -> str:
    """One line for a log or a screen without a terminal."""
    states: dict[str, int] = {}
    for row in snapshot.rows:
        states[row.state] = states.get(row.state, 0) + 1
    pool = ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "no domains"
    line = f"{clock(snapshot.at)} {pool} | {counts(snapshot)}"
    if load:
        line += f" | {load}"
    if snapshot.decisions:
        line += f" | last decision: {snapshot.decisions[0].reason}"
    for part in snapshot.away:
        line += f" | {part.name} away since {clock(part.since)}"
    return line


def cpu(row: Row) -> str:
    """`######------  48 %`, or nothing for a domain that is off."""
    if row.cpu_ratio is None:
        return ""
    filled = max(0, min(_BAR_WIDTH, round(row.cpu_ratio * _BAR_WIDTH)))
    return "#" * filled + "-" * (_BAR_WIDTH - filled) + f" {row.cpu_ratio:4.0%}"
