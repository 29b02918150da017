"""A look at the status page of a running stack, and an order given there."""

import re
from pathlib import Path

from tests.browser.window import Window, chromium, keep
from tests.e2e.machine import Stack


def visit(stack: Stack, screenshots: Path) -> None:
    """While two domains serve."""
    token = (stack.state / "secrets" / "tls" / "control.token").read_text().strip()
    with chromium() as browser:
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        window = Window(context, f"http://127.0.0.1:{stack.ports['scaler']}")
        page = window.open_live()
        for name in ("vs-1", "vs-2"):
            row = page.locator(f'tr[data-name="{name}"]')
            row.get_by_text(re.compile("busy|ready")).wait_for()
            row.locator(".c-cpu", has_text="%").wait_for()
        page.locator("#timeline .k-out", has_text="start vs-2").first.wait_for()
        # The first wait of a job is known some scrapes after it.
        page.wait_for_function("document.querySelectorAll('#queue .unknown').length === 0")
        page.locator("#signals tr", has_text="known").nth(2).wait_for()
        page.get_by_role("button", name="Hold at a number").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Domains").fill("2")
        dialog.get_by_label("Control token").fill(token)
        dialog.get_by_role("button", name="Give the order").click()
        page.locator("#overrides", has_text="hold 2").wait_for()
        keep(page, screenshots / "two-at-work.png", full_page=True)
        page.get_by_role("button", name="Remove hold 2").click()
        dialog.get_by_role("button", name="Give the order").click()
        page.get_by_text("None: the policies decide.").wait_for()
        assert window.faults == []
        context.close()
