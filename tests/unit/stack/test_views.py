"""What is shown: rows, table, sentences, summary."""

import random
from io import StringIO

import pytest
from rich.console import Console
from virtscale.client.values import Backlog, Worker

from stack import pool_view, summary, table
from stack.journal import Journal
from stack.pool_view import DecisionView, Snapshot
from stack.ports import DomainView
from stack.run_record import RunRecord

NOW = 1_000.0


def worker(state="ready", *, busy=0, name="vs-1") -> Worker:
    return Worker(name, state, 1, busy, busy, 3, 900.0, None, None)


@pytest.mark.parametrize(
    ("domain", "seen", "since", "state"),
    [
        (DomainView("vs-1", "off"), None, None, "off"),
        (DomainView("vs-1", "saved"), None, None, "saved"),
        (DomainView("vs-1", "paused"), worker(), 990.0, "paused"),
        (DomainView("vs-1", "paused", "start", 999.0), None, 999.0, "booting"),
        (DomainView("vs-1", "running"), None, 990.0, "booting"),
        (DomainView("vs-1", "running"), None, 800.0, "error"),
        (DomainView("vs-1", "crashed"), worker(), 990.0, "error"),
        (DomainView("vs-1", "running"), worker(), 990.0, "idle"),
        (DomainView("vs-1", "running"), worker(busy=1), 990.0, "busy"),
        (DomainView("vs-1", "running"), worker("draining", busy=1), 990.0, "draining"),
        (DomainView("vs-1", "running", "shutdown", 1.0), worker(), 990.0, "stopping"),
    ],
)
def test_the_state_of_a_domain_in_one_word(domain, seen, since, state) -> None:
    since_by_name = {} if since is None else {"vs-1": since}
    (row,) = pool_view.rows([domain], [seen] if seen else [], {}, since_by_name, NOW)
    assert row.state == state


def test_a_worker_outside_the_pool_is_shown_too() -> None:
    rows = pool_view.rows([], [worker(name="laptop"), worker("disconnected")], {}, {}, NOW)
    assert [(row.name, row.state) for row in rows] == [("laptop", "idle")]


def snapshot() -> Snapshot:
    return Snapshot(
        at=NOW,
        rows=pool_view.rows(
            [DomainView("vs-1", "running"), DomainView("vs-2", "off")],
            [worker(busy=1)],
            {"vs-1": 0.5},
            {"vs-1": 990.0},
            NOW,
        ),
        backlog=Backlog(9, 4, 1, 3, 1, 0, 2.0, 1),
        results_per_second=1.25,
        pool_cpu_ratio=0.93,
        decisions=(DecisionView(NOW, 1, 2, "demand", "cpu 0.93"),),
        troubles=("libvirt is away",),
    )


def test_the_table_shows_domains_queue_decisions_and_troubles() -> None:
    output = StringIO()
    Console(file=output, width=160).print(table.render(snapshot(), load="delta 1 s", footer=["> "]))
    text = output.getvalue()
    for word in ("vs-1", "busy", "50%", "vs-2", "off", "queue 4", "failed 1", "1 -> 2 demand"):
        assert word in text
    assert "libvirt is away" in text


def test_one_line_says_the_same_without_a_terminal() -> None:
    line = table.status_line(snapshot(), load="delta 1 s")
    assert "1 busy, 1 off | queue 4 | leased 1 | done 3" in line
    assert line.endswith("delta 1 s | last decision: demand")


def document(*, left=0, lost=0, early=False, submitted=0) -> dict[str, object]:
    journal = Journal(prefix="x-", draw=random.Random(1).random)
    journal.accepted([(str(n), f"x-{n}", "KA", 1.0) for n in range(submitted)], at=1.0)
    facts = summary.Facts(60.0, 1.0, {"scaler": 3.0}, {"scaler": 1}, 1.0, "tcg", "sha256:0", "x")
    outcome = summary.Outcome(lost, 0, left, early)
    return summary.build(journal, RunRecord(least=1), outcome, facts)


def test_the_summary_has_the_promised_keys() -> None:
    assert {
        "submitted",
        "completed",
        "failed",
        "lost",
        "duplicated",
        "peak_domains",
        "domains_left_running",
        "first_scale_out_seconds",
        "scale_outs",
        "scale_ins",
        "elapsed_seconds",
    } <= document().keys()
    assert document()["services_cpu_ratio"] == 0.05
    assert document()["first_scale_out_seconds"] is None


def test_a_run_is_good_only_without_loss_leftovers_or_forgotten_jobs() -> None:
    assert summary.is_good(document())
    assert not summary.is_good(document(lost=1))
    assert not summary.is_good(document(left=1))
    assert not summary.is_good(document(submitted=2))
    assert summary.is_good(document(submitted=2, early=True))
    assert "2 jobs are stored" in summary.sentence(document(submitted=2, early=True))


def test_a_summary_file_is_emptied_only_when_it_is_written(tmp_path) -> None:
    path = tmp_path / "out.json"
    path.write_text('{"old": "and much longer than the new one"}', encoding="utf-8")
    file = summary.SummaryFile(str(path))
    assert "old" in path.read_text(encoding="utf-8")
    file.write({"a": 1})
    assert path.read_text(encoding="utf-8") == '{\n  "a": 1\n}\n'
