import time

from servicekit.clock import Clock, SystemClock


async def test_the_system_clock_is_a_clock():
    clock: Clock = SystemClock()
    first = clock.monotonic()
    await clock.sleep(-1)
    assert clock.monotonic() >= first
    assert abs(clock.wall() - time.time()) < 60
