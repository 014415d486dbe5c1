"""A headless Chromium driven over its DevTools protocol: real clicks, real keys, no script of ours in the page.

One page, one socket, no thread: a call sends a message and reads until its answer comes; events met on the way wait
until somebody asks for them.
"""

import asyncio
import base64
import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATIENCE_S = 30.0
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
    "--hide-scrollbars", "--no-proxy-server", "--ignore-certificate-errors", "--remote-debugging-port=0",
)  # fmt: skip


class Browser:
    """One page of a running Chromium."""

    def __init__(self, loop: asyncio.AbstractEventLoop, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._loop = loop
        self._socket = socket
        self._number = 0
        self.events: list[dict[str, Any]] = []  # not asked for yet
        for domain in ("Page", "Network", "Accessibility"):
            self.call(f"{domain}.enable")

    # -- the protocol

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and return its result."""
        self._number += 1
        number = self._number
        self._run(self._socket.send_json({"id": number, "method": method, "params": params}))
        while True:
            message = self._receive()
            if message.get("id") == number:
                assert "error" not in message, f"{method}: {message['error']}"
                return dict(message["result"])

    def await_event(self, method: str) -> dict[str, Any]:
        """Return the parameters of the next event of a kind; those before it are kept."""
        for place, event in enumerate(self.events):
            if event["method"] == method:
                return dict(self.events.pop(place)["params"])
        while True:
            message = self._receive()
            if message.get("method") == method:
                return dict(self.events.pop()["params"])

    def _receive(self) -> dict[str, Any]:
        message: dict[str, Any] = self._run(self._socket.receive_json())
        if "method" in message:
            self.events.append(message)
        return message

    def _run(self, work: Any) -> Any:
        return self._loop.run_until_complete(asyncio.wait_for(work, PATIENCE_S))

    # -- what a person does

    def open(self, url: str) -> None:
        """Open an address and wait until it is loaded, redirects followed."""
        with self.navigation():
            self.call("Page.navigate", url=url)

    @contextmanager
    def navigation(self) -> Iterator[None]:
        """Do something that leads to another page, and wait until that is loaded."""
        self.events = [event for event in self.events if event["method"] != "Page.loadEventFired"]
        yield
        self.await_event("Page.loadEventFired")

    def click(self, selector: str) -> None:
        """Click on the middle of the first element that a selector finds, wherever it is on the page."""
        place = self.js(
            f"(() => {{ const found = document.querySelector({selector!r}); if (!found) return null;"
            "found.scrollIntoView({block: 'center', behavior: 'instant'}); const at = found.getBoundingClientRect();"
            "return [at.x + at.width / 2, at.y + at.height / 2]; })()"
        )
        assert place, f"there is no {selector}"
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", clickCount=1)

    def press(self, key: str, code: int) -> None:
        """Press a key, for example Tab (9) or Enter (13)."""
        text = {"text": "\r"} if key == "Enter" else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, code=key, windowsVirtualKeyCode=code, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, code=key, windowsVirtualKeyCode=code)

    # -- what a person sees

    def js(self, expression: str) -> Any:
        """Evaluate an expression beside the page; its own scripts may be switched off."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    @property
    def address(self) -> str:
        """What the address bar shows."""
        return str(self.js("location.href"))

    @property
    def text(self) -> str:
        """The text that is visible on the page."""
        return str(self.js("document.body.innerText"))

    def look(self, *, width: int, height: int, dark: bool = False, phone: bool = False) -> None:
        """Set the window and the person's preference."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def screenshot(self, path: Path) -> None:
        """Write what is in the window as a PNG."""
        path.write_bytes(
            base64.b64decode(self.call("Page.captureScreenshot", format="png", optimizeForSpeed=False)["data"])
        )

    def ax_nodes(self, role: str) -> list[str]:
        """The names that assistive technology reads for every element of a role."""
        nodes = self.call("Accessibility.getFullAXTree")["nodes"]
        found = [node for node in nodes if not node["ignored"] and node.get("role", {}).get("value") == role]
        return [str(node.get("name", {}).get("value", "")) for node in found]


def find() -> str:
    """Return the path of an installed Chromium; skips the test, with the reason, where there is none."""
    found = os.environ.get("CHROMIUM") or next((path for name in NAMES if (path := shutil.which(name))), "")
    if not found:
        pytest.skip("no Chromium is installed (looked for CHROMIUM and " + ", ".join(NAMES) + ")")
    return found


@contextmanager
def running_browser(profile: Path) -> Iterator[Browser]:
    """Start a Chromium with a fresh profile; nothing of it is left afterwards."""
    command = [find(), *FLAGS, f"--user-data-dir={profile}", "about:blank"]
    with (profile.parent / "chromium.log").open("wb") as log:
        child = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    loop = asyncio.new_event_loop()
    session: aiohttp.ClientSession | None = None
    try:
        port = _port(profile / "DevToolsActivePort", child)
        session = loop.run_until_complete(_session())
        yield Browser(loop, loop.run_until_complete(_connect(session, port)))
    finally:
        if session is not None:
            loop.run_until_complete(session.close())
        loop.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait(PATIENCE_S)


def _port(file: Path, child: subprocess.Popen[bytes]) -> int:
    deadline = time.monotonic() + PATIENCE_S
    while not (file.is_file() and file.read_text().strip()):
        assert child.poll() is None, "Chromium ended at once; see chromium.log"
        assert time.monotonic() < deadline, "Chromium does not open its port"
        time.sleep(0.05)
    return int(file.read_text().splitlines()[0])


async def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession()


async def _connect(session: aiohttp.ClientSession, port: int) -> aiohttp.ClientWebSocketResponse:
    async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
        pages = [target for target in await answer.json() if target["type"] == "page"]
    return await session.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=0)
