import json

from hypothesis import given
from hypothesis import strategies as st

from scaler.status_page.changes import since, whole
from scaler.status_page.html_page import Fragments

_words = st.text("abc", max_size=2)
_names = st.sampled_from(["vs-1", "vs-2", "vs-3", "0"])
_fragments = st.builds(
    Fragments,
    sections=st.fixed_dictionaries({"queue": _words, "clock": _words}),
    rows=st.dictionaries(_names, st.lists(_words, min_size=3, max_size=3)),
    events=st.dictionaries(st.sampled_from("123"), _words),
    version=st.just("v"),
)


def applied(state, change):
    """What the page's script does with a change."""
    state = json.loads(json.dumps(state))
    change = json.loads(json.dumps(change))
    state["sections"].update(change["sections"])
    for name, cells in change.get("rows", {}).items():
        row = state["rows"].setdefault(name, [None] * 3)
        for place, cell in cells.items():
            row[int(place)] = cell
    state["order"] = change.get("order", state["order"])
    state["rows"] = {name: state["rows"][name] for name in state["order"]}
    state["events"].update(change.get("events", {}))
    state["timeline"] = change.get("timeline", state["timeline"])
    state["events"] = {key: state["events"][key] for key in state["timeline"]}
    return state


@given(_fragments, _fragments)
def test_the_changes_applied_to_what_was_make_what_is(before, now):
    assert applied(whole(before), since(before, now)) == json.loads(json.dumps(whole(now)))


@given(_fragments)
def test_nothing_new_is_nothing(now):
    assert not any(since(now, now).values())


def test_a_cell_that_changed_goes_alone():
    before = Fragments({}, {"a": ["a", "x", "1"], "b": ["b", "x", "1"]}, {}, "v")
    now = Fragments({}, {"a": ["a", "x", "2"], "b": ["b", "x", "1"]}, {}, "v")
    assert since(before, now) == {"sections": {}, "rows": {"a": {2: "2"}}}
