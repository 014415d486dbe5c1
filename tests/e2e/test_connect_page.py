"""The connect page in a real browser, with scripts switched off: from empty to connected, and all that may go wrong.

`UPDATE_SCREENSHOTS=1` writes the pictures of docs/images anew.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from local.stack.demo import COMPANY, USER, Demo
from local.stack.ports import choose
from local.stack.stack import ROOT, Stack
from shared import resource_names
from tests.support.browser import Browser, find, running_browser

pytestmark = pytest.mark.e2e

CONNECT = "button.main"
CALLBACK = "/api/connect/callback"
PHONE: dict[str, Any] = {"width": 390, "height": 844, "phone": True}
DESKTOP: dict[str, Any] = {"width": 1100, "height": 900}


@dataclass
class Site:
    """The stack, a browser in front of it, and a hand behind the scenes."""

    stack: Stack
    browser: Browser
    demo: Demo

    def visit(self) -> None:
        """Open the page as an operator does, with a key."""
        self.browser.open(f"{self.stack.public_url}/api/connect?code=the-function-key")

    def connect(self) -> None:
        """Press Connect and pick the user on the sign-in page."""
        with self.browser.navigation():
            self.browser.click(CONNECT)
        assert self.browser.address.startswith(self.stack.login_url)
        with self.browser.navigation():
            self.browser.click(f'button[value="{USER}"]')

    def login_control(self, path: str, **fields: Any) -> None:
        answer = self.demo.http.post(f"{self.stack.login_url}/_emulator/{path}", json=fields, timeout=30)
        answer.raise_for_status()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One stack and one browser for the whole story; scripts are off, as the page must do without."""
    find()  # skips before the stack is started
    folder = tmp_path_factory.mktemp("connect")
    with Stack(folder / "stack", host="embedded") as stack, running_browser(folder / "profile") as browser:
        browser.call("Emulation.setScriptExecutionDisabled", value=True)
        browser.look(**DESKTOP)
        yield Site(stack, browser, Demo(stack, say=lambda _: None))


@pytest.fixture
def connected(site: Site) -> Site:
    """The site with somebody signed in, on the connect page."""
    site.visit()
    if "Connected" not in site.browser.text:
        site.connect()
    assert "Connected" in site.browser.text
    return site


def until(done: Callable[[], Any], what: str) -> None:
    """Wait for something that processes elsewhere bring about."""
    deadline = time.monotonic() + 30.0
    while not done():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.2)


def test_the_key_leaves_the_address_and_a_guarded_cookie_takes_its_place(site: Site) -> None:
    """Nothing of the key stays in the address bar; the cookie is out of reach of scripts and of other sites."""
    site.visit()
    assert site.browser.address == f"{site.stack.public_url}/api/connect/start"
    (cookie,) = site.browser.call("Network.getCookies")["cookies"]
    assert cookie["name"] == "__Host-bc-connect"
    assert (cookie["httpOnly"], cookie["secure"], cookie["sameSite"]) == (True, True, "Lax")
    assert "the-function-key" not in cookie["value"]


@contextmanager
def filling_front_end(site: Site) -> Iterator[str]:
    """A front end before the host that fills an empty Domain in."""
    port, folder = choose({"front": 0})["front"], site.stack.ca_file.parent
    command = [sys.executable, "-m", "tests.support.filling_front_end", "--target", site.stack.app_url]
    command += ["--port", str(port), "--cert", str(folder / "server.pem"), "--key", str(folder / "server.key")]
    path = os.pathsep.join(["", *sys.path])
    with subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.PIPE) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline(), "the front end did not start"
            yield f"https://localhost:{port}"
        finally:
            child.terminate()


def test_the_cookie_survives_a_front_end_that_fills_in_domains(site: Site) -> None:
    """A `__Host-` cookie with a Domain is refused by browsers; ours has none to be filled in."""
    with filling_front_end(site) as address:
        site.browser.open(f"{address}/api/connect?code=the-function-key")
        assert site.browser.address == f"{address}/api/connect/start"
        assert "Connect in two steps" in site.browser.text
    site.browser.call("Network.clearBrowserCookies")


