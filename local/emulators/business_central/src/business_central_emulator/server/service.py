"""Business Central as a service: the API, the control paths, and the webhook sender as a background task.

The handshake and each notification give the engine's lock back while they wait for the subscriber, so that other
requests go on.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Final
from urllib.parse import urlsplit

import requests
from aiohttp import web

from business_central_emulator.engine import BusinessCentral
from business_central_emulator.server import control
from business_central_emulator.server.exchange import Engine, HandshakeAnswer, Request, Response
from business_central_emulator.server.serving import application

_LOG: Final = logging.getLogger(__name__)
HANDSHAKE_TIMEOUT_S: Final = 5.0  # ApiSubscriptionNotificationUrlTimeout
SENDING_TIMEOUT_S: Final = 30.0  # ApiSubscriptionSendingNotificationTimeout


class Subscribers:
    """Calls to subscribers over HTTPS."""

    def __init__(self, lock: threading.RLock, *, ca_bundle: str | None = None) -> None:
        self._lock = lock
        self._ca_bundle = ca_bundle
        self._local = threading.local()

    def shake_hands(self, url: str) -> HandshakeAnswer | None:
        """Call the subscriber with its token; None when it does not answer within 5 s."""
        with self._unlocked():
            try:
                answer = self._session().post(url, data=b"", timeout=HANDSHAKE_TIMEOUT_S)
            except requests.RequestException as fault:
                _LOG.info("handshake.failed %s %s", _host(url), type(fault).__name__)
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
                _LOG.info("notification.failed %s %s", _host(url), type(fault).__name__)
                return None
            return answer.status_code

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = requests.Session()
            session.trust_env = False
            session.verify = self._ca_bundle or True
        return session

    @contextlib.contextmanager
    def _unlocked(self) -> Iterator[None]:
        self._lock.release()
        try:
            yield
        finally:
            self._lock.acquire()


class _Controlled(Engine):
    """The engine with its control paths, which need no token and count as no request."""

    def __init__(self, engine: BusinessCentral) -> None:
        self._engine = engine

    def handle(self, request: Request) -> Response:
        """Answer one request."""
        if request.path.startswith(control.PREFIX):
            return control.handle(self._engine, request.path.removeprefix(control.PREFIX), request.body)
        return self._engine.handle(request)

    def turn(self, request: Request) -> AbstractContextManager[bool]:
        """Return the place of a request among those in process."""
        return nullcontext(True) if request.path.startswith(control.PREFIX) else self._engine.turn(request)


def business_central(
    engine: BusinessCentral, *, ca_bundle: str | None = None, interval_s: float = 0.25, compresses: bool = False
) -> web.Application:
    """Return the application of one engine; `ca_bundle` names the CAs trusted for webhooks (PEM)."""
    subscribers = Subscribers(engine.lock, ca_bundle=ca_bundle)
    engine.handshake = subscribers.shake_hands
    app = application(_Controlled(engine), compresses=compresses)

    async def send_forever(_app: web.Application) -> AsyncIterator[None]:
        async def run() -> None:
            while True:
                try:
                    await asyncio.to_thread(engine.run_webhooks, subscribers.send)
                except Exception:  # noqa: BLE001 the sender must outlive a bad run; the fault is logged with its trace
                    _LOG.exception("sender.failed")
                await asyncio.sleep(interval_s)

        sender = asyncio.create_task(run())
        yield
        sender.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sender

    app.cleanup_ctx.append(send_forever)
    return app


def _host(url: str) -> str:
    return urlsplit(url).netloc
