from dispatcher.retention import CautiousClock, Retention

DAY = 86_400.0


def test_time_that_passes_is_followed():
    clock = CautiousClock(1000.0, 0.0)
    assert clock.read(1060.0, 60.0) == 1060.0
    assert clock.read(1121.0, 120.0) == 1121.0
    assert not clock.is_doubting


def test_a_step_back_is_followed_at_once():
    clock = CautiousClock(1000.0, 0.0)
    assert clock.read(400.0, 60.0) == 400.0
    assert clock.read(460.0, 120.0) == 460.0


def test_a_step_forward_is_followed_after_a_day():
    clock = CautiousClock(1000.0, 0.0)
    assert clock.read(1000.0 + 365 * DAY, 60.0) == 1060.0
    assert clock.is_doubting
    assert clock.read(1000.0 + 365 * DAY + DAY - 1, 60.0 + DAY - 1) == 1060.0 + DAY - 1
    assert clock.read(1000.0 + 366 * DAY, 60.0 + DAY) == 1000.0 + 366 * DAY
    assert not clock.is_doubting


def test_a_step_forward_and_back_again_is_as_if_it_had_not_been():
    clock = CautiousClock(1000.0, 0.0)
    clock.read(9_000_000.0, 60.0)
    assert clock.read(1120.0, 120.0) == 1120.0
    assert not clock.is_doubting


def test_a_slow_drift_is_no_step():
    clock = CautiousClock(0.0, 0.0)
    for minute in range(1, 1000):
        assert clock.read(minute * 61.0, minute * 60.0) == minute * 61.0


def test_for_ever_is_without_any_limit():
    assert Retention().is_for_ever
    assert not Retention(seconds=60.0).is_for_ever
    assert not Retention(count=0).is_for_ever
