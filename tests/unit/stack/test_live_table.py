import pytest
from virtscale.client.values import Backlog

from stack import live_table
from stack.live_table import Look, Size
from stack.pool_view import Away, DecisionView, Row, Snapshot
from stack.scaler_view import ScalerView, SignalView

WIDE = Size(100, 30)


def clock(moment):
    return f"@{moment:.0f}"


def row(name, state="idle", cpu=None, leases=0):
    return Row(name, state, cpu, slots=1, leases=leases, completed=7, state_seconds=61.0)


def drawn(snapshot, size=WIDE, look=Look()):  # noqa: B008 (a value)
    return [
        "".join(text for text, _ in line) for line in live_table.draw(snapshot, size, look, clock)
    ]


FULL = Snapshot(
    at=100.0,
    rows=(row("vs-1", "busy", 0.5, 2), row("vs-2", "off")),
    backlog=Backlog(9, 4, 1, 3, 1, 0, 2.0, 1),
    results_per_second=1.25,
    pool_cpu_ratio=0.93,
    decisions=(DecisionView(99.0, 1, 2, "demand", "cpu 0.93; so: start vs-2", "so: start vs-2"),),
    scaler=ScalerView(
        at=98.0,
        current=1,
        desired=2,
        signals=(SignalView("cpu", "known", 0.93, 3.0), SignalView("demand", "error")),
        alert_effects=("alert floor (at least 3): Fair",),
        hold="paused by ann",
    ),
    overrides=("k3  floor 2, until removed, by ann",),
    alerts=("JobsLate (page) x2",),
    away=(Away("dispatcher", 40.0, "no answer"),),
    curves={"vs-1": [0.0, 1.0]},
)


def test_everything_that_is_known_is_shown():
    text = "\n".join(drawn(FULL, look=Look(pool="default", load="delta 1 s", footer=("q: leave",))))
    for words in (
        "2 domains: 1 busy, 1 off  pool default  @100",
        "current 1, desired 2  queue 4  oldest waits 2 s  leased 1  done 3  failed 1",
        "pool CPU 93%  delta 1 s",
        "dispatcher is away since @40 (1 m 00 s): no answer",
        "scaling is held: paused by ann",
        "override k3  floor 2",
        "alert JobsLate (page) x2",
        "for an alert, alert floor (at least 3): Fair",
        "cpu 0.93 (5 s old)  demand error",
        "cold",
        "#---",
        "    50%",
        "▁█",
        "1 m 01 s",
        "@99 1 -> 2 demand: so: start vs-2; cpu 0.93",
    ):
        assert words in text
    assert drawn(FULL, look=Look(footer=("q: leave",)))[-1] == "q: leave"


def test_nothing_known_is_not_zero():
    assert drawn(Snapshot(at=1.0))[1] == "nothing seen yet"
    away = Snapshot(at=1.0, away=(Away("libvirt", 0.0, "gone"),))
    assert drawn(away)[0].startswith("domains not known")


def test_narrow_columns_give_way_and_are_named():
    lines = drawn(FULL, Size(40, 30), Look(footer=("q",)))
    assert any(line.startswith("no room for: columns") for line in lines)
    assert any(line.split() == ["vs-1", "busy", "50%", "2"] for line in lines)


def test_many_domains_are_counted_around_the_selected_one():
    rows = tuple(row(f"vs-{number}") for number in range(1000))
    lines = drawn(Snapshot(at=1.0, rows=rows), Size(80, 12), Look(selected="vs-500"))
    assert "> vs-500" in "\n".join(lines)
    assert any(
        line.startswith("... 992 more domains, 496 of them above: 992 idle") for line in lines
    )


def test_a_long_explanation_says_how_it_goes_on():
    look = Look(selected="vs-1", why=tuple(f"line {number}" for number in range(40)))
    lines = drawn(FULL, Size(100, 24), look)
    assert any("more lines of why; Enter shows all" in line for line in lines)


@pytest.mark.parametrize(
    ("order", "first"), [("name", "a"), ("state", "c"), ("CPU", "b"), ("leases", "a")]
)
def test_orders(order, first):
    rows = (row("a", leases=3), row("b", "busy", 0.9, 1), row("c", "error"))
    snapshot = Snapshot(at=1.0, rows=rows)
    assert live_table.next_selected(snapshot, Look(order=order), 1) == first


def test_orders_follow_each_other_in_a_circle():
    order = "name"
    for _ in range(4):
        order = live_table.next_order(order)
    assert order == "name"


def test_a_text_scrolls_and_stops_at_its_end():
    text = [f"line {number}" for number in range(50)]
    lines = live_table.draw_text("vs-1: why", text, Size(60, 10), offset=3)
    assert [line[0][0] for line in lines[:2]] == ["vs-1: why", "line 3"]
    assert "(39 lines more)" in lines[-1][0][0]
    last = live_table.draw_text("vs-1: why", text, Size(60, 10), offset=999)
    assert last[-2][0][0] == "line 49"
