"""The host's end of the worker process: starts it, passes calls on, and starts another one when it has ended.

The rules are the script host's: a worker that ends takes all its calls along, calls wait for the next one, and the
third end within 30 minutes ends the host. A worker that the host itself ended, for a time-out, is not counted.
"""

import asyncio
import contextlib
import logging
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Final

from local.functions_host.calls import Answer, Call, Indexed
from local.functions_host.errors import HostError
from local.functions_host.frames import read_frame, to_frame
from local.functions_host.values import CallResult

RUNTIME_VERSION: Final = "1.3.0"
MOST_DEATHS: Final = 3
WINDOW_S: Final = 30 * 60.0
_ROOT: Final = Path(__file__).parents[2]
_BUFFER_BYTES: Final = 1 << 20
_SHUTTING_DOWN: Final = "FunctionTimeoutAbortException: Worker channel is shutting down. Aborting function."

_log = logging.getLogger("local.functions_host")


class WorkerEndedError(Exception):
    """The worker process ended before the call did."""


def check_runtime_version() -> None:
    """Refuse any worker library but the one whose behaviour was pinned.

    Raises:
        HostError: another version is installed.
    """
    found = version("azure-functions-runtime")
    if found != RUNTIME_VERSION:
        raise HostError(f"azure-functions-runtime {RUNTIME_VERSION} is needed, {found} is installed")


class WorkerChannel:
    """The worker processes of one app, one at a time."""

    def __init__(
        self,
        app_dir: Path,
        env: Mapping[str, str],
        *,
        level: int,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the app, the variables of its processes and the lowest level that they log."""
        self._app_dir = app_dir
        self._env = dict(env)
        self._level = level
        self._now = now
        self._process: asyncio.subprocess.Process | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._supervising: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self._pending: dict[str, asyncio.Future[CallResult]] = {}
        self._deaths: list[float] = []
        self._ended_for = ""  # why the host itself ended the process that runs now
        self._is_stopping = False
        self._index: Indexed = Indexed(())
        self._is_known = asyncio.Event()  # what the app holds, or that no process lives long enough to tell
        self.failure = ""  # why there will be no other process: they ended too often
        self.has_failed = asyncio.Event()

    def start(self) -> None:
        """Begin to start the first process; `index` waits for it."""
        self._supervising = asyncio.create_task(self._supervise())

    async def index(self) -> Indexed:
        """Return what the first process found in the app."""
        await self._is_known.wait()
        return self._index

    async def call(self, call: Call) -> CallResult:
        """Call a function; waits while no process is there.

        Raises:
            WorkerEndedError: the process ended during the call.
        """
        await self._ready.wait()
        answer: asyncio.Future[CallResult] = asyncio.get_running_loop().create_future()
        self._pending[call.invocation_id] = answer
        assert self._writer is not None
        self._writer.write(to_frame(call))
        try:
            return await answer
        finally:
            self._pending.pop(call.invocation_id, None)

    def end_for_timeout(self) -> None:
        """Kill the process because one of its calls took too long; another one is started."""
        self._end(signal.SIGKILL, _SHUTTING_DOWN)

    def scale_in(self) -> None:
        """End the process as a scale-in does; no other one is started."""
        self._is_stopping = True
        self._end(signal.SIGTERM, _SHUTTING_DOWN)

    async def stop(self) -> None:
        """End the process for good, or the start of another one; calls that run are cut off."""
        self._is_stopping = True
        if self._supervising is not None:
            self._supervising.cancel()
            await asyncio.gather(self._supervising, return_exceptions=True)
        self._end(signal.SIGKILL, "the host stops")
        if self._process is not None:
            await self._process.wait()
        await self._hang_up()

    def _end(self, number: signal.Signals, reason: str) -> None:
        if self._process is not None and self._process.returncode is None:
            self._ended_for = reason
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def _supervise(self) -> None:
        """Have one process after the other, until the host stops or they have ended too often."""
        while not self._is_stopping:
            reader = await self._spawn()
            with contextlib.suppress(EOFError):
                await self._listen(reader)
            self._ready.clear()
            await self._bury()

    async def _spawn(self) -> asyncio.StreamReader:
        """Start a process and return where it is heard."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                reader, self._writer = await asyncio.open_connection(sock=ours, limit=_BUFFER_BYTES)
            except asyncio.CancelledError:
                ours.close()
                raise
            arguments = (str(theirs.fileno()), str(self._app_dir), str(self._level))
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "local.functions_host.worker_process", *arguments),
                cwd=_ROOT,
                env=self._env,
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
            )
        self._ended_for = ""
        return reader

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        """Take the index of a process, then its answers.

        Raises:
            EOFError: the process has ended.
        """
        self._index = await read_frame(reader)
        if self._level < logging.WARNING and self._process is not None:
            print(f"worker process {self._process.pid} started", flush=True)
        self._is_known.set()
        self._ready.set()
        while True:
            answer: Answer = await read_frame(reader)
            pending = self._pending.get(answer.invocation_id)
            if pending is not None and not pending.done():
                pending.set_result(answer.result)

    async def _bury(self) -> None:
        """Learn how the process ended, tell its calls, and give up when that was once too often."""
        assert self._process is not None
        status = await self._process.wait()
        await self._hang_up()
        code = status if status >= 0 else 128 - status  # as a shell says it: 137 for a SIGKILL
        if not self._is_stopping or code == 128 + signal.SIGTERM:
            _log.error("worker process %d: python exited with code %d", self._process.pid, code)
        for answer in self._pending.values():
            if not answer.done():
                answer.set_exception(WorkerEndedError(self._ended_for or f"python exited with code {code}"))
        if self._ended_for or self._is_stopping:
            return
        self._deaths = [moment for moment in self._deaths if self._now() - moment < WINDOW_S] + [self._now()]
        if len(self._deaths) >= MOST_DEATHS:
            self._is_stopping = True
            self.failure = (
                f"the worker process ended {MOST_DEATHS} times within 30 minutes; Azure recycles the host then"
            )
            self.has_failed.set()
            self._is_known.set()

    async def _hang_up(self) -> None:
        if self._writer is not None:
            self._writer.close()
            with contextlib.suppress(ConnectionError):
                await self._writer.wait_closed()