def test_a_python_client_can_hold_a_session(site: Site) -> None:
    """`requests` reads an empty Domain as "." and never sends such a cookie back; ours it does."""
    with requests.Session() as client:
        client.trust_env = False  # REQUESTS_CA_BUNDLE would win over the CA given here
        client.verify = str(site.stack.ca_file)
        answer = client.get(f"{site.stack.public_url}/api/connect?code=the-function-key", timeout=30)
        assert answer.url == f"{site.stack.public_url}/api/connect/start"
        assert answer.status_code == 200
        assert "Business Central Connect" in answer.text


def test_an_empty_app_says_what_to_do(site: Site) -> None:
    """Nobody has signed in: the page says so and offers exactly one way on."""
    site.visit()
    assert "Connect in two steps" in site.browser.text
    assert site.browser.ax_nodes("button") == ["Connect", "End session"]


def test_from_empty_to_connected(site: Site) -> None:
    """Connect, Microsoft's sign-in, back again: the user's name, the companies and what is watched are shown."""
    site.visit()
    site.connect()
    shown = site.browser.text
    for word in ("Connected", USER, COMPANY, "salesInvoices"):
        assert word in shown
    assert urlsplit(site.browser.address).query == "done=connected"


def test_a_state_that_was_not_begun_here_is_refused(connected: Site) -> None:
    """A callback that somebody else made leads nowhere, and the login stays."""
    connected.browser.open(f"{connected.stack.public_url}{CALLBACK}?code=stolen&state=forged")
    assert "Sign-in refused" in connected.browser.text
    connected.visit()
    assert USER in connected.browser.text


def test_a_callback_works_once(connected: Site) -> None:
    """The very same callback again, for example from the history, is refused."""
    connected.browser.events.clear()
    with connected.browser.navigation():
        connected.browser.click('form:has(input[value="connect"]) button')
    with connected.browser.navigation():
        connected.browser.click(f'button[value="{USER}"]')
    sent = [event["params"]["request"]["url"] for event in connected.browser.events if "request" in event["params"]]
    (used,) = {url for url in sent if CALLBACK in url and "code=" in url}
    connected.browser.open(used)
    assert "Sign-in refused" in connected.browser.text
    assert "used already" in connected.browser.text


def test_a_person_who_cancels_comes_back_to_a_page_that_says_so(connected: Site) -> None:
    """Cancel on the sign-in page; the old login stays."""
    with connected.browser.navigation():
        connected.browser.click('form:has(input[value="connect"]) button')
    with connected.browser.navigation():
        connected.browser.click('button[value=""]')
    assert "Sign-in refused" in connected.browser.text
    with connected.browser.navigation():
        connected.browser.click("main a")
    assert USER in connected.browser.text


def test_without_a_session_nothing_is_shown_and_nothing_is_done(connected: Site) -> None:
    """A browser that never had the key sees how to open the page, and no name of anything."""
    connected.browser.call("Network.clearBrowserCookies")
    connected.browser.open(f"{connected.stack.public_url}/api/connect/start")
    assert "Not open" in connected.browser.text
    assert USER not in connected.browser.text
    assert COMPANY not in connected.browser.text


def test_a_form_of_an_older_session_does_nothing(connected: Site) -> None:
    """Two tabs: the first was given another session, its button is refused, the login stays."""
    connected.browser.call("Network.clearBrowserCookies")
    form = {"action": "disconnect", "form_token": "of another session"}
    connected.visit()
    cookie = connected.browser.call("Network.getCookies")["cookies"][0]
    answer = connected.demo.http.post(
        f"{connected.stack.public_url}/api/connect/start", data=form, cookies={cookie["name"]: cookie["value"]},
        allow_redirects=False, timeout=30,
    )  # fmt: skip
    assert answer.status_code == 403
    connected.visit()
    assert USER in connected.browser.text


def test_a_session_can_be_ended(connected: Site) -> None:
    """The button ends it; the way back is the function key, and the login of the app is not touched."""
    connected.visit()
    with connected.browser.navigation():
        connected.browser.click('form:has(input[value="end_session"]) button')
    assert "Session ended" in connected.browser.text
    connected.browser.open(f"{connected.stack.public_url}/api/connect/start")
    assert "Not open" in connected.browser.text
    connected.visit()
    assert USER in connected.browser.text


