"""A headless Chromium and what somebody sees in it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

_CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
# Its own sandbox needs rights that a container or root does not have; what is looked at is ours.
_OPTIONS = ("--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu")


@contextmanager
def chromium() -> Iterator[Browser]:
    found = next(filter(None, map(shutil.which, _CHROMIUM)), None)
    if found is None:
        raise AssertionError(
            f"no browser: none of {', '.join(_CHROMIUM)} is installed (Debian: apt-get install "
            "chromium)"
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(_OPTIONS))
        try:
            yield browser
        finally:
            browser.close()


def keep(page: Page, path: Path, **options: bool) -> None:
    # Not by its `path`: to write the file Playwright would begin a thread that stays.
    path.write_bytes(page.screenshot(**options))


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
