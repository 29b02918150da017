"""A headless Chromium, and a scene for it to look at."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser.scene import EVIL, Scene
from tests.browser.window import Window, chromium

SHOTS_VARIABLE = "VIRTSCALE_SCREENSHOTS"
_SHOTS = os.environ.get(SHOTS_VARIABLE, "")
"""Read before a test begins: tests do not see variables of virtscale's (tests/conftest.py)."""


# Not for the session: while Playwright's own loop lives in the process, no other can run there.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where screenshots are kept: a directory of yours, or pytest's own."""
    named = _SHOTS
    folder = Path(named) if named else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def own_scene(tmp_path: Path):
    """Makes a scene that a test may spoil."""
    made: list[Scene] = []

    def begin(*arguments, **options) -> Scene:
        made.append(Scene(tmp_path, *arguments, **options))
        return made[-1]

    yield begin
    for one in made:
        one.close()


@pytest.fixture
def look(browser: Browser, scene: Scene, own_scene):
    """Opens windows; afterwards nothing may have gone wrong in them. They close before scenes."""
    windows: list[Window] = []

    def opened(url: str = "", **options) -> Window:
        options = {"viewport": {"width": 1280, "height": 800}, **options}
        window = Window(browser.new_context(**options), url or scene.url)
        windows.append(window)
        return window

    yield opened
    for one in windows:
        one.context.close()
        assert one.faults == [], one.url
        assert [url for url in one.asked if not url.startswith(one.url)] == []


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    names = [f"vs-{number}" for number in range(1, 5)]
    scene = Scene(tmp_path_factory.mktemp("scene"), [*names, EVIL], ["vs-5", "vs-6"])
    yield scene
    scene.close()