def test_a_refused_order_is_put_back_to_work_from_the_page(connected: Site) -> None:
    """The order stands there with Business Central's code; after the cause is gone the button brings it through."""
    connected.demo._bc("faults/add", kind="500", status=400, times=1, match="POST .*/salesOrders")
    customer = next(iter(connected.demo._records("customers").values()))["number"]
    message = {"company": COMPANY, "orderKey": "shop-4711", "order": {"customerNumber": customer}}
    connected.demo.events.put(resource_names.QUEUE_ORDERS, json.dumps(message))
    until(lambda: connected.demo._status()["orders_rejected"] == 1, "the refusal")
    connected.visit()
    assert "shop-4711" in connected.browser.text
    assert "Try again: order shop-4711" in connected.browser.ax_nodes("button")
    with connected.browser.navigation():
        connected.browser.click('button[aria-label="Try again: order shop-4711"]')
    assert "Redriven" in connected.browser.text
    until(lambda: connected.demo._status()["orders_rejected"] == 0, "the order")
    connected.visit()
    assert "shop-4711" not in connected.browser.text
    orders = connected.demo._records("salesOrders").values()
    assert sum(order["externalDocumentNumber"] == "SHOP-4711" for order in orders) == 1


def test_an_order_is_found_and_dismissed_on_the_page(connected: Site) -> None:
    """The field finds it by its key; dismissed it is kept, and nothing is red any more."""
    message = {"company": COMPANY, "orderKey": "shop-99", "order": {"customerNumber": "NOBODY"}}
    connected.demo.events.put(resource_names.QUEUE_ORDERS, json.dumps(message))
    until(lambda: connected.demo._status()["orders_rejected"] == 1, "the refusal")
    connected.visit()
    assert "Orders that need a person" in connected.browser.text
    connected.browser.click("#key")
    connected.browser.call("Input.insertText", text="shop-99")
    with connected.browser.navigation():
        connected.browser.click(".find button")
    assert "What bears shop-99" in connected.browser.text
    assert "The sell-to customer cannot be found." in connected.browser.text
    with connected.browser.navigation():
        connected.browser.click('button[aria-label="Dismiss: order shop-99"]')
    assert "Dismissed." in connected.browser.text
    assert "Needs attention" not in connected.browser.text
    assert "1 order dismissed" in connected.browser.text
    assert connected.demo._status()["orders_dismissed"] == 1


def test_sync_now_brings_what_is_new(connected: Site) -> None:
    """Without waiting for the next quarter of an hour; the day's number and the last event show it."""
    connected.demo.take_baseline()
    connected.visit()
    with connected.browser.navigation():
        connected.browser.click('form:has(input[value="sync"]) button')
    assert "A read of everything has begun." in connected.browser.text
    until(lambda: connected.demo._status()["last_event"] is not None, "the first event")
    until(lambda: not [one for one in connected.demo._status()["streams"] if one["state"] == "running"], "the reads")
    status = connected.demo._status()
    assert sum(one["counts"].get("announced", 0) for one in status["activity"] if one["entity"] == "items") > 0
    connected.visit()
    assert "Seven days by the hour (UTC)" in connected.browser.text
    assert " today" in connected.browser.text


def test_the_page_can_be_used_with_the_keyboard_alone(connected: Site) -> None:
    """Tab skips to the content, reaches every control in order with its focus shown, and Enter opens what is folded."""
    connected.visit()
    assert "Orders that need a person" not in connected.browser.text
    reached = []
    for _ in range(7):  # what was dismissed is folded before the connection
        connected.browser.press("Tab", 9)
        reached.append(connected.browser.js("document.activeElement.textContent || document.activeElement.name"))
        assert connected.browser.js("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    reached = [name for name in reached if "dismissed" not in name]
    assert reached == ["Skip to the content", "key", "Find", "Sync now", "Reconnect", "Disconnect\u2026"]
    connected.browser.press("Enter", 13)
    connected.browser.press("Tab", 9)
    assert connected.browser.js("document.activeElement.textContent") == "Disconnect now"


def test_a_screen_reader_finds_its_way(connected: Site) -> None:
    """One main heading, a heading a section, tables and buttons with names."""
    connected.visit()
    headings = connected.browser.ax_nodes("heading")
    assert headings[0] == "Business Central Connect"
    assert {"Connection", "Companies", "Details", "This session"} <= set(headings)
    for role in ("button", "table", "region"):
        assert all(connected.browser.ax_nodes(role)), role


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE, {"width": 320, "height": 568, "phone": True}])
def test_nothing_runs_out_of_the_window(connected: Site, size: dict[str, Any], dark: bool) -> None:
    """Down to 320 pixels, which is also 400 % zoom, nobody scrolls sideways; text stands out from its ground."""
    connected.browser.look(**size, dark=dark)
    try:
        connected.visit()
        assert connected.browser.js("document.documentElement.scrollWidth - innerWidth") <= 0
        assert lowest_contrast(connected.browser) >= 4.5
    finally:
        connected.browser.look(**DESKTOP)


