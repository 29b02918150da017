import html.parser
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaler.status_page.composition import compose
from scaler.status_page.html_page import COLUMNS, fragments, page
from scaler.status_page.load import POINTS, Load
from tests.unit.scaler.status_page.facts import (
    SCRIPT,
    action,
    alert,
    decision,
    domain,
    entry,
    facts,
    load,
    override,
    status,
)

VOID = {"meta", "link", "input", "rect", "polyline", "polygon"}


class Parsed(html.parser.HTMLParser):
    """Tags, their attributes and the text, and whether every tag is closed in order."""

    def __init__(self, text):
        super().__init__()
        self.tags = []
        self.words = []
        self._open = []
        self.feed(text)
        self.close()
        assert self._open == [], "tags left open"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self._open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return "".join(self.words)

    def attributes(self, name):
        return [attributes[name] for _, attributes in self.tags if name in attributes]


def everywhere(text):
    """A view in which everything that somebody else writes is `text`."""
    effect = {"rule": text, "reason": "alert_raise", "least": 3, "alerts": [text]}
    signals = {text: {"kind": "failed", "detail": text}}
    proposal = {**decision()["proposals"][0], "policy": text}
    told = status(
        [domain(text, foreign_scaler=text), domain(text + "2", text, operation=text)],
        alerts=[effect],
        signals=signals,
        proposals=[proposal],
        errors=[text],
        reason=text,
    )
    result = {"type": "result", "time": 1.0, "id": 3, "action": text, "domain": text}
    return compose(
        facts(
            pool=text,
            status=told,
            entries=[
                entry(1, actions=[action("start", text, text)], errors=[text]),
                entry(2, reason=text, config=text),
                {**result, "outcome": "failed", "error": text},
            ],
            overrides=[
                override("pause", author=text, reason=text, id=text),
                override("drain", domain=text, id="b"),
            ],
            contradictions=[text],
            alerts=[alert(text, **{text: text})],
            load=Load(dispatcher_fault=text, prometheus_fault=text),
        )
    )


def test_a_script_is_text_wherever_it_stands():
    parsed = Parsed(page(everywhere(SCRIPT), "UTC"))
    assert parsed.text.count(SCRIPT) > 15
    assert [attributes.get("src") for tag, attributes in parsed.tags if tag == "script"] == [
        "/page/page.js?"
    ]
    assert SCRIPT in parsed.attributes("data-name")
    assert SCRIPT in parsed.attributes("data-domain") or SCRIPT in parsed.attributes("data-id")


@settings(max_examples=30)
@given(st.text(min_size=1, max_size=30))
def test_no_text_makes_a_tag(text):
    """As many tags as with a harmless word: nothing that is text has become markup."""
    harmless = [tag for tag, _ in Parsed(page(everywhere("x"), "UTC")).tags]
    assert [tag for tag, _ in Parsed(page(everywhere(text), "UTC")).tags] == harmless


def test_nothing_is_fetched_from_elsewhere_and_nothing_runs_inline():
    parsed = Parsed(page(compose(facts()), "UTC"))
    addresses = parsed.attributes("src") + parsed.attributes("href")
    assert all(one.startswith(("/", "#")) and not one.startswith("//") for one in addresses)
    names = {name for _, attributes in parsed.tags for name in attributes}
    assert "style" not in names
    assert not [name for name in names if name.startswith("on")]
    assert "style" not in {tag for tag, _ in parsed.tags}


def test_without_javascript_everything_is_there_and_read_anew():
    many = [domain(f"vs-{number}") for number in range(300)]
    text = page(compose(facts(status=status(many), load=load(**{"vs-7": 0.42}))), "CEST")
    assert text.count("<tr data-name=") == 300
    assert '<noscript><meta http-equiv="refresh" content="5"></noscript>' in text
    told = Parsed(text).text
    for part in ("42%", "Steady", "under 2 s", "CEST", "backlog", "virtscale override"):
        assert part in told


def test_tables_have_heads_and_the_page_has_landmarks():
    parsed = Parsed(page(everywhere("x"), "UTC"))
    tags = [tag for tag, _ in parsed.tags]
    for landmark in ("header", "main", "nav", "footer"):
        assert tags.count(landmark) == 1
    scopes = [attributes.get("scope") for tag, attributes in parsed.tags if tag == "th"]
    assert set(scopes) == {"col", "row"}
    assert scopes.count("col") >= len(COLUMNS)
    ids = parsed.attributes("id")
    assert len(ids) == len(set(ids))
    for name in ("aria-labelledby", "aria-describedby", "for"):
        assert set(parsed.attributes(name)) <= set(ids)
    assert "polite" in parsed.attributes("aria-live")


def test_unknown_is_never_a_number():
    nothing = [domain("a", "booting", slots=None, busy_slots=None, leases=None)]
    cells = fragments(compose(facts(status=status(nothing), load=Load()))).rows["a"]
    dash = "\N{EN DASH}"
    assert [cells[COLUMNS.index(name)] for name in ("CPU", "Last 10 min", "Leases", "Slots")] == [
        dash
    ] * 4


def test_a_sparkline_has_gaps_where_nothing_is_known():
    known = load(a=0.5)
    points = (None, 0.0, 1.0, None, *(None,) * (POINTS - 6), 0.5, 2.0)
    history = replace(known.history, cpu={"a": points})
    view = compose(facts(status=status([domain("a")]), load=replace(known, history=history)))
    lines = [
        attributes["points"]
        for tag, attributes in Parsed(fragments(view).rows["a"][3]).tags
        if tag == "polyline"
    ]
    assert lines == ["3.0,21.0 6.0,1.0", "117.0,11.0 120.0,1.0"]


@pytest.mark.parametrize("count", [0, 1, 1000])
def test_the_strip_shows_every_domain(count):
    view = compose(facts(status=status([domain(f"vs-{one}") for one in range(count)])))
    strip = fragments(view).sections["capacity"]
    assert strip.count("<rect") == min(1, count)
    assert f"<b>{count:,}</b> ready" in strip or count == 0
