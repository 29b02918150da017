"""A headless Chromium, and a scene for it to look at."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.browser.scene import EVIL, Scene

SHOTS_VARIABLE = "VIRTSCALE_SCREENSHOTS"
_CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
# Its own sandbox needs rights that a container or root does not have; what is looked at is ours.
_OPTIONS = ("--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    found = next(filter(None, map(shutil.which, _CHROMIUM)), None)
    if found is None:
        pytest.fail(
            f"no browser: none of {', '.join(_CHROMIUM)} is installed (Debian: apt-get install "
            "chromium)"
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(_OPTIONS))
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where screenshots are kept: a directory of yours, or pytest's own."""
    named = _SHOTS
    folder = Path(named) if named else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


# Tests do not see variables of virtscale's (tests/conftest.py); this one is for them.
_SHOTS = os.environ.get(SHOTS_VARIABLE, "")


class Window:
    """A page that somebody looks at, and everything that went wrong in it."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.context = context
        self.url = url
        self.faults: list[str] = []
        self.asked: list[str] = []
        self.page: Page = context.new_page()
        self.page.set_default_timeout(15_000)
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("dialog", lambda dialog: self.faults.append(f"dialog {dialog.message}"))
        self.page.on("request", lambda request: self.asked.append(request.url))

    def _heard(self, message) -> None:
        if message.type in ("error", "warning"):
            self.faults.append(f"{message.type}: {message.text}")

    def open(self) -> Page:
        self.page.goto(self.url)
        return self.page

    def open_live(self) -> Page:
        self.open()
        self.page.wait_for_selector('#live[data-state="live"]')
        return self.page


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


@pytest.fixture(scope="package")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    names = [f"vs-{number}" for number in range(1, 5)]
    scene = Scene(tmp_path_factory.mktemp("scene"), [*names, EVIL], ["vs-5", "vs-6"])
    yield scene
    scene.close()