def lowest_contrast(browser: Browser) -> float:
    """The lowest contrast ratio (WCAG 2.2, 1.4.3) of any text on the page."""
    return float(
        browser.js("""(() => {
            const parts = colour => colour.match(/[\\d.]+/g).map(Number);
            const light = rgb => rgb.slice(0, 3).map(v => v / 255).map(v =>
                v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4
            ).reduce((sum, v, at) => sum + v * [0.2126, 0.7152, 0.0722][at], 0);
            const ground = node => {
                for (let at = node; at; at = at.parentElement) {
                    const found = parts(getComputedStyle(at).backgroundColor);
                    if (found.length < 4 || found[3] > 0) return found;
                }
                return [255, 255, 255];
            };
            let lowest = 21;
            const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
            while (walker.nextNode()) {
                const node = walker.currentNode.parentElement;
                if (!walker.currentNode.textContent.trim() || !node.getClientRects().length) continue;
                const [a, b] = [light(parts(getComputedStyle(node).color)), light(ground(node))];
                lowest = Math.min(lowest, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05));
            }
            return lowest;
        })()""")
    )


def test_an_expired_login_is_told_and_mended_on_the_page(connected: Site) -> None:
    """The login was revoked in Entra: the page says why and what to do, and the button mends it."""
    connected.login_control("settings", token_lifetime_s=1)
    try:
        with connected.browser.navigation():
            connected.browser.click('form:has(input[value="connect"]) button')
        with connected.browser.navigation():
            connected.browser.click(f'button[value="{USER}"]')
        connected.login_control("revoke", user=USER)
        until(lambda: _runs_into_the_revoked_login(connected), "the end of the token")
    finally:
        connected.login_control("settings", token_lifetime_s=3600)
    connected.visit()
    shown = connected.browser.text
    assert "A person must sign in" in shown
    assert "revoked" in shown
    assert USER in shown
    assert "AADSTS" not in shown
    connected.connect()
    assert "Needs attention" not in connected.browser.text


def _runs_into_the_revoked_login(site: Site) -> bool:
    site.demo._get("/api/status?doctor=1")
    return bool(site.demo._status()["login"]["state"] == "needed")


def test_disconnect_asks_first_and_then_forgets_the_login(connected: Site) -> None:
    """Two clicks, no script; afterwards nothing is read until somebody connects again."""
    connected.visit()
    connected.browser.click(".actions summary")
    with connected.browser.navigation():
        connected.browser.click("button.danger")
    assert "Disconnected" in connected.browser.text
    assert connected.demo._status()["login"]["code"] == "signed_out"


def test_pictures_for_the_readme(connected: Site, tmp_path: Path) -> None:
    """A page full of life, as the README shows it: light and dark on a desk, and on a phone."""
    connected.demo.take_baseline()
    connected.demo.register_webhooks()
    for number in (1, 2):
        message = {"company": COMPANY, "orderKey": f"shop-{number}", "order": {"customerNumber": f"NOBODY-{number}"}}
        connected.demo.events.put(resource_names.QUEUE_ORDERS, json.dumps(message))
    until(lambda: connected.demo._status()["orders_rejected"] == 2, "the refusals")
    folder = ROOT / "docs" / "images" if os.environ.get("UPDATE_SCREENSHOTS") else tmp_path
    folder.mkdir(parents=True, exist_ok=True)
    looks: dict[str, dict[str, Any]] = {
        "connect-light": {**DESKTOP, "height": 1280}, "connect-dark": {**DESKTOP, "height": 1280, "dark": True},
        "connect-phone": PHONE,
    }  # fmt: skip
    for name, look in looks.items():
        connected.browser.look(**look)
        connected.visit()
        connected.browser.screenshot(folder / f"{name}.png")
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert (folder / f"{name}.png").stat().st_size > 10_000
    connected.browser.look(**DESKTOP)
