import itertools
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from collector.libvirt_source import mute_guests
from collector.libvirt_source.bulk import Answer
from collector.libvirt_source.mute_guests import MuteGuests
from collector.libvirt_source.processes import Process, Processes
from collector.libvirt_source.survey import Surveyed
from collector.records import Group
from tests.unit.collector import records
from tests.unit.collector.libvirt_source import fake_proc

GROUPS = frozenset({Group.STATE, Group.BALLOON, Group.BLOCK})
PAGES = 12_001
RSS = PAGES * fake_proc.PAGE_KIB
FULL = {**records.RUNNING, "balloon.rss": RSS}


def seen(number: int = 1, uuid: str = "u") -> list[Surveyed]:
    return [Surveyed(uuid, "d", number, {}, None)]


def answers(number: int = 1, uuid: str = "u", **changes: Any) -> dict[str, Answer]:
    told = {**FULL, **{f"balloon.{key}".replace("_", "-"): it for key, it in changes.items()}}
    return {uuid: Answer("d", number, told)}


def at_once(search: Callable[[], dict[str, Process]]) -> "Future[dict[str, Process]]":
    future: Future[dict[str, Process]] = Future()
    future.set_result(search())
    return future


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    fake_proc.add(tmp_path, 7, "u", pages=PAGES)
    return tmp_path


@pytest.fixture
def known(proc: Path) -> MuteGuests:
    """Asked once, at the beginning."""
    found = MuteGuests(Processes(proc), at_once)
    assert found.among(seen(), GROUPS, 0.0) == frozenset()
    found.learn(answers(), 0.0)
    return found


def test_whose_guest_told_nothing_is_asked_again_after_as_long_as_it_was_mute(
    known: MuteGuests,
) -> None:
    now, asked = 0.0, []
    while now < 3600.0:
        now += 1.0
        if not known.among(seen(), GROUPS, now):
            asked.append(now)
            known.learn(answers(), now)
    pauses = [later - earlier for earlier, later in itertools.pairwise([0.0, *asked])]
    for moment, pause in zip([0.0, *asked], pauses, strict=False):
        longest = min(mute_guests.LONGEST_SECONDS, max(mute_guests.SHORTEST_SECONDS, moment))
        assert 0.75 * longest <= pause <= longest + 1
    assert len(asked) < 25


def test_what_is_told_of_it_meanwhile_is_what_the_question_brings(
    known: MuteGuests, proc: Path
) -> None:
    fake_proc.add(proc, 7, "u", pages=20_000)
    unasked = {"u": Answer("d", 1, {"state.state": 1})}
    known.learn(unasked, 1.0)
    assert known.memory(frozenset({"u"}), unasked) == {
        "u": {"balloon.last-update": 0, "balloon.rss": 20_000 * fake_proc.PAGE_KIB}
    }
    assert known.memory(frozenset(), unasked) == {}


@pytest.mark.parametrize(
    "changes",
    [{"last_update": 1_700_000_000}, {"usable": 5}, {"swap_in": 0}, {"rss": RSS * 3}],
    ids=["told", "usable", "swap", "another size than that of the process"],
)
def test_who_tells_something_is_asked_each_time(known: MuteGuests, changes: Any) -> None:
    known.learn(answers(**changes), 60.0)
    assert known.among(seen(), GROUPS, 61.0) == frozenset()


def test_a_domain_started_anew_is_asked(known: MuteGuests) -> None:
    assert known.among(seen(number=2), GROUPS, 1.0) == frozenset()
    assert known.among(seen(number=1), GROUPS, 1.0) == frozenset()


def test_one_that_was_started_anew_after_the_survey_has_no_size(known: MuteGuests) -> None:
    assert known.among(seen(), GROUPS, 1.0) == {"u"}
    assert known.memory(frozenset({"u"}), {"u": Answer("d", 2, {})}) == {}


def test_one_whose_process_has_ended_has_no_size(known: MuteGuests, proc: Path) -> None:
    fake_proc.add(proc, 7, "other", started=9)
    assert known.memory(frozenset({"u"}), answers()) == {}
    known.learn(answers(), 60.0)
    assert known.among(seen(), GROUPS, 61.0) == frozenset()


def test_one_that_speaks_and_falls_silent_again_begins_anew(known: MuteGuests) -> None:
    known.learn(answers(last_update=5), 1000.0)
    known.learn(answers(), 1001.0)
    assert known.among(seen(), GROUPS, 1002.0) == {"u"}
    assert known.among(seen(), GROUPS, 1016.0) == frozenset()


@pytest.mark.parametrize("missing", [Group.BALLOON, Group.BLOCK])
def test_without_disks_counters_nobody_could_tell_that_a_qemu_hangs(
    known: MuteGuests, missing: Group
) -> None:
    assert known.among(seen(), GROUPS - {missing}, 1.0) == frozenset()


def test_a_domain_without_a_disk_or_a_balloon_is_not_mute() -> None:
    assert mute_guests.is_mute(FULL)
    for key in ("block.0.rd.reqs", "balloon.last-update"):
        assert not mute_guests.is_mute({name: it for name, it in FULL.items() if name != key})


def test_processes_that_cannot_be_seen_are_looked_for_now_and_then(tmp_path: Path) -> None:
    found = MuteGuests(Processes(tmp_path), at_once)
    found.learn(answers(), 0.0)
    fake_proc.add(tmp_path, 7, "u", pages=PAGES)
    found.learn(answers(), 1.0)
    assert found.among(seen(), GROUPS, 2.0) == frozenset()
    found.learn(answers(), 31.0)
    assert found.among(seen(), GROUPS, 32.0) == {"u"}


def test_a_search_that_takes_long_holds_up_no_reading(proc: Path) -> None:
    searches: list[Future[dict[str, Process]]] = []

    def slowly(_: Callable[[], dict[str, Process]]) -> "Future[dict[str, Process]]":
        searches.append(Future())
        return searches[-1]

    found = MuteGuests(Processes(proc), slowly)
    for now in range(100):
        found.learn(answers(), float(now))
        assert found.among(seen(), GROUPS, now + 0.5) == frozenset()
    assert len(searches) == 1
    searches[0].set_result(Processes(proc).find({"u"}))
    found.learn(answers(), 100.0)
    assert found.among(seen(), GROUPS, 101.0) == {"u"}


def test_they_are_asked_one_by_one() -> None:
    pauses = [mute_guests.pause_seconds(f"uuid-{number}", 1e6) for number in range(200)]
    assert max(pauses) <= mute_guests.LONGEST_SECONDS
    for lower in range(225, 300, 15):
        assert sum(lower <= one < lower + 15 for one in pauses) > 20
