"""Engines behind a real socket in a test's own process: a server thread, for clients that bring their own HTTP."""

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Iterator

from aiohttp import web

from business_central_emulator.server.exchange import Engine
from business_central_emulator.server.serving import LOOPBACK, Endpoint, application, listening

START_TIMEOUT_S = 10.0


def served(engine: Engine, tls: ssl.SSLContext | None = None) -> contextlib.AbstractContextManager[str]:
    """Serve the engine on a free loopback port; give its origin, under the name `localhost` with TLS."""
    return served_application(application(engine), tls)


@contextlib.contextmanager
def served_application(app: web.Application, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Serve an aiohttp application likewise."""
    loop = asyncio.new_event_loop()
    started = threading.Event()
    stopping = asyncio.Event()
    port = 0

    async def live() -> None:
        nonlocal port
        async with listening(Endpoint(application=app, port=0, tls=tls)) as port:
            started.set()
            await stopping.wait()
        for _ in range(3):
            await asyncio.sleep(0)  # closing takes the loop a few turns

    def run() -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(live())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    if not started.wait(START_TIMEOUT_S):
        raise TimeoutError("the server thread did not start")
    try:
        yield f"https://localhost:{port}" if tls else f"http://{LOOPBACK}:{port}"
    finally:
        loop.call_soon_threadsafe(stopping.set)
        thread.join(START_TIMEOUT_S)
