"""The page: whole by itself, and whatever comes from outside is text."""

import html.parser

import pytest

from scaler.entries import Entry
from scaler.report import asking, figures, lives, page, pictures, words
from scaler.report.asking import Measured
from scaler.report.charts import Axis
from scaler.report.html import Html, row, table, tag, text
from scaler.report.past import gather
from scaler.report.samples import Series
from scaler.times_of_day import LocalTimes
from tests.unit.scaler.report.recorded import GAP, HELD, act, turns, up_and_down

EVIL = "</title><script>alert(1)</script>\"'&\u202e"
STYLE = "body{color:red}"


def measured(name=EVIL) -> Measured:
    def every(value):
        return tuple((float(at), float(value(at))) for at in range(90, 141))

    found = Measured(1, 0.0)
    one = {
        asking.ACCEPTED: every(lambda at: at),
        asking.SERVICE_SUM: every(lambda at: at),
        asking.SERVICE_COUNT: every(lambda at: at),
        asking.CPU_MEAN: every(lambda at: 0.5),
    }
    found.series = {key: [Series({}, points)] for key, points in one.items()}
    found.series[asking.JOBS] = [
        Series({"state": "ready"}, every(lambda at: 0)),
        Series({"state": "leased"}, every(lambda at: at < 100)),
        Series({"state": "done"}, every(lambda at: at)),
    ]
    found.series[asking.CPU] = [Series({"domain": name}, every(lambda at: 0.4))]
    found.series[asking.WAITS] = [
        Series({"le": le}, every(lambda at: at)) for le in ("0.5", "10", "+Inf")
    ]
    found.series[asking.COMPLETED] = [Series({"worker": "vs-1"}, every(lambda at: at))]
    found.series[asking.ALERTS] = [
        Series({"alertname": name, "severity": "page", "domain": name}, every(lambda at: 1))
    ]
    return found


def report(entries: list[Entry], given: Measured, since=90.0, until=140.0) -> page.Report:
    past = gather(entries, since, until, gap_seconds=GAP, held_seconds=HELD)
    course = figures.courses(past, given, least=1, slots=1.0)
    found_acts = lives.acts(past)
    times = LocalTimes(since, until)
    axis = Axis(since, until, times.marks(8))
    found = figures.figures(past, given, course, lives.lives(past), found_acts, price_per_hour=0.1)
    shown = pictures.pictures(past, given, course, axis, 0.8)
    return page.Report(
        pool="default", past=past, measured=given, courses=course, figures=found, acts=found_acts,
        shown=shown, axis=axis, clock=times.clock, full=times.full, made_at=until, version="1",
    )  # fmt: skip


