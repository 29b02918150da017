import re
from typing import Any

from collector.domain_xml import Description
from collector.libvirt_source.assembly import Findings, is_chosen_by, records
from collector.libvirt_source.bulk import Answer
from collector.records import Control


def everyone(_name: Any) -> Any:
    return True


def seen(*names: Any) -> Any:
    return [(f"uuid-{name}", Answer(name, 1, {"state.state": 1})) for name in names]


def test_the_latest_answer_counts_and_the_survey_where_there_is_none() -> None:
    found = Findings(answers={"uuid-a": Answer("a", 2, {"cpu.time": 7})})
    first, second = records(seen("b", "a"), found, everyone)
    assert (first.name, first.number, first.statistics) == ("a", 2, {"cpu.time": 7})
    assert (second.name, second.number, second.statistics) == ("b", 1, {"state.state": 1})


def test_everything_that_was_found_is_in_the_record() -> None:
    description = Description(title="t")
    found = Findings(
        answers={},
        hung=frozenset({"uuid-a"}),
        controls={"uuid-a": Control(2, 1.5)},
        basics={"uuid-a": {"vcpu.current": 2, "state.state": 9}},
        descriptions={"uuid-a": description},
        jobs={"uuid-a": {"type": 1}},
        io_limits={"uuid-a": {"vda": {"read_bytes_sec": 1}}},
    )
    (record,) = records(seen("a"), found, everyone)
    assert record.is_timed_out
    assert record.control == Control(2, 1.5)
    assert record.description is description
    assert record.job == {"type": 1}
    assert record.io_limits == {"vda": {"read_bytes_sec": 1}}
    # One source for each value: the bulk statistics where they tell it.
    assert record.statistics == {"state.state": 1, "vcpu.current": 2}


def test_who_has_gone_or_is_not_wanted_is_absent() -> None:
    found = Findings(answers={"uuid-a": Answer("unwanted", 1, {})}, gone=frozenset({"uuid-b"}))
    left = records(seen("a", "b", "c"), found, lambda name: name != "unwanted")
    assert [one.name for one in left] == ["c"]


def test_a_name_is_there_once() -> None:
    found = Findings(answers={"uuid-a": Answer("b", 1, {})})
    assert len(records(seen("a", "b"), found, everyone)) == 1


def test_filters_match_whole_names() -> None:
    include, exclude = re.compile("web-.*").fullmatch, re.compile("web-1").fullmatch
    names = ["web-1", "web-11", "db-1", "a-web-2"]

    def chosen(test: Any) -> Any:
        return [name for name in names if test(name)]

    assert chosen(is_chosen_by(None, None)) == names
    assert chosen(is_chosen_by(include, None)) == ["web-1", "web-11"]
    assert chosen(is_chosen_by(None, exclude)) == ["web-11", "db-1", "a-web-2"]
    assert chosen(is_chosen_by(include, exclude)) == ["web-11"]
