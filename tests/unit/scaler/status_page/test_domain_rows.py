import pytest

from scaler.pool import DomainState
from scaler.status_page.domain_rows import duration, natural, rows, shares
from scaler.status_page.load import Load
from scaler.status_page.view import Tone
from tests.unit.scaler.status_page.facts import domain, load

NOTHING = Load()


def test_every_state_has_words_and_a_place():
    made = rows([domain(state.value, state.value) for state in DomainState], NOTHING, ())
    assert len({(one.label, one.tier) for one in made}) == len(DomainState)
    assert [made[0].name, made[-1].name] == ["failed", "quarantined_off"]
    told = shares([domain(state.value, state.value) for state in DomainState])
    assert sum(one.count for one in told) == len(DomainState)


def test_a_state_of_another_version_is_shown_as_it_is():
    (row,) = rows([domain("a", "day_dreaming")], NOTHING, ())
    assert (row.label, row.tone) == ("day dreaming", Tone.WARN)


def test_a_domain_with_work_is_busy():
    idle, busy = rows([domain("a"), domain("b", leases=2, busy_slots=1)], NOTHING, ())
    assert (idle.label, busy.label, busy.leases) == ("ready", "busy", 2)


def test_names_are_in_the_order_of_their_numbers():
    names = ["vs-10", "vs-2", "vs-1", "b", "7"]
    assert [one.name for one in rows([domain(name) for name in names], NOTHING, ())] == [
        *("7", "b", "vs-1", "vs-2", "vs-10")
    ]
    assert natural("9" * 40) != natural("a")


def test_what_is_off_has_no_cpu_and_what_is_unknown_neither():
    known = load(a=0.5, b=0.5)
    made = {
        one.name: one for one in rows([domain("a"), domain("b", "off"), domain("c")], known, ())
    }
    assert [made[name].cpu_ratio for name in "abc"] == [0.5, None, None]
    assert made["a"].history[-2:] == (0.5, 0.6)
    assert (made["b"].tier, made["c"].history) == ("cold", ())


def test_a_domain_without_its_worker_has_unknown_leases():
    (row,) = rows([domain("a", "booting", slots=None, busy_slots=None, leases=None)], NOTHING, ())
    assert (row.leases, row.slots) == (None, None)


def test_notes_say_what_goes_on():
    (row,) = rows(
        [
            domain(
                "a",
                "booting",
                operation="start",
                operation_age_seconds=7.2,
                action_in_flight="keep_definition",
                failures=2,
                outdated=True,
                foreign_scaler="other",
            )
        ],
        NOTHING,
        ("a",),
    )
    assert row.note == (
        "start for 7 s, keep definition under way, ordered drained, failed boots: 2, old image, "
        "belongs to other"
    )
    assert not row.may_drain


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *((-1.0, "0.0 s"), (0.04, "0.0 s"), (0.94, "0.9 s"), (0.96, "1 s"), (119.0, "119 s")),
        *((120.0, "2 min"), (7199.0, "120 min"), (7200.0, "2.0 h"), (200_000.0, "2 d")),
    ],
)
def test_durations_as_a_person_needs_them(seconds, text):
    assert duration(seconds) == text
