"""The status page as people meet it: in a browser, on a real scaler."""

import re

import pytest
import requests

from tests.browser.contrast import CONTRASTS
from tests.browser.scene import EVIL, TOKEN
from tests.browser.window import keep

pytestmark = pytest.mark.timeout(120)

SIZES = {"phone": (390, 844), "desk": (1280, 800), "wall": (2560, 1440)}
SHOWN = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(autouse=True)
def _nothing_is_ordered(scene):
    yield
    for one in scene.overrides():
        path = f"{scene.url}/api/v1/overrides/{one['id']}"
        assert requests.delete(path, headers=SHOWN, timeout=10).ok


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_of_it_is_there_at_every_size_in_light_and_dark(look, scene, screenshots, size, scheme):
    scene.fire(severity="page")
    width, height = SIZES[size]
    window = look(viewport={"width": width, "height": height}, color_scheme=scheme)
    page = window.open_live()
    page.wait_for_selector("#alerts table")
    # CPU is asked for by the first who looks.
    page.wait_for_selector("svg.spark polyline")
    # The mean of the last 30 s is known from the second sample on.
    page.wait_for_function("/\\d\\.\\d\\/s/.test(document.querySelector('main').innerText)")
    text = page.inner_text("main")
    for part in ("Queue", "Domains", "Decisions", "Overrides", "Signals", "Policies", "Behind"):
        assert part in text
    for part in ("vs-1", EVIL, "load.value", "known", "under"):
        assert part in text
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    table = page.evaluate("document.querySelector('.scroll').scrollWidth")
    assert table <= page.evaluate("document.querySelector('.scroll').clientWidth")
    assert page.evaluate(CONTRASTS) == []
    keep(page, screenshots / f"{size}-{scheme}.png", full_page=True)


def test_what_changes_is_seen_without_a_reload(look, scene):
    page = look().open_live()
    scene.fleet.ready = 1234
    page.get_by_text("1,234").wait_for()
    scene.fleet.workers["vs-1"] = 42
    page.locator('tr[data-name="vs-1"] .c-leases', has_text="42").wait_for()
    assert page.evaluate("performance.getEntriesByType('navigation').length") == 1
    scene.fleet.ready = 3
    scene.fleet.workers["vs-1"] = 0


def test_orders_work_with_the_token_and_are_refused_without(look, scene, screenshots):
    window = look()
    page = window.open_live()
    page.get_by_role("button", name="Hold at a number").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Domains").fill("99")
    dialog.get_by_label("Reason").fill("<b>fair</b>")
    dialog.get_by_label("Your name").fill("ann")
    give = dialog.get_by_role("button", name="Give the order")
    dialog.get_by_label("Control token").fill("wrong")
    give.click()
    dialog.get_by_role("alert").get_by_text("missing or wrong").wait_for()
    assert scene.overrides() == []
    keep(page, screenshots / "order-refused.png")
    dialog.get_by_label("Control token").fill(TOKEN)
    give.click()
    dialog.get_by_role("alert").get_by_text("from 0 to the configured max = 7").wait_for()
    dialog.get_by_label("Domains").fill("4")
    give.click()
    dialog.wait_for(state="hidden")
    (given,) = scene.overrides()
    assert (given["kind"], given["domains"], given["author"]) == ("hold", 4, "ann")
    assert given["expires_at"] - given["created_at"] == 900
    row = page.locator("#overrides tr", has_text="hold 4")
    assert "<b>fair</b>" in row.inner_text()

    # From here on the token is known, to this tab alone.
    page.get_by_role("button", name="Pause", exact=True).click()
    assert dialog.get_by_label("Control token").is_hidden()
    dialog.get_by_label("For").select_option("until it is removed")
    give.click()
    page.locator("#notices").get_by_text("Paused by ann").wait_for()
    page.get_by_role("button", name="Resume").click()
    give.click()
    page.get_by_role("button", name="Pause", exact=True).wait_for()
    row.get_by_role("button", name="Remove hold 4").click()
    give.click()
    page.get_by_text("None: the policies decide.").wait_for()
    assert scene.overrides() == []
    assert [url for url in window.asked if TOKEN in url] == []
    assert page.evaluate("document.cookie + JSON.stringify(localStorage)") == "{}"

    page.get_by_role("button", name="Forget token").click()
    page.get_by_role("button", name="Pause", exact=True).click()
    assert dialog.get_by_label("Control token").is_visible()
    # The wrong orders are in the console, as a browser tells of every refusal.
    assert all("status of 40" in fault for fault in window.faults), window.faults
    assert len(window.faults) == 2
    window.faults.clear()


def test_a_domain_is_drained_by_the_keyboard_alone(look, scene):
    page = look().open_live()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "To the domains"
    page.keyboard.press("Enter")
    reached = []
    for _ in range(80):
        page.keyboard.press("Tab")
        label = page.evaluate("document.activeElement.getAttribute('aria-label')")
        reached.append(label)
        if label == f"Drain {EVIL}":
            break
    assert reached[-1] == f"Drain {EVIL}", reached
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "o-seconds"
    # The dialog keeps the keyboard, and gives it back.
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == f"Drain {EVIL}"
    page.keyboard.press("Enter")
    for text in ("", "new disk", "", TOKEN):
        page.keyboard.type(text)
        page.keyboard.press("Tab")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    page.get_by_role("dialog").wait_for(state="hidden")
    (given,) = scene.overrides()
    assert (given["kind"], given["domain"], given["reason"]) == ("drain", EVIL, "new disk")
    page.get_by_text("ordered drained").first.wait_for()
    row = page.locator("#domain-table tr").filter(has_text=EVIL)
    assert row.locator('button[data-order="drain"]').count() == 0


