from stack.restart import LONGEST_DELAY_SECONDS, CrashHistory


def test_the_first_restart_is_quick_and_repeated_ones_slow_down() -> None:
    history = CrashHistory()
    delays = []
    for crash in range(8):
        history = history.after_crash(float(crash))
        delays.append(history.delay_seconds)
    assert delays[:3] == [0.2, 0.4, 0.8]
    assert delays[-1] == LONGEST_DELAY_SECONDS


def test_a_crash_long_ago_is_forgotten() -> None:
    history = CrashHistory().after_crash(0.0).after_crash(1.0).after_crash(100.0)
    assert history.times == (100.0,)
    assert history.delay_seconds == 0.2


def test_it_never_gives_up() -> None:
    history = CrashHistory()
    for crash in range(1_000):
        history = history.after_crash(crash / 100)
    assert history.delay_seconds == LONGEST_DELAY_SECONDS
