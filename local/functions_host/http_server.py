"""HTTP/1.1 on a socket, with Kestrel's limits and manners: what is refused gets an empty answer, then a close.

A body is read only when it is asked for; one that nobody read is taken off the connection after the answer. A client
that goes away does not stop the handler.
"""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from typing import Final

from local.functions_host.errors import PORT_IN_USE, HostError
from local.functions_host.http_messages import (
    BadRequestError,
    Pairs,
    Request,
    Response,
    read_header,
    read_request_line,
    wire_form,
)

Handler = Callable[[Request], Awaitable[Response]]

ADDRESS: Final = "127.0.0.1"
LINE_BYTES: Final = 8 * 1024
HEADERS_BYTES: Final = 32 * 1024
MOST_HEADERS: Final = 100
IDLE_S: Final = 130.0
DRAIN_S: Final = 5.0
_BUFFER_BYTES: Final = 256 * 1024

_log = logging.getLogger("local.functions_host")


def listen(port: int) -> socket.socket:
    """Take the port, on the loopback address only.

    Raises:
        HostError: something else listens there.
    """
    server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        server.bind((ADDRESS, port))
        server.listen(128)
    except OSError as error:
        server.close()
        raise HostError(f"port {port} cannot be used: {os.strerror(error.errno or 0)}", PORT_IN_USE) from error
    return server


class HttpServer:
    """A server on a socket that listens already."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._idle: set[asyncio.StreamWriter] = set()
        self._is_stopping = False

    async def start(self, listening: socket.socket) -> None:
        """Begin to accept connections."""
        self._server = await asyncio.start_server(self._serve, sock=listening, limit=_BUFFER_BYTES)

    async def close_door(self) -> None:
        """Accept no more connections, close the idle ones; requests under way go on."""
        self._is_stopping = True
        if self._server is not None:
            self._server.close()
        for writer in set(self._idle):
            writer.close()

    async def stop(self, grace_s: float) -> None:
        """Close every connection; answers that are being written have this long."""
        await self.close_door()
        if self._connections:
            await asyncio.wait(set(self._connections), timeout=grace_s)
        for task in set(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while await self._exchange(reader, writer) and not self._is_stopping:
                continue
        except (EOFError, ConnectionError, TimeoutError):
            return  # the client is gone
        finally:
            self._connections.discard(task)
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; True if the connection can carry another one."""
        self._idle.add(writer)
        try:
            async with asyncio.timeout(IDLE_S):
                line = await _line(reader, LINE_BYTES, 414)
            self._idle.discard(writer)
            method, path, query, version = read_request_line(line)
            headers = await _headers(reader)
            body = _Body(reader, writer, headers, version)
        except BadRequestError as refused:
            writer.write(_dated(Response(refused.status), method="GET", version="HTTP/1.1", closes=True))
            await _drain(reader, writer)
            return False
        finally:
            self._idle.discard(writer)
        request = Request(method, path, query, body.headers, body.length, body.read)
        closes = version == "HTTP/1.0" or (request.header("connection") or "").lower() == "close" or self._is_stopping
        try:
            response = await self._handler(request)
        except Exception:  # noqa: BLE001 - a fault of the handler is one answer, not the server's end
            _log.exception("%s %s: no answer", method, path)
            response = Response(500)
        lengths = {value for name, value in response.headers if name.lower() == "content-length"}
        closes = closes or 100 <= response.status < 200 or not lengths <= {str(len(response.body))}
        writer.write(_dated(response, method=method, version=version, closes=closes))
        await writer.drain()
        if not body.is_read:
            try:
                async with asyncio.timeout(DRAIN_S):
                    await body.read()
            except (BadRequestError, EOFError, ValueError, TimeoutError):
                closes = True
        if closes:
            await _drain(reader, writer)
        return not closes


def _dated(response: Response, *, method: str, version: str, closes: bool) -> bytes:
    names = {name.lower() for name, _ in response.headers}
    own: Pairs = (("Connection", "close"),) if closes and "connection" not in names else ()
    own += (("Date", formatdate(usegmt=True)),) if "date" not in names else ()
    return wire_form(
        Response(response.status, (*own, *response.headers), response.body), method=method, version=version
    )


async def _drain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say that nothing more comes, and take what the client still sends: a close over unread bytes loses the answer."""
    with contextlib.suppress(EOFError, ConnectionError, TimeoutError, OSError):
        await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
        async with asyncio.timeout(DRAIN_S):
            while await reader.read(_BUFFER_BYTES):
                continue


async def _line(reader: asyncio.StreamReader, most: int, status: int) -> bytes:
    try:
        line = await reader.readuntil(b"\r\n")
    except asyncio.LimitOverrunError:
        raise BadRequestError(status) from None
    except asyncio.IncompleteReadError:
        raise EOFError from None
    if len(line) > most:
        raise BadRequestError(status)
    return line[:-2]


async def _headers(reader: asyncio.StreamReader) -> Pairs:
    headers: list[tuple[str, str]] = []
    left = HEADERS_BYTES
    while line := await _line(reader, left, 431):
        left -= len(line) + 2
        headers.append(read_header(line))
        if len(headers) > MOST_HEADERS:
            raise BadRequestError(431)
    return tuple(headers)


class _Body:
    """The body of one request, read when asked for."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, headers: Pairs, version: str
    ) -> None:
        named = [(name.lower(), value) for name, value in headers]
        lengths = [value for name, value in named if name == "content-length"]
        hosts = sum(name == "host" for name, _ in named)
        if len(lengths) > 1 or not all(text.isascii() and text.isdigit() for text in lengths) or hosts > 1:
            raise BadRequestError(400)
        if not hosts and version == "HTTP/1.1":
            raise BadRequestError(400)
        self._reader = reader
        self._writer = writer
        self._is_chunked = any(name == "transfer-encoding" for name, _ in named)
        self._expects = any(name == "expect" and value.lower() == "100-continue" for name, value in named)
        self.is_read = not lengths and not self._is_chunked
        self.length = int(lengths[0]) if lengths and not self._is_chunked else None
        # Kestrel sets a length aside that contradicts the chunks.
        renamed = {"content-length": "X-Content-Length"} if self._is_chunked else {}
        self.headers = tuple((renamed.get(name.lower(), name), value) for name, value in headers)

    async def read(self) -> bytes:
        """Return the whole body.

        Raises:
            EOFError: the client went away before its end.
            ValueError: chunks that are none.
        """
        if self.is_read:
            return b""
        if self._expects:
            self._writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        try:
            body = await self._chunks() if self._is_chunked else await self._reader.readexactly(self.length or 0)
        except asyncio.IncompleteReadError:
            raise EOFError from None
        self.is_read = True
        return body

    async def _chunks(self) -> bytes:
        parts: list[bytes] = []
        while size := int((await _line(self._reader, LINE_BYTES, 400)).partition(b";")[0], 16):
            parts.append(await self._reader.readexactly(size))
            if await self._reader.readexactly(2) != b"\r\n":
                raise ValueError("a chunk is longer than it says")
        while await _line(self._reader, LINE_BYTES, 400):
            continue
        return b"".join(parts)
