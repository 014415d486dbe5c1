"""A loopback TCP link that can be cut, delayed or left half-open: a small proxy, bytes in and bytes out.

Knows no protocol. `cut`: connections are reset, new ones at once. `half-open`: connections stay and nothing passes, as
behind a firewall that forgot them; they are reset when the link heals. `slow`: what arrives is passed on late.
"""

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Literal, Self

type Mode = Literal["open", "cut", "half-open", "slow"]

LOOPBACK: Final = "127.0.0.1"
SLOW_S: Final = 0.3  # by which each piece is late


@dataclass(eq=False)
class Link:
    """One listening port that leads to another; made by `Links`."""

    name: str
    target: int
    port: int = 0
    mode: Mode = "open"
    held: set[asyncio.StreamWriter] = field(default_factory=set)
    opened: asyncio.Event = field(default_factory=asyncio.Event)


class Links:
    """All links of one test, on one loop in one thread. Use as a context manager."""

    def __init__(self, targets: dict[str, int]) -> None:
        """Take the ports that the links lead to, by name."""
        self._links = {name: Link(name, target) for name, target in targets.items()}
        self._servers: list[asyncio.Server] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="links", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        for link in self._links.values():
            link.port = self._do(self._listen(link))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def port(self, name: str) -> int:
        """Return where a link listens."""
        return self._links[name].port

    def set(self, name: str, mode: Mode) -> None:
        """Change a link; what is connected meets it at once."""
        self._do(self._change(self._links[name], mode))

    def heal(self) -> None:
        """Open every link."""
        for name in self._links:
            self.set(name, "open")

    def _do[T](self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _listen(self, link: Link) -> int:
        link.opened.set()
        server = await asyncio.start_server(lambda reader, writer: self._carry(link, reader, writer), LOOPBACK, 0)
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    async def _change(self, link: Link, mode: Mode) -> None:
        was, link.mode = link.mode, mode
        if mode == "half-open":
            link.opened.clear()
        else:
            link.opened.set()
        if mode == "cut" or was == "half-open":
            for writer in list(link.held):
                writer.transport.abort()

    async def _carry(self, link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if link.mode == "cut":
            writer.transport.abort()
            return
        link.held.add(writer)
        far: asyncio.StreamWriter | None = None
        try:
            from_far, far = await asyncio.open_connection(LOOPBACK, link.target)
            link.held.add(far)
            await asyncio.gather(self._pump(link, reader, far), self._pump(link, from_far, writer))
        except OSError:
            pass  # either end is gone: the other learns it below
        finally:
            for end in (writer, far):
                if end is not None:
                    link.held.discard(end)
                    end.close()

    async def _pump(self, link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(65_536):
            if link.mode == "slow":
                await asyncio.sleep(SLOW_S)
            await link.opened.wait()
            writer.write(piece)
            await writer.drain()
        with contextlib.suppress(OSError, RuntimeError):
            writer.write_eof()

    async def _end(self) -> None:
        for server in self._servers:
            server.close()
        for link in self._links.values():
            for writer in list(link.held):
                writer.transport.abort()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
