"""Engines behind a real socket in a test's own process: a server thread, for clients that bring their own HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Iterator

from aiohttp import web

from business_central_emulator.exchange import Engine
from business_central_emulator.serving import application
from local.stack.ports import LOOPBACK

START_TIMEOUT_S = 10.0


def served(engine: Engine, tls: ssl.SSLContext | None = None) -> contextlib.AbstractContextManager[str]:
    """Serve the engine on a free loopback port; give its origin, under the name `localhost` with TLS."""
    return served_application(application(engine), tls)


@contextlib.contextmanager
def served_application(app: web.Application, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Serve an aiohttp application likewise."""
    loop = asyncio.new_event_loop()
    started = threading.Event()
    port = 0

    async def start() -> web.AppRunner:
        nonlocal port
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1, auto_decompress=False)
        await runner.setup()
        site = web.TCPSite(runner, LOOPBACK, 0, ssl_context=tls)
        await site.start()
        port = int(runner.addresses[0][1])
        return runner

    async def stop(runner: web.AppRunner) -> None:
        for connection in runner.server.connections if runner.server else []:
            if connection.transport is not None:
                connection.transport.abort()  # a TLS goodbye would wait for clients that keep connections open
        await runner.cleanup()
        for _ in range(3):
            await asyncio.sleep(0)  # closing takes the loop a few turns

    def run() -> None:
        asyncio.set_event_loop(loop)
        runner = loop.run_until_complete(start())
        started.set()
        loop.run_forever()
        loop.run_until_complete(stop(runner))
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    if not started.wait(START_TIMEOUT_S):
        raise TimeoutError("the server thread did not start")
    try:
        yield f"https://localhost:{port}" if tls else f"http://{LOOPBACK}:{port}"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(START_TIMEOUT_S)
