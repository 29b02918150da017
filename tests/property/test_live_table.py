"""Whatever the pool, the window and what is selected: it fits, and what is missing is counted."""

import re

from hypothesis import given
from hypothesis import strategies as st
from virtscale.client.values import Backlog

from stack import cells, live_table, pool_rows
from stack.live_table import Look, Size
from stack.pool_view import Away, DecisionView, Row, Snapshot
from stack.scaler_view import ScalerView, SignalView

TEXT = st.text(max_size=30)
NAMES = st.lists(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20),
    unique=True,
    max_size=40,
)
RATIOS = st.none() | st.floats(0, 2)
SECONDS = st.floats(0, 1e7)


@st.composite
def snapshots(draw):
    names = draw(NAMES)
    rows = tuple(
        Row(
            name,
            draw(st.sampled_from(sorted(pool_rows.STYLES))),
            draw(RATIOS),
            slots=1,
            leases=draw(st.integers(0, 10**6)),
            completed=draw(st.integers(0, 10**9)),
            state_seconds=draw(st.none() | SECONDS),
        )
        for name in names
    )
    decision = st.builds(DecisionView, SECONDS, st.integers(0, 99), st.integers(0, 99), TEXT, TEXT)
    return Snapshot(
        at=draw(SECONDS),
        rows=rows,
        backlog=draw(st.none() | st.just(Backlog(9, 4, 1, 3, 1, 0, 2.0, 1))),
        results_per_second=draw(RATIOS),
        pool_cpu_ratio=draw(RATIOS),
        decisions=tuple(draw(st.lists(decision, max_size=10))),
        scaler=ScalerView(
            desired=draw(st.none() | st.integers(0, 99)),
            signals=tuple(
                draw(st.lists(st.builds(SignalView, TEXT, TEXT, RATIOS, RATIOS), max_size=6))
            ),
            hold=draw(TEXT),
        ),
        overrides=tuple(draw(st.lists(TEXT, max_size=5))),
        alerts=tuple(draw(st.lists(TEXT, max_size=5))),
        away=tuple(draw(st.lists(st.builds(Away, TEXT, SECONDS, TEXT), max_size=5))),
        curves={name: draw(st.lists(RATIOS, max_size=40)) for name in names[:3]},
    )


@st.composite
def looks(draw, names):
    return Look(
        pool=draw(TEXT),
        load=draw(TEXT),
        selected=draw(st.sampled_from(["", "nobody", *names])),
        order=draw(st.sampled_from(pool_rows.ORDERS)),
        why=tuple(draw(st.lists(TEXT, max_size=8))),
        footer=tuple(draw(st.lists(TEXT, max_size=2))),
    )


def text_of(lines):
    return ["".join(text for text, _ in line) for line in lines]


@given(st.data(), snapshots(), st.integers(1, 220), st.integers(1, 70))
def test_it_fits_and_counts_what_it_leaves_out(data, snapshot, columns, lines):
    look = data.draw(looks([row.name for row in snapshot.rows]))
    drawn = text_of(live_table.draw(snapshot, Size(columns, lines), look, lambda at: "12:00:00"))
    assert len(drawn) <= lines
    for line in drawn:
        assert cells.width(line) <= columns
        assert line == cells.printable(line)
    if columns < 40 or lines < 6:
        return
    number = len(snapshot.rows)
    away = any(part.name == "libvirt" for part in snapshot.away)
    assert drawn[0].startswith(f"{number} domain" if number or not away else "domains not known")
    shown = sum(line[:2] in ("  ", "> ") and is_row(line, snapshot) for line in drawn)
    more = [re.match(r"\.\.\. (\d+) more domains", line) for line in drawn]
    assert shown + sum(int(found[1]) for found in more if found) == number


def is_row(line, snapshot):
    """A row has its state; nothing else begins with two cells and has one."""
    return re.match(rf"(  |> ).+ ({'|'.join(pool_rows.STYLES)}) ", line + " ") is not None


@given(st.data(), snapshots(), st.integers(40, 220), st.integers(12, 70))
def test_who_is_selected_is_always_seen(data, snapshot, columns, lines):
    names = [row.name for row in snapshot.rows]
    look = data.draw(looks(names))
    drawn = text_of(live_table.draw(snapshot, Size(columns, lines), look, lambda at: "12:00:00"))
    if look.selected in names:
        assert any(line.startswith("> ") for line in drawn)


@given(snapshots(), st.integers(-100, 100), st.sampled_from(pool_rows.ORDERS))
def test_a_step_selects_somebody_if_there_is_anybody(snapshot, step, order):
    found = live_table.next_selected(snapshot, Look(order=order), step)
    assert found in [row.name for row in snapshot.rows] or (not snapshot.rows and found == "")


@given(st.lists(TEXT, max_size=50), st.integers(1, 100), st.integers(1, 40), st.integers(-5, 99))
def test_a_longer_text_fits_too(text, columns, lines, offset):
    drawn = text_of(live_table.draw_text("why", text, Size(columns, lines), offset=offset))
    assert len(drawn) <= lines
    assert all(cells.width(line) <= columns for line in drawn)


@given(st.text(max_size=60), st.integers(4, 40))
def test_folding_loses_no_letter(text, columns):
    folded = cells.folded(cells.printable(text), columns)
    assert "".join("".join(folded).split()) == "".join(cells.printable(text).split())
    assert all(cells.width(line) <= columns for line in folded)