class Parsed(html.parser.HTMLParser):
    def __init__(self, document: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.ids: set[str] = set()
        self.feed(document)
        self.close()

    def handle_starttag(self, name, attributes):
        self.tags.append((name, dict(attributes)))
        if "id" in self.tags[-1][1]:
            given = self.tags[-1][1]["id"]
            assert given not in self.ids, f"two are called {given}"
            self.ids.add(given)

    handle_startendtag = handle_starttag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(self.words)


def evil_entries():
    return [
        *up_and_down(),
        turns(
            140.0,
            states={EVIL: "off"},
            actions=[act("start", EVIL, EVIL)],
            reason=EVIL,
            errors=[EVIL],
            hold={"author": EVIL, "reason": EVIL},
            incidents=[{"domain": EVIL, "incident": EVIL}],
            alerts=[{"rule": EVIL, "alerts": [EVIL], "least": 1, "reason": EVIL}],
            proposals=[{"policy": EVIL, "reason": EVIL, "desired": 3}],
        ),
    ]


def test_script_in_any_name_is_text():
    document = page.render(report(evil_entries(), measured()), STYLE)
    found = Parsed(document)
    names = {name for name, _ in found.tags}
    assert not names & {"script", "img", "iframe", "object", "link", "base", "form"}
    assert document.count("</title>") == document.count("<title>")
    assert not any(key.startswith("on") for _, given in found.tags for key in given)
    assert "<script" not in document
    assert "\u202e" not in document
    assert found.text.count("<script>alert(1)</script>") >= 8, "and none is left out"


def test_nothing_is_fetched_and_every_link_leads_somewhere_on_the_page():
    document = page.render(report(up_and_down(), measured("vs-1")), STYLE)
    found = Parsed(document)
    for name, given in found.tags:
        for key in ("src", "srcset", "action", "data", "poster", "xlink:href"):
            assert key not in given, name
        if "href" in given:
            assert given["href"].startswith("#")
            assert given["href"][1:] in found.ids, given["href"]
    # The one address is the name of a namespace, which nobody asks for.
    assert {one.split('"')[0] for one in document.split("http")[1:]} <= {
        "://www.w3.org/2000/svg",
        "-equiv=",
    }
    assert "@import" not in document
    assert "url(" not in document
    assert "default-src 'none'" in document


def test_tells_what_came_of_it():
    found = Parsed(page.render(report(up_and_down(), measured("vs-1")), STYLE))
    keys = {given.get("id") for _, given in found.tags}
    expected = ("load", "queue", "cpu", "machines", "supply", "waiting", "histogram")
    assert {f"chart-{key}" for key in expected} <= keys
    for words_told in (
        "How the pool default did",
        "50 jobs came in, 1 had come before: 50 done, 0 failed",
        "start vs-1: backlog wanted 1",
        "from call to Hello",
        "failed: it <b>burns</b>",
        "it is off",
        "vs-1: boot finished",
        "the scaler started, with the rules 0123456789ab",
    ):
        assert words_told in found.text, words_told


def test_jobs_without_a_known_wait_are_told():
    given = measured("vs-1")
    given.series[asking.WAITS] = [
        Series({"le": le}, ((90.0, 0.0), (140.0, 30.0))) for le in ("0.5", "10", "+Inf")
    ]
    found = Parsed(page.render(report(up_and_down(), given), STYLE))
    assert "The waiting time of 19 jobs is not known: a dispatcher that is killed" in found.text
    assert "of 30 jobs; that of 19 more is not known" in found.text


def test_of_nothing_it_says_so():
    empty = Measured(1, 0.0, faults=["Prometheus at http://x/ does not answer (ConnectionError)"])
    found = Parsed(page.render(report([], empty), STYLE))
    for words_told in (
        "The scaler recorded no turn in this time",
        "Prometheus at http://x/ does not answer (ConnectionError).",
        "Jobs, queue and waiting times are not known",
        "Supply cannot be held against demand",
        "No turn was recorded.",
        "No override and no alert was in force.",
    ):
        assert words_told in found.text, words_told
    assert not any(name == "svg" for name, _ in found.tags)


@pytest.mark.parametrize(
    ("hole", "told_from", "told_to"),
    [((101, 119), 101, 120), ((90, 99), 90, 100), ((131, 140), 131, 140)],
)
def test_a_silence_of_prometheus_is_told_with_its_times(hole, told_from, told_to):
    given = measured("vs-1")
    for series in given.series.values():
        series[:] = [
            Series(one.labels, tuple(p for p in one.points if not hole[0] <= p[0] <= hole[1]))
            for one in series
        ]
    found = report(up_and_down(), given)
    told = words.unknowns(found.past, found.measured, found.courses, found.figures, found.clock)
    times = f"from {found.clock(told_from)} to {found.clock(told_to)}"
    assert any(
        one.startswith(f"Prometheus has no samples of the dispatcher {times}") for one in told
    )
    assert any("Supply and demand are both known for" in one for one in told)


def test_only_what_was_made_here_is_markup():
    assert tag("p", "<b>", Html("<i>x</i>"), class_='a"b') == (
        '<p class="a&quot;b">&lt;b&gt;<i>x</i></p>'
    )
    assert text("a\x00\x1b[31m\u2066b\n") == "a\ufffd\ufffd[31m\ufffdb\n"
    assert "<td>&lt;td&gt;</td>" in table(["<h>"], [row(["<td>"])])


def test_of_too_many_decisions_those_that_did_something_are_shown():
    states = ({"vs-1": "off"}, {"vs-1": "ready"})
    entries = [turns(90.0 + n / 1000, states=states[n % 2]) for n in range(12_000)]
    entries.append(turns(120.0, states=states[0], actions=[act("start", "vs-1")]))
    document = page.render(report(entries, Measured(1, 0.0)), STYLE)
    found = Parsed(document)
    assert "Of 12,001 decisions 12,000 are left out, first those that did nothing" in found.text
    assert "d-12000" in found.ids
    assert len(document) < 1_000_000
