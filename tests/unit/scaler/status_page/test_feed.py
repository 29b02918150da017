import contextlib
import json
import threading

import pytest

from scaler.status_page.composition import compose
from scaler.status_page.feed import CrowdedError, Feed, TurnBell
from tests.unit.scaler.status_page.facts import NOW, facts

SECONDS = 10.0


class Scene:
    def __init__(self, **options):
        self.now = NOW
        self.is_broken = False
        self.asked = threading.Event()
        options = {"key": "k", "kept_changes": 5, "shortest_seconds": 0.001, **options}
        self.feed = Feed(self.look, self.asked.set, **options)

    def look(self):
        if self.is_broken:
            raise RuntimeError("a fault")
        return compose(facts(now=self.now))

    def turn(self):
        """Something that is shown changes, and the feed is told."""
        self.now += 1
        self.feed.notify()


@pytest.fixture
def scene():
    scene = Scene()
    yield scene
    scene.feed.close()


def one(stream):
    """The next event."""
    found = []
    while not found:
        found = stream.next(SECONDS)
        assert found is not None
    return found[-1]


def numbers(event):
    return int(event.id.rpartition("-")[2])


def test_a_stream_begins_with_everything_and_goes_on_with_changes(scene):
    with scene.feed.stream() as stream:
        first = one(stream)
        assert first.kind == "state"
        assert json.loads(first.data)["order"] == ["vs-1", "vs-2"]
        scene.turn()
        second = one(stream)
        assert second.kind == "change"
        assert numbers(second) > numbers(first)
        assert json.loads(second.data)["sections"]["clock"] == "@1001"
        assert scene.asked.wait(SECONDS)


def test_who_comes_back_gets_only_what_is_new(scene):
    with scene.feed.stream() as stream:
        first = one(stream)
        scene.turn()
        second = one(stream)
        with scene.feed.stream(first.id) as again:
            assert one(again) == second
        with scene.feed.stream(second.id) as again:
            scene.turn()
            assert one(again).kind == "change"


@pytest.mark.parametrize("last", ["other-1", "k-", "k-x", "k-99", "k--1", "k-" + "9" * 40])
def test_an_id_that_means_nothing_here_gets_everything(scene, last):
    with scene.feed.stream() as stream:
        one(stream)
        with scene.feed.stream(last) as other:
            assert one(other).kind == "state"


def test_one_that_is_far_behind_gets_everything_again(scene):
    with scene.feed.stream() as quick, scene.feed.stream() as slow:
        one(quick)
        one(slow)
        for _ in range(7):
            scene.turn()
            one(quick)
        assert one(slow).kind == "state"


def test_places_are_bounded_and_given_back():
    scene = Scene(most_streams=2)
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(scene.feed.stream())
        with pytest.raises(CrowdedError, match="2 pages are open"):
            stack.enter_context(scene.feed.stream())
    assert scene.feed.streams == 0
    with scene.feed.stream() as stream:
        assert one(stream).kind == "state"
    scene.feed.close()


def test_nothing_is_composed_while_nobody_looks(scene):
    with scene.feed.stream() as stream:
        one(stream)
    running = [thread for thread in threading.enumerate() if thread.name == "page"]
    for thread in running:
        scene.feed.notify()
        thread.join(SECONDS)
        assert not thread.is_alive()
    with scene.feed.stream() as stream:
        assert one(stream).kind == "state"


def test_without_news_the_wait_ends_with_nothing(scene):
    with scene.feed.stream() as stream:
        one(stream)
        assert stream.next(0.01) == []


def test_closing_ends_every_stream_at_once(scene):
    with scene.feed.stream() as stream:
        one(stream)
        ended = []
        thread = threading.Thread(target=lambda: ended.append(stream.next(60.0)))
        thread.start()
        scene.feed.close()
        thread.join(SECONDS)
        assert ended == [None]


def test_a_fault_in_the_page_does_not_end_it(scene):
    with scene.feed.stream() as stream:
        one(stream)
        scene.is_broken = True
        scene.turn()
        scene.is_broken = False
        scene.turn()
        assert json.loads(one(stream).data)["sections"]["clock"] in ("@1001", "@1002")


def test_a_turn_rings(scene):
    bell = TurnBell(scene.feed)
    bell.decided(None, None, NOW)
    bell.resulted(None)
    assert scene.feed._news.is_set()
