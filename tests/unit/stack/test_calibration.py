import pytest

from stack import calibration
from stack.calibration import JobLoad


def test_the_chosen_load_asks_for_one_and_a_half_guests_at_the_highest_rate() -> None:
    load = calibration.saturating_load(
        repetitions=10_000, service_seconds=0.5, highest_rate=1.6, slots=1
    )
    seconds_per_job = load.amount / (10_000 / 0.5)
    assert load.kind == "verify"
    assert 1.6 * seconds_per_job == pytest.approx(1.5, rel=0.01)


def test_a_guest_with_more_vcpus_gets_more_work() -> None:
    one, four = (
        calibration.saturating_load(
            repetitions=1_000, service_seconds=0.2, highest_rate=1.0, slots=slots
        )
        for slots in (1, 4)
    )
    assert four.amount == pytest.approx(4 * one.amount)


def test_probing_ends_at_the_largest_load_and_with_a_valid_choice() -> None:
    repetitions = calibration.FIRST_REPETITIONS
    seen = set()
    while repetitions not in seen:
        seen.add(repetitions)
        repetitions = calibration.next_repetitions(repetitions)
    assert repetitions == calibration.MAX_REPETITIONS
    load = calibration.saturating_load(
        repetitions=repetitions, service_seconds=0.0, highest_rate=0.001, slots=8
    )
    assert load.amount == calibration.MAX_REPETITIONS


@pytest.mark.parametrize(
    ("kind", "amount", "words"),
    [
        ("collision", 0, "1 to 40"),
        ("collision", 41, "bits"),
        ("verify", 0.5, "repetitions"),
        ("busy", 0, "CPU time"),
        ("busy", 4000, "3600"),
    ],
)
def test_a_difficulty_out_of_range_names_the_range(kind: str, amount: float, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        JobLoad(kind, amount)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("load", "text"),
    [
        (JobLoad("none"), "the hash alone"),
        (JobLoad("verify", 41_000), "verify, 41,000 repetitions"),
        (JobLoad("collision", 17), "collision, 17 bits"),
        (JobLoad("busy", 1.5), "busy, 1.5 s of CPU time"),
    ],
)
def test_a_load_is_described_for_a_person(load: JobLoad, text: str) -> None:
    assert load.describe() == text