def test_the_keyboard_stays_where_it_is_while_things_change(look, scene):
    page = look().open_live()
    button = page.get_by_role("button", name="Drain vs-2")
    button.focus()
    page.locator("#timeline summary").last.click()
    opened = page.locator("#timeline details[open]").count()
    button.focus()
    before = page.inner_text("#clock")
    page.wait_for_function(
        "before => document.querySelector('#clock').innerText > before", arg=before
    )
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Drain vs-2"
    assert page.locator("#timeline details[open]").count() == opened == 1


def test_a_screen_reader_finds_its_way(look):
    page = look().open_live()
    tree = page.locator("body").aria_snapshot()
    for part in (
        *("- banner", "- main", "- contentinfo", '- heading "Domains 7" [level=2]', "- search"),
        *('columnheader "State"', 'rowheader "vs-1"', 'button "Drain vs-1"', "- status"),
        *('- region "Domains 7"', 'navigation "For programs"', 'group "Orders for the pool"'),
    ):
        assert part in tree, tree
    page.wait_for_function("document.querySelector('#summary').textContent.length > 10")
    assert re.search(r"\d of \d wanted domains serve", page.text_content("#summary") or "")
    regions = re.findall(r'- region "([^"]+)"', tree)
    assert len(regions) == len(set(regions))
    # Every control has a name, every id is there once, every reference leads somewhere.
    assert page.evaluate(_NAMELESS) == []
    assert page.evaluate(_BROKEN_REFERENCES) == []


_NAMELESS = """() => [...document.querySelectorAll("button, input, select, a")].filter(
  (one) => !(one.getAttribute("aria-label") || one.textContent.trim()
    || (one.labels && one.labels.length))).map((one) => one.outerHTML)"""
_BROKEN_REFERENCES = """() => {
  const ids = [...document.querySelectorAll("[id]")].map((one) => one.id);
  const found = ids.filter((id, at) => ids.indexOf(id) !== at);
  for (const name of ["for", "aria-labelledby", "aria-describedby"])
    for (const one of document.querySelectorAll(`[${name}]`))
      if (!ids.includes(one.getAttribute(name))) found.push(one.outerHTML);
  return found;
}"""


def test_who_wants_no_motion_gets_none(look):
    page = look(reduced_motion="reduce").open_live()
    assert page.evaluate("document.getAnimations().length") == 0


def test_without_javascript_there_is_a_plain_table(look, screenshots):
    window = look(java_script_enabled=False)
    page = window.open()
    text = page.inner_text("body")
    for part in ("Queue", "vs-1", "ready", "known", EVIL, "virtscale override"):
        assert part in text
    assert page.locator("#domain-table tbody tr").count() == 7
    assert page.locator("button:visible").count() == 0
    refresh = page.locator("noscript meta").get_attribute("content")
    assert refresh == "5"
    keep(page, screenshots / "without-javascript.png", full_page=True)


def test_prometheus_and_then_the_scaler_away_are_told_at_once(look, own_scene, screenshots):
    scene = own_scene(["vs-1"])
    window = look(scene.url)
    page = window.open_live()
    page.wait_for_selector("svg.spark")
    scene.prometheus.stop()
    notice = page.get_by_text("Prometheus does not answer since")
    notice.first.wait_for()
    assert re.search(r"since \d\d:\d\d:\d\d \(cannot connect\)", notice.first.inner_text())
    page.get_by_text("CPU is not known: Prometheus: cannot connect.").wait_for()
    assert page.locator("#queue .unknown").count() == 2
    keep(page, screenshots / "prometheus-away.png", full_page=True)

    scene.stop()
    page.wait_for_selector('#live[data-state="lost"]')
    keep(page, screenshots / "scaler-away.png")
    scene.start()
    page.wait_for_selector('#live[data-state="live"]')
    # A browser tells of connections that were refused.
    assert all("ERR_" in fault for fault in window.faults), window.faults
    window.faults.clear()


def test_a_thousand_domains_stay_quick(look, own_scene, screenshots):
    page = look(
        own_scene([f"vs-{number}" for number in range(1000)], has_past=False).url
    ).open_live()
    page.get_by_text("100 of 1000 domains shown").wait_for()
    assert page.locator("#domain-table tbody tr").count() == 100
    page.get_by_label("Filter").fill("vs-77")
    page.get_by_text("11 of 1000 domains shown").wait_for()
    keep(page, screenshots / "thousand-filtered.png")
    page.get_by_label("Filter").fill("")
    page.get_by_role("button", name="Show all 1000").click()
    assert page.locator("#domain-table tbody tr").count() == 1000
    # How long the page is busy with all rows on it, over some seconds of changes.
    busy = page.evaluate(_LONGEST_TASK)
    assert busy < 1000, f"{busy} ms"


_LONGEST_TASK = """() => new Promise((done) => {
  const found = [];
  new PerformanceObserver((list) => found.push(...list.getEntries())).observe({type: "longtask"});
  setTimeout(() => done(Math.max(0, ...found.map((one) => one.duration))), 2500);
})"""


def test_a_page_too_many_is_read_anew_instead(look, own_scene):
    scene = own_scene(["vs-1"])
    streams = []
    for _ in range(16):
        streams.append(requests.get(f"{scene.url}/api/v1/events", stream=True, timeout=30))
        assert streams[-1].ok
    try:
        window = look(scene.url)
        page = window.open()
        page.get_by_text("every 10 s; as of").wait_for()
        assert page.locator('tr[data-name="vs-1"]').count() == 1
        assert all("503" in fault for fault in window.faults), window.faults
        window.faults.clear()
    finally:
        for one in streams:
            one.close()
