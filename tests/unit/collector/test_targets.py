import re

import pytest

from collector.targets import CrowdedError, Targets, UnknownTargetError


class FakeExporter:
    def __init__(self, uri):
        self.uri = uri
        self.is_closed = False

    def scrape(self, timeout_seconds, groups=None, form="text", **options):
        raise AssertionError("only looked up")

    def close(self):
        self.is_closed = True


class FakeClock:
    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now

    def wall(self):
        return self.now

    async def sleep(self, seconds):
        self.now += seconds


class World:
    def __init__(self, allow):
        self.clock = FakeClock()
        self.made = []
        self.blue = FakeExporter("qemu+tls://blue/system")
        pattern = None if allow is None else re.compile(allow)
        self.targets = Targets({"blue": self.blue}, self.make, pattern, self.clock)

    def make(self, uri):
        self.made.append(FakeExporter(uri))
        return self.made[-1]

    def touch(self, asked):
        with self.targets.use(asked) as exporter:
            return exporter


HOSTS = r"qemu(\+\w+)?://[\w.@-]*(:\d+)?/(system|session)(\?.*)?"


def test_a_configured_name_is_always_the_same_exporter():
    world = World(None)
    assert world.touch("blue") is world.touch("blue") is world.blue
    assert world.targets.names == ["blue"]


@pytest.mark.parametrize("asked", ["green", "qemu+tls://blue/system", "", "blue ", "../blue"])
def test_without_a_pattern_only_names_are_known(asked):
    world = World(None)
    with pytest.raises(UnknownTargetError, match="known targets: blue"):
        world.touch(asked)
    assert not world.made


@pytest.mark.parametrize(
    "asked",
    [
        "qemu:///system",
        "qemu+tls://green.example/system",
        "qemu+ssh://virtscale@green/system",
        "qemu+unix:///session?socket=/run/x",
    ],
)
def test_what_the_pattern_matches_is_read(asked):
    assert World(HOSTS).touch(asked).uri == asked


@pytest.mark.parametrize(
    "asked",
    [
        "xen:///system",
        "qemu:///system#x",
        "qemu:///system\n",
        "qemu+ssh://h/system?command=/bin/sh",
        "qemu+ssh://h/system?socket=/x&netcat=/tmp/x",
        "qemu+ssh://h/system?socket=/x;command=/tmp/x",
        "qemu+tls://h/system?no_verify=1",
        "qemu+tls://h/system?pkipath=/tmp",
        "qemu+ssh://h/system?keyfile=/etc/shadow",
        "qemu+ext:///system",
        "qemu+ext:///system?command=x",
        "qemu+ssh://-oProxyCommand=x/system",
        "qemu+ssh://-oProxyCommand@h/system",
        "qemu:///system?" + "x" * 600,
    ],
)
def test_an_allowed_pattern_is_no_open_door(asked):
    for pattern in (HOSTS, ".*", r"(?s).*"):
        world = World(pattern)
        if asked.startswith("xen") and pattern != HOSTS:
            continue
        if asked.endswith("#x") and pattern != HOSTS:
            continue
        with pytest.raises(UnknownTargetError):
            world.touch(asked)
        assert not world.made


def test_a_part_that_matches_is_not_enough():
    with pytest.raises(UnknownTargetError, match=r"nor does --probe\.allow match"):
        World("test:///default").touch("test:///default2")


def test_an_uri_asked_for_again_keeps_its_exporter():
    world = World("test:///.*")
    assert world.touch("test:///a") is world.touch("test:///a")
    assert len(world.made) == 1


def test_what_nobody_asks_for_is_closed_after_a_while():
    world = World("test:///.*")
    first = world.touch("test:///a")
    world.clock.now = 901.0
    world.touch("test:///b")
    assert first.is_closed
    assert not world.touch("test:///b").is_closed


def test_the_longest_unused_makes_room():
    world = World("test:///.*")
    for number in range(32):
        world.clock.now = float(number)
        world.touch(f"test:///{number}")
    world.clock.now = 40.0
    world.touch("test:///0")
    world.touch("test:///new")
    assert [one.uri for one in world.made if one.is_closed] == ["test:///1"]


def test_what_is_in_use_is_never_closed():
    world = World("test:///.*")
    with world.targets.use("test:///0") as first:
        for number in range(1, 60):
            world.clock.now += 1000.0
            world.touch(f"test:///{number}")
        assert not first.is_closed


def test_when_all_are_in_use_there_is_no_room():
    world = World("test:///.*")
    held = [world.targets.use(f"test:///{number}") for number in range(32)]
    for one in held:
        one.__enter__()
    with pytest.raises(CrowdedError, match="try again later"):
        world.touch("test:///more")
    for one in held:
        one.__exit__(None, None, None)
    world.touch("test:///more")


def test_closing_closes_all():
    world = World("test:///.*")
    world.touch("test:///a")
    world.targets.close()
    assert world.blue.is_closed
    assert world.made[0].is_closed
