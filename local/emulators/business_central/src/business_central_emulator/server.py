"""The engine behind HTTPS on loopback: requests, control paths, and the webhook sender as a background task.

Engine calls run one at a time in worker threads; the handshake gives the lock back while it waits for the subscriber,
so other requests go on. Reset connections, silent waits and cut bodies are made on the socket.
"""

import asyncio
import contextlib
import logging
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import requests
from aiohttp import web

from business_central_emulator import control
from business_central_emulator.engine import BusinessCentral
from business_central_emulator.messages import HandshakeAnswer, Request, Response, Transport

_LOG: Final = logging.getLogger(__name__)
HANDSHAKE_TIMEOUT_S: Final = 5.0  # ApiSubscriptionNotificationUrlTimeout
SENDING_TIMEOUT_S: Final = 30.0  # ApiSubscriptionSendingNotificationTimeout
MAX_BODY: Final = 350 * 1024 * 1024
#: Callers that wait for a place under enforced limits block a thread each.
_MAX_THREADS: Final = 128
#: How long a "no answer" fault keeps the connection open at most.
SILENCE_S: Final = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """Where to listen and whom to trust."""

    port: int
    host: str = "127.0.0.1"
    cert: str | None = None
    key: str | None = None
    ca_bundle: str | None = None
    sender_interval_s: float = 0.25


class Server:
    """One engine as an HTTP service."""

    def __init__(self, engine: BusinessCentral, options: ServerOptions) -> None:
        self.engine = engine
        self.options = options
        self._pool = ThreadPoolExecutor(max_workers=_MAX_THREADS, thread_name_prefix="bc")
        self._local = threading.local()
        engine.handshake = self.shake_hands
        self._runner: web.AppRunner | None = None
        self._sender: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self.port = options.port

    async def start(self) -> None:
        """Listen and start the sender; returns when both are up."""
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_route("*", "/{path:.*}", self._serve)
        # access logs would print query strings
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=2.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.options.host, self.options.port, ssl_context=_server_tls(self.options))
        await site.start()
        sockets = getattr(site._server, "sockets", None)  # noqa: SLF001 the only way to learn a free port
        if sockets:
            self.port = sockets[0].getsockname()[1]
        self._sender = asyncio.create_task(self._send_forever())

    async def stop(self) -> None:
        """Stop sending and listening."""
        self._stopping.set()
        if self._sender is not None:
            self._sender.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sender
        if self._runner is not None:
            await self._runner.cleanup()
        self._pool.shutdown(wait=False, cancel_futures=True)

    # -- outgoing calls ----------------------------------------------------------------------------------------------

    def shake_hands(self, url: str) -> HandshakeAnswer | None:
        """Call the subscriber with its token; None when it does not answer within 5 s."""
        with self._unlocked():
            try:
                answer = self._session().post(url, data=b"", timeout=HANDSHAKE_TIMEOUT_S)
            except requests.RequestException as fault:
                _LOG.info("handshake.failed %s %s", _origin(url), type(fault).__name__)
                return None
            return HandshakeAnswer(
                status=answer.status_code, content_type=answer.headers.get("Content-Type", ""), body=answer.content
            )

    def send(self, url: str, headers: Mapping[str, str], body: bytes) -> int | None:
        """Send one notification; None when no answer came."""
        with self._unlocked():
            try:
                answer = self._session().post(url, data=body, headers=dict(headers), timeout=SENDING_TIMEOUT_S)
            except requests.RequestException as fault:
                _LOG.info("notification.failed %s %s", _origin(url), type(fault).__name__)
                return None
            return answer.status_code

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = requests.Session()
            session.trust_env = False
            session.verify = self.options.ca_bundle or True
        return session

    @contextlib.contextmanager
    def _unlocked(self) -> Iterator[None]:
        """Let others use the engine while this thread waits for a subscriber."""
        self.engine.lock.release()
        try:
            yield
        finally:
            self.engine.lock.acquire()

    async def _send_forever(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                await loop.run_in_executor(self._pool, self._locked, lambda: self.engine.run_webhooks(self.send))
            except Exception:  # noqa: BLE001 the sender must outlive a bad run; the fault is logged with its trace
                _LOG.exception("sender.failed")
            await asyncio.sleep(self.options.sender_interval_s)

    # -- incoming calls ----------------------------------------------------------------------------------------------

    def _locked[Result](self, act: Callable[[], Result]) -> Result:
        with self.engine.lock:
            return act()

    async def _serve(self, incoming: web.Request) -> web.StreamResponse:
        body = await incoming.read()
        loop = asyncio.get_running_loop()
        if incoming.path.startswith(control.PREFIX):
            name = incoming.path.removeprefix(control.PREFIX)
            answer = await loop.run_in_executor(
                self._pool, self._locked, lambda: control.handle(self.engine, name, body)
            )
            return web.Response(status=answer.status, headers=dict(answer.headers), body=answer.body)
        scheme = "https" if self.options.cert else "http"
        request = Request(
            method=incoming.method,
            url=f"{scheme}://{incoming.host}{incoming.raw_path}",
            headers=dict(incoming.headers),
            body=body,
        )
        principal = await loop.run_in_executor(self._pool, self.engine.principal_of, request) or "anonymous"
        if not await loop.run_in_executor(self._pool, self.engine.limits.enter, principal):
            return web.Response(status=429)
        try:
            answer = await loop.run_in_executor(self._pool, self._locked, lambda: self.engine.handle(request))
            return await self._reply(incoming, answer)
        finally:
            self.engine.limits.leave(principal)

    async def _reply(self, incoming: web.Request, answer: Response) -> web.StreamResponse:
        connection = incoming.transport  # gone from the request once the client hangs up, yet still to be closed
        if answer.delay_s:
            await asyncio.sleep(answer.delay_s)
        if answer.transport is Transport.TIMEOUT:
            await self._keep_silent(incoming)
        if answer.transport in (Transport.RESET, Transport.TIMEOUT):
            if connection is not None:
                connection.abort()
            raise ConnectionResetError("scripted")
        if answer.transport is Transport.TRUNCATED:
            return await self._cut(incoming, answer)
        return web.Response(status=answer.status, headers=dict(answer.headers), body=answer.body)

    async def _keep_silent(self, incoming: web.Request) -> None:
        """Say nothing until the client hangs up, the server stops or the longest silence is over."""
        deadline = asyncio.get_running_loop().time() + SILENCE_S
        while not self._stopping.is_set() and asyncio.get_running_loop().time() < deadline:
            if incoming.transport is None or incoming.transport.is_closing():
                return
            await asyncio.sleep(0.02)

    async def _cut(self, incoming: web.Request, answer: Response) -> web.StreamResponse:
        stream = web.StreamResponse(status=answer.status, headers=dict(answer.headers))
        stream.content_length = len(answer.body)
        await stream.prepare(incoming)
        await stream.write(answer.body[: len(answer.body) // 2])
        if incoming.transport is not None:
            incoming.transport.abort()
        return stream


def _origin(url: str) -> str:
    return urlsplit(url).netloc


def _server_tls(options: ServerOptions) -> ssl.SSLContext | None:
    if options.cert is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(options.cert, options.key)
    return context
