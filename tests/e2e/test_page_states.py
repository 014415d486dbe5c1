"""Every state of the connect page in a real browser: pictures, accessibility, size, zoom and the few lines of script.

`SCREENSHOTS=<folder>` keeps the pictures, to be looked at.
"""

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from shared.operations.connect_found import found_section
from shared.operations.connect_html import status_page
from shared.operations.find import Found
from shared.operations.page_style import HEADERS
from tests.support.browser import Browser, find, running_browser
from tests.unit.operations.page_states import found_something, states
from tests.unit.operations.test_connect_html import AT

ROOT = Path(__file__).resolve().parents[2]
AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
DESK: dict[str, Any] = {"width": 1280, "height": 900}
PHONE: dict[str, Any] = {"width": 390, "height": 844, "phone": True}
NAMES = [*states(), "found", "nothing found"]

pytestmark = pytest.mark.e2e


def pages() -> dict[str, str]:
    """Every page by its name in an address."""
    made = {name: status_page(view, form_token="t") for name, view in states().items()}
    good = states()["healthy"]
    made["found"] = status_page(good, form_token="t", found=found_section(found_something(), "t"))
    made["nothing found"] = status_page(good, form_token="t", found=found_section(Found(key="SO-9", at=AT), "t"))
    return {name.replace(" ", "-"): page for name, page in made.items()}


class _Server(BaseHTTPRequestHandler):
    pages: ClassVar[dict[str, str]] = {}

    def do_GET(self) -> None:
        body = self.pages.get(self.path.strip("/").partition("?")[0], "").encode()
        self.send_response(200)
        for name, value in {**HEADERS, "Content-Type": "text/html; charset=utf-8"}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Browser, str]]:
    """A browser with scripts on, and the address of the pages, which come with the page's own policy."""
    find()
    _Server.pages = pages()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Server)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    with running_browser(tmp_path_factory.mktemp("states") / "profile") as browser:
        yield browser, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def visit(site: tuple[Browser, str], name: str, *, dark: bool = False, **size: Any) -> Browser:
    """Open a page in a window of a size."""
    browser, address = site
    browser.look(**size, dark=dark)
    browser.open(f"{address}/{name.replace(' ', '-')}")
    return browser


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["1280", "390"])
@pytest.mark.parametrize("name", NAMES)
def test_a_picture_of_every_state(
    site: tuple[Browser, str], name: str, size: dict[str, Any], dark: bool, tmp_path: Path
) -> None:
    """Nothing runs out of the window, whatever is in it."""
    browser = visit(site, name, dark=dark, **size)
    assert browser.js("document.documentElement.scrollWidth - innerWidth") <= 0
    height = min(int(browser.js("document.documentElement.scrollHeight")), 6000)
    browser.look(**{**size, "height": height}, dark=dark)
    folder = Path(os.environ.get("SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name.replace(' ', '-')}-{size['width']}-{'dark' if dark else 'light'}.png"
    browser.screenshot(file)
    assert file.stat().st_size > 5_000


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("name", NAMES)
def test_no_state_breaks_a_rule_of_accessibility(site: tuple[Browser, str], name: str, dark: bool) -> None:
    """axe-core finds nothing, also with everything unfolded."""
    browser = visit(site, name, dark=dark, **DESK)
    browser.js("document.querySelectorAll('details').forEach(one => { one.open = true })")
    browser.call("Page.setBypassCSP", enabled=True)
    browser.js(AXE.read_text(encoding="utf-8") + ";0")
    answer = browser.call(
        "Runtime.evaluate", expression="axe.run().then(found => "
        "JSON.stringify([found.passes.length, found.violations.map("
        "one => [one.id, one.help, one.nodes.map(node => node.html).slice(0, 3)])]))",
        awaitPromise=True, returnByValue=True,
    )  # fmt: skip
    kept, broken = json.loads(answer["result"]["value"])
    assert broken == []
    assert kept > 20  # rules that were played


def test_thirty_companies_fit_on_two_screens_and_on_eight_of_a_phone(site: tuple[Browser, str]) -> None:
    """A person with a minute sees all of them."""
    for size, screens in ((DESK, 2), (PHONE, 8)):
        browser = visit(site, "thirty companies", **size)
        assert browser.js("document.documentElement.scrollHeight") <= screens * size["height"]


@pytest.mark.parametrize("width", [640, 320])  # 1280 at 200 % and at 400 %
def test_zoomed_in_nobody_scrolls_sideways(site: tuple[Browser, str], width: int) -> None:
    """WCAG 2.2, 1.4.10."""
    for name in ("faults", "orders in need", "thirty companies", "found"):
        browser = visit(site, name, width=width, height=450)
        assert browser.js("document.documentElement.scrollWidth - innerWidth") <= 0, name


def test_times_are_those_of_the_reader_with_utc_beside_them(site: tuple[Browser, str]) -> None:
    """The policy lets the script in, and it says both."""
    site[0].call("Emulation.setTimezoneOverride", timezoneId="Asia/Kathmandu")
    try:
        browser = visit(site, "healthy", **DESK)
        assert "as of 2026-03-04 17:45 (12:00 UTC)" in browser.text
        late = browser.js("document.querySelector('time.ago').title")
        assert late.endswith("UTC)")
    finally:
        site[0].call("Emulation.setTimezoneOverride", timezoneId="")


def test_without_script_times_are_utc(site: tuple[Browser, str]) -> None:
    """And the page is whole."""
    site[0].call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser = visit(site, "healthy", **DESK)
        assert "as of 2026-03-04 12:00 UTC" in browser.text
    finally:
        site[0].call("Emulation.setScriptExecutionDisabled", value=False)


def test_keys_reach_every_control_and_what_is_folded(site: tuple[Browser, str]) -> None:
    """Tab goes from the skip link through the page; each stop is seen."""
    browser = visit(site, "orders in need", **DESK)
    total = browser.js("[...document.querySelectorAll('a,button,input:not([type=hidden]),summary')]"
                       ".filter(one => one.checkVisibility()).length")  # fmt: skip
    for _ in range(total):
        browser.press("Tab", 9)
        assert browser.js("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert browser.js("document.activeElement.textContent") == "End session"


def test_a_line_of_attention_leads_to_its_place(site: tuple[Browser, str]) -> None:
    """Within the page, by its name."""
    browser = visit(site, "orders in need", **DESK)
    browser.click("#attention ~ ul a")
    assert browser.js("location.hash") == "#orders"
