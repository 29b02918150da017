from guest_worker.reconnect import CAP_SECONDS, FIRST_SECONDS, REJECTED_SECONDS, Backoff


def test_waits_double_to_the_cap_and_start_again_after_a_welcome() -> None:
    backoff = Backoff()
    waits = [backoff.failed(rejected=False, fraction=1.0) for _ in range(40)]
    assert waits[:6] == [FIRST_SECONDS, 0.1, 0.2, 0.4, 0.8, 1.6]
    assert set(waits[6:]) == {CAP_SECONDS}
    backoff.succeeded()
    assert backoff.failed(rejected=False, fraction=1.0) == FIRST_SECONDS


def test_jitter_is_full() -> None:
    assert Backoff().failed(rejected=False, fraction=0.0) == 0.0
    assert Backoff().failed(rejected=False, fraction=0.5) == FIRST_SECONDS / 2


def test_a_rejection_waits_long_whatever_the_chance() -> None:
    assert Backoff().failed(rejected=True, fraction=0.0) == REJECTED_SECONDS
