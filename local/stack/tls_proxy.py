"""`python -m local.stack.tls_proxy`: TLS in front of the functions host, as App Service's front end is in Azure.

Business Central calls https addresses only. Bodies stream through in both directions; the host keeps seeing the public
`Host`, and learns by `X-Forwarded-Proto` that the caller used https. While the host is down callers get 503, which
makes Business Central deliver again.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator, Mapping

import aiohttp
from aiohttp import web
from business_central_emulator.server.serving import Endpoint, add_tls_options, serve, server_tls
from multidict import CIMultiDict
from yarl import URL

MAX_BODY_BYTES = 210 * 1024 * 1024  # the limit of an HTTP request in Azure Functions
CHUNK_BYTES = 64 * 1024
# what belongs to one connection (RFC 9110, 7.6.1) and is not handed on
HOP_BY_HOP = {
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}


def proxy_application(target: str) -> web.Application:
    """Give an application that hands every request to `target`, an http origin."""
    client: aiohttp.ClientSession

    async def hold_client(_: web.Application) -> AsyncIterator[None]:
        nonlocal client
        timeout = aiohttp.ClientTimeout(total=None, connect=5, sock_read=230)  # Azure's front end gives up after 230 s
        client = aiohttp.ClientSession(auto_decompress=False, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar())
        yield
        await client.close()

    async def forward(received: web.Request) -> web.StreamResponse:
        response: web.StreamResponse | None = None
        try:
            async with client.request(
                received.method,
                URL(f"{target}{received.raw_path}", encoded=True),
                headers=_request_headers(received),
                data=received.content.iter_chunked(CHUNK_BYTES) if received.body_exists else None,
                allow_redirects=False,
            ) as answer:
                response = web.StreamResponse(status=answer.status, headers=_kept(answer.headers))
                await response.prepare(received)
                async for chunk in answer.content.iter_chunked(CHUNK_BYTES):
                    await response.write(chunk)
                await response.write_eof()
                return response
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, TimeoutError):
            if response is not None:  # the answer had begun: all that is left is to break it off
                if received.transport is not None:
                    received.transport.abort()
                return response
            return web.Response(status=503, text="The service is unavailable.")

    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app.cleanup_ctx.append(hold_client)
    app.router.add_route("*", "/{path:.*}", forward)
    return app


def _request_headers(received: web.Request) -> CIMultiDict[str]:
    headers = _kept(received.headers)
    headers["X-Forwarded-Proto"] = received.scheme
    headers["X-Forwarded-Host"] = received.host
    headers["X-Forwarded-For"] = received.remote or ""
    return headers


def _kept(headers: Mapping[str, str]) -> CIMultiDict[str]:
    kept: CIMultiDict[str] = CIMultiDict(headers)
    for name in HOP_BY_HOP | {word.strip().lower() for word in kept.get("Connection", "").split(",")}:
        kept.popall(name, None)
    return kept


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m local.stack.tls_proxy", description=__doc__)
    add_tls_options(parser)
    parser.add_argument("--target", required=True, help="origin of the functions host, e.g. http://127.0.0.1:7071")
    options = parser.parse_args()
    tls = server_tls(options.cert, options.key)
    endpoint = Endpoint(application=proxy_application(options.target), port=options.port, tls=tls)
    asyncio.run(serve("tls_proxy", [endpoint]))


if __name__ == "__main__":
    main()
