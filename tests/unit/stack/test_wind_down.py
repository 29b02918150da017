from servicekit.lifecycle import Stop
from stack import wind_down


async def shut_down(domains, clock, stop=None, seconds=40.0):
    told: list[str] = []
    left = await wind_down.shut_down_domains(
        domains, clock=clock, stop=stop or Stop(), seconds=seconds, tell=told.append
    )
    return left, told


async def test_all_domains_are_asked_at_once_and_none_is_left(clock, make_domains) -> None:
    domains = make_domains("vs-1", "vs-2")
    assert await shut_down(domains, clock) == ([], [])
    assert domains.presses == ["vs-1", "vs-2"]
    assert domains.destroyed == []


async def test_the_button_is_pressed_again_while_a_guest_boots(clock, make_domains) -> None:
    domains = make_domains("vs-1", deaf_for=2)
    assert (await shut_down(domains, clock))[0] == []
    assert len(domains.presses) == 3


async def test_a_deaf_domain_is_destroyed_at_the_deadline_and_named(clock, make_domains) -> None:
    domains = make_domains("vs-1", "vs-2", deaf_for=99)
    domains.states["vs-2"] = "off"
    left, told = await shut_down(domains, clock, seconds=8.0)
    assert left == []
    assert domains.destroyed == ["vs-1"]
    assert "vs-1" in told[0]


async def test_a_second_request_cuts_the_power_at_once(clock, make_domains) -> None:
    stop = Stop()
    stop.request("SIGINT")
    stop.request("SIGINT")
    domains = make_domains("vs-1", deaf_for=99)
    begin = clock.now
    assert (await shut_down(domains, clock, stop))[0] == []
    assert domains.destroyed == ["vs-1"]
    assert clock.now - begin < 1.0


async def test_a_restarting_libvirtd_is_waited_for(clock, make_domains) -> None:
    domains = make_domains("vs-1")
    domains.failures = 5
    assert (await shut_down(domains, clock))[0] == []
    assert domains.states == {"vs-1": "off"}
