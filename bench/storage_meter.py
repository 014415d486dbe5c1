"""Counts storage transactions: a relay in front of Azurite that the app and its host talk through while it counts."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp import web
from yarl import URL

from local.stack.ports import choose

SERVICES = ("blob", "queue", "table")
_DROPPED = {"transfer-encoding", "connection", "keep-alive", "content-length", "host"}
_OWN_HEADERS = ("Accept", "Accept-Encoding", "User-Agent", "Content-Type")  # which a client would add
_MAX_BODY = 300 * 1024 * 1024


class StorageMeter:
    """The relay. Use as a context manager; hand it to `World`, which tells it where Azurite is."""

    def __init__(self) -> None:
        """Choose ports for Azurite and for the relay."""
        names = {f"{kind}_{service}": 0 for kind in ("azurite", "meter") for service in SERVICES}
        self.ports = choose(names)
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._runners: list[web.AppRunner] = []
        self._client: aiohttp.ClientSession | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(30)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)

    @property
    def azurite_ports(self) -> dict[str, int]:
        """Where Azurite is to listen."""
        return {service: self.ports[f"azurite_{service}"] for service in SERVICES}

    def through(self, connection_string: str) -> str:
        """Return the connection string that leads through the relay."""
        for service in SERVICES:
            here, there = self.ports[f"meter_{service}"], self.ports[f"azurite_{service}"]
            connection_string = connection_string.replace(f":{there}/", f":{here}/")
        return connection_string

    def reset(self) -> None:
        """Begin to count anew."""
        with self._lock:
            self._counts.clear()

    def counts(self) -> dict[str, int]:
        """Return how many transactions of each kind there were."""
        with self._lock:
            return dict(self._counts)

    async def _start(self) -> None:
        self._client = aiohttp.ClientSession(auto_decompress=False)
        for service in SERVICES:
            app = web.Application(client_max_size=_MAX_BODY)
            app.router.add_route("*", "/{path:.*}", self._relay_of(service))
            runner = web.AppRunner(app, access_log=None, auto_decompress=False)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", self.ports[f"meter_{service}"]).start()
            self._runners.append(runner)

    async def _stop(self) -> None:
        for runner in self._runners:
            await runner.cleanup()
        if self._client is not None:
            await self._client.close()

    def _relay_of(self, service: str) -> Callable[[web.Request], Awaitable[web.Response]]:
        origin = f"http://127.0.0.1:{self.ports[f'azurite_{service}']}"

        async def relay(request: web.Request) -> web.Response:
            assert self._client is not None
            headers = {name: value for name, value in request.headers.items() if name.lower() not in _DROPPED}
            async with self._client.request(
                request.method, URL(origin + request.raw_path, encoded=True), headers=headers,
                data=await request.read(), skip_auto_headers=_OWN_HEADERS,
            ) as answer:  # fmt: skip
                body = await answer.read()
            with self._lock:
                self._counts[_kind(service, request, body)] += 1
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in _DROPPED}
            return web.Response(status=answer.status, body=body, headers=kept)

        return relay


def _kind(service: str, request: web.Request, body: bytes) -> str:
    """Return the kind of a transaction as it is billed; an empty poll of a queue stands by itself."""
    reads = request.method in {"GET", "HEAD"}
    if service == "queue":
        if request.method == "GET" and request.path.endswith("/messages"):
            return "queue poll, empty" if b"<QueueMessage>" not in body else "queue"
        return "queue"
    if service == "blob":
        return "blob read" if reads or request.method == "DELETE" else "blob write"
    return "table"
