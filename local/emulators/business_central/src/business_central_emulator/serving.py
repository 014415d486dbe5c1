"""Engines and other applications behind aiohttp on loopback, with or without TLS, until told to stop."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import ssl
from collections.abc import Sequence
from dataclasses import dataclass

from aiohttp import web

from business_central_emulator.exchange import Engine, Request
from local.stack.ports import LOOPBACK

MAX_BODY_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One application on one loopback port."""

    application: web.Application
    port: int
    tls: ssl.SSLContext | None = None


def server_tls(cert: str, key: str) -> ssl.SSLContext:
    """Give the server side of TLS from PEM files."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context


def add_tls_options(parser: argparse.ArgumentParser) -> None:
    """Add what every TLS server of the local stack takes."""
    parser.add_argument("--port", type=int, required=True, help="loopback port to serve")
    parser.add_argument("--cert", required=True, help="PEM file of the server certificate")
    parser.add_argument("--key", required=True, help="PEM file of its key")


def application(engine: Engine) -> web.Application:
    """Give an aiohttp application that answers everything from the engine."""

    async def answer(received: web.Request) -> web.StreamResponse:
        request = Request(
            method=received.method,
            url=str(received.url),
            headers={name.lower(): value for name, value in received.headers.items()},
            body=await received.read(),
        )
        # in a thread: an engine may ask another server for its signing keys
        response = await asyncio.to_thread(engine.handle, request)
        if response.delay_s:
            await asyncio.sleep(response.delay_s)
        if response.is_dropped:
            if received.transport is not None:
                received.transport.abort()
            raise ConnectionResetError
        return web.Response(status=response.status, headers=dict(response.headers), body=response.body)

    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app.router.add_route("*", "/{path:.*}", answer)
    return app


async def serve(name: str, endpoints: Sequence[Endpoint]) -> None:
    """Serve until SIGTERM or SIGINT; print one ready line per endpoint."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with contextlib.AsyncExitStack() as running:
        for endpoint in endpoints:
            runner = web.AppRunner(
                endpoint.application,
                access_log=None,
                shutdown_timeout=1,
                auto_decompress=False,  # bodies are taken, or handed on, as they came
            )
            await runner.setup()
            running.push_async_callback(runner.cleanup)
            site = web.TCPSite(runner, LOOPBACK, endpoint.port, ssl_context=endpoint.tls)
            await site.start()
            scheme = "https" if endpoint.tls else "http"
            print(f"{name} ready {scheme}://{LOOPBACK}:{endpoint.port}", flush=True)
        await stopping.wait()
