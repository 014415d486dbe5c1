"""Engines behind aiohttp on loopback, with or without TLS, until told to stop.

Engine calls run in worker threads. Reset connections, silent waits and cut bodies are made on the socket.
"""

import argparse
import asyncio
import contextlib
import errno
import signal
import ssl
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from business_central_emulator.server.exchange import Engine, Request, Response, Transport

MAX_LINE_BYTES: Final = 64 * 1024  # an engine says itself what is too long
MIN_COMPRESSED_BYTES: Final = 1024
LOOPBACK: Final = "127.0.0.1"
MAX_BODY_BYTES: Final = 350 * 1024 * 1024  # what Business Central takes
#: How long a "no answer" fault keeps the connection open at most.
SILENCE_S: Final = 600.0
#: Callers that wait for their turn block a thread each.
_MAX_THREADS: Final = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One application on one loopback port; 0 takes a free one."""

    application: web.Application
    port: int
    tls: ssl.SSLContext | None = None


def server_tls(cert: str, key: str) -> ssl.SSLContext:
    """Return the server side of TLS from PEM files."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context


def add_tls_options(parser: argparse.ArgumentParser) -> None:
    """Add what every TLS server takes."""
    parser.add_argument("--port", type=int, required=True, help="loopback port to serve")
    parser.add_argument("--cert", required=True, help="PEM file of the server certificate")
    parser.add_argument("--key", required=True, help="PEM file of its key")


def application(engine: Engine, *, compresses: bool = False) -> web.Application:
    """Return an aiohttp application that answers everything from the engine, with gzip where `compresses`."""
    app = web.Application(client_max_size=MAX_BODY_BYTES)
    carrier = _Carrier(engine, compresses=compresses)
    app.cleanup_ctx.append(carrier.pool_for_its_life)
    app.on_shutdown.append(carrier.stop_silence)
    app.router.add_route("*", "/{path:.*}", carrier.serve)
    return app


@contextlib.asynccontextmanager
async def listening(endpoint: Endpoint) -> AsyncIterator[int]:
    """Serve an endpoint and give its port."""
    # access logs would print query strings; bodies are taken, or handed on, as they came
    runner = web.AppRunner(
        endpoint.application,
        access_log=None,
        shutdown_timeout=1,
        auto_decompress=False,
        max_line_size=MAX_LINE_BYTES,
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, LOOPBACK, endpoint.port, ssl_context=endpoint.tls).start()
        yield int(runner.addresses[0][1])
    finally:
        for connection in runner.server.connections if runner.server else []:
            if connection.transport is not None:
                connection.transport.abort()  # a TLS goodbye would wait for clients that keep connections open
        await runner.cleanup()


async def serve(name: str, endpoints: Sequence[Endpoint]) -> None:
    """Serve until SIGTERM or SIGINT; print one ready line per endpoint.

    Raises:
        SystemExit: a port can't be listened on; its message is one line.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with contextlib.AsyncExitStack() as running:
        for endpoint in endpoints:
            try:
                port = await running.enter_async_context(listening(endpoint))
            except OSError as error:
                is_taken = error.errno == errno.EADDRINUSE
                why = "is in use; stop what uses it or choose another port" if is_taken else f"is refused: {error}"
                raise SystemExit(f"{name}: port {endpoint.port} on {LOOPBACK} {why}") from None
            print(f"{name} ready {'https' if endpoint.tls else 'http'}://{LOOPBACK}:{port}", flush=True)
        await stopping.wait()


class _Carrier:
    """Carries requests to an engine and its answers back."""

    def __init__(self, engine: Engine, *, compresses: bool) -> None:
        self._engine = engine
        self._compresses = compresses
        self._pool: ThreadPoolExecutor
        self._stopping = asyncio.Event()

    async def pool_for_its_life(self, _app: web.Application) -> AsyncIterator[None]:
        self._pool = ThreadPoolExecutor(max_workers=_MAX_THREADS, thread_name_prefix="emulator")
        yield
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def stop_silence(self, _app: web.Application) -> None:
        self._stopping.set()

    async def serve(self, incoming: web.Request) -> web.StreamResponse:
        loop = asyncio.get_running_loop()
        request = Request(
            method=incoming.method,
            url=f"{incoming.scheme}://{incoming.host}{incoming.raw_path}",
            headers=dict(incoming.headers),
            body=await incoming.read(),
        )
        turn = self._engine.turn(request)
        has_place = await loop.run_in_executor(self._pool, turn.__enter__)
        try:
            if not has_place:
                return web.Response(status=429)
            # in a thread: an engine may ask another server for its signing keys
            answer = await loop.run_in_executor(self._pool, self._engine.handle, request)
            return await self._reply(incoming, answer)
        finally:
            turn.__exit__(None, None, None)

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
            return await _cut(incoming, answer)
        response = web.Response(status=answer.status, headers=dict(answer.headers), body=answer.body)
        takes_gzip = "gzip" in incoming.headers.get("Accept-Encoding", "")
        if self._compresses and takes_gzip and len(answer.body) >= MIN_COMPRESSED_BYTES:
            response.enable_compression(web.ContentCoding.gzip)
        return response

    async def _keep_silent(self, incoming: web.Request) -> None:
        """Say nothing until the client hangs up, the server stops or the longest silence is over."""
        deadline = asyncio.get_running_loop().time() + SILENCE_S
        while not self._stopping.is_set() and asyncio.get_running_loop().time() < deadline:
            if incoming.transport is None or incoming.transport.is_closing():
                return
            await asyncio.sleep(0.02)


async def _cut(incoming: web.Request, answer: Response) -> web.StreamResponse:
    stream = web.StreamResponse(status=answer.status, headers=dict(answer.headers))
    stream.content_length = len(answer.body)
    await stream.prepare(incoming)
    await stream.write(answer.body[: len(answer.body) // 2])
    if incoming.transport is not None:
        incoming.transport.abort()
    return stream
