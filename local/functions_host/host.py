"""Puts the host together, starts it, and stops it in order: polling first, then running calls, then the rest.

It starts where the script host starts. What keeps one function from running leaves out that function; an app that does
not index is a host without functions; a wrong host.json is a host that answers 503. Each is told on stderr in one line.
"""

import asyncio
import contextlib
import hashlib
import logging
import random
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from local.functions_host.admin import AdminEndpoint, HostStatus
from local.functions_host.config import HostConfig
from local.functions_host.errors import BAD_CONFIG, FAILED, HostError
from local.functions_host.faults import Faults
from local.functions_host.functions import Function, FunctionInError, left_out, ready_functions
from local.functions_host.http_messages import Pairs, Request, Response
from local.functions_host.http_server import ADDRESS, HttpServer
from local.functions_host.invocation import Invoker
from local.functions_host.keys import Keys
from local.functions_host.outputs import OutputWriter
from local.functions_host.polling import WakeUps
from local.functions_host.queues import QueueListener, poison_name
from local.functions_host.schedules import parse_schedule
from local.functions_host.storage import Storage
from local.functions_host.timers import BlobStatusStore, TimerRunner
from local.functions_host.web import MAX_BODY_BYTES, FunctionEndpoint, HttpFunction, http_functions
from local.functions_host.worker_channel import WorkerChannel

STOP_TIMEOUT_S: Final = 10.0
SCALE_IN_S: Final = (1.0, 3.0)  # how long calls have when Azure takes an instance away
_HOME: Final = b"<!DOCTYPE html><title>Functions</title><p>The functions host is up and running.</p>"

_log = logging.getLogger("local.functions_host")


@dataclass(frozen=True, kw_only=True)
class HostOptions:
    """How this host was started."""

    app_dir: Path  # absolute
    config: HostConfig | HostError  # the error is what host.json has wrong
    port: int
    timers: bool = True
    keys: Keys | None = None  # None = no keys are asked for
    quiet: bool = False


def time_zone(env: Mapping[str, str]) -> tzinfo:
    """Return the zone of timer schedules: WEBSITE_TIME_ZONE, else TZ, else the machine's.

    Raises:
        HostError: a zone with an unknown name.
    """
    name = env.get("WEBSITE_TIME_ZONE") or (env.get("TZ") or "").lstrip(":")
    if not name:
        return datetime.now().astimezone().tzinfo or ZoneInfo("UTC")
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, ZoneInfoNotFoundError) as error:
        raise HostError(f"time zone {name!r} is not known", BAD_CONFIG) from error


@dataclass(frozen=True)
class _App:
    """The functions of the app, sorted out."""

    ready: tuple[Function, ...]
    left_out: tuple[FunctionInError, ...]
    routed: tuple[HttpFunction, ...]
    timers: Mapping[str, TimerRunner]
    is_indexed: bool


class Host:
    """One app, running."""

    def __init__(
        self, options: HostOptions, env: Mapping[str, str], server: socket.socket, worker: WorkerChannel
    ) -> None:
        """Take the socket to listen on, and the worker, which is started already."""
        self._options = options
        self._env = env
        self._socket = server
        self._config = options.config if isinstance(options.config, HostConfig) else HostConfig()
        self._worker = worker
        self._storage = Storage(env)
        self._faults = Faults.from_env(env)
        self._wake_ups = WakeUps()
        writer = OutputWriter(
            self._storage,
            self._faults,
            message_encoding=self._config.queues.message_encoding,
            wake=self._wake_ups.wake,
        )
        self._invoker = Invoker(
            self._worker, writer, self._faults, timeout_s=self._config.function_timeout_s, report=self._report
        )
        self._id = env.get("AzureFunctionsWebHost__hostid") or host_id(options.app_dir)
        self._stopping = asyncio.Event()
        self._is_scaled_in = False

    async def run(self) -> bool:
        """Serve until SIGTERM or SIGINT; True if every running call ended in time.

        Raises:
            HostError: the app or its surroundings are not in order.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        loop.add_signal_handler(signal.SIGUSR1, self._begin_scale_in)
        try:
            if isinstance(self._options.config, HostError):
                return await self._run_in_error(self._options.config)
            return await self._run(await self._read_app())
        finally:
            await self._worker.stop()
            await self._storage.close()

    async def _run(self, app: _App) -> bool:
        await self._check_storage(app)
        status = HostStatus(host_id=self._id, is_indexed=app.is_indexed)
        server = await self._serve(app, status)
        listeners = [self._listener(function) for function in app.ready if _listens(function)]
        loops = [asyncio.create_task(listener.run()) for listener in listeners]
        if self._options.timers:
            due = [app.timers[function.name] for function in app.ready if function.name in app.timers]
            loops += [asyncio.create_task(timer.run()) for timer in due if not timer.function.disabled]
        print(f"host ready http://{ADDRESS}:{self._options.port}", flush=True)
        try:
            await self._wait(loops)
        finally:
            finished = await self._stop(server, loops)
        if self._worker.failure:
            raise HostError(self._worker.failure, FAILED)
        return finished

    async def _run_in_error(self, error: HostError) -> bool:
        """Serve what the script host serves with a host.json that it cannot use: 503 for all but ping and status."""
        _tell(str(error))
        app = _App((), (), (), {}, is_indexed=False)
        server = await self._serve(app, HostStatus(host_id=self._id, state="Error", errors=(str(error),)))
        print(f"host in error http://{ADDRESS}:{self._options.port}", flush=True)
        await self._stopping.wait()
        await server.stop(1.0)
        return True

    async def _read_app(self) -> _App:
        """Wait for the worker and sort out what it found; what is left out is told on stderr.

        Raises:
            HostError: the worker cannot be started at all.
        """
        index = await self._worker.index()
        if self._worker.failure:
            raise HostError(self._worker.failure, FAILED)
        if index.error is not None:
            _tell(index.error)
            _log.warning("No job functions found. The host runs without any.")
        ready, errors = ready_functions(index.functions, self._config, self._env)
        routed, unroutable = http_functions(ready, self._config.http.route_prefix)
        timers, unscheduled = self._timers(ready)
        unconnected = self._unconnected(ready)
        errors = (*errors, *unroutable, *unscheduled, *unconnected)
        for entry in errors:
            _tell(f"function {entry.name} is left out, the others run: {entry.error}")
        wrong = {entry.name for entry in errors}
        return _App(
            tuple(function for function in ready if function.name not in wrong),
            tuple({entry.name: entry for entry in errors}.values()),
            tuple(entry for entry in routed if entry.function.name not in wrong),
            {name: timer for name, timer in timers.items() if name not in wrong},
            is_indexed=index.error is None,
        )

    def _timers(self, functions: Sequence[Function]) -> tuple[dict[str, TimerRunner], list[FunctionInError]]:
        store = BlobStatusStore(self._storage, self._id)
        zone = time_zone(self._env)
        runners: dict[str, TimerRunner] = {}
        errors: list[FunctionInError] = []
        for function in functions:
            if function.trigger_type != "timerTrigger":
                if function.retry is not None:
                    _log.warning("function %s: its retry policy is ignored here, it is not a timer", function.name)
                continue
            try:
                schedule = parse_schedule(str(function.trigger["schedule"]), zone)
            except ValueError as error:
                errors.append(left_out(function, f"schedule: {error}"))
                continue
            runners[function.name] = TimerRunner(function, schedule, store, self._invoker)
        return runners, errors

    def _unconnected(self, functions: Sequence[Function]) -> list[FunctionInError]:
        """Return the functions whose storage connection is not set or is no connection string."""
        errors = []
        for function in functions:
            try:
                for connection, kind in function.storage_needs():
                    self._storage.connect(connection, kind)
            except HostError as error:
                errors.append(left_out(function, str(error)))
        return errors

    async def _check_storage(self, app: _App) -> None:
        needs = {need for function in app.ready if not function.disabled for need in function.storage_needs()}
        if self._options.timers and any(timer.monitored for timer in app.timers.values()):
            needs.add(("", "blob"))
        for connection, kind in sorted(needs):
            await self._storage.check(connection, kind)

    async def _serve(self, app: _App, status: HostStatus) -> HttpServer:
        most = self._env.get("FUNCTIONS_REQUEST_BODY_SIZE_LIMIT") or ""
        endpoint = FunctionEndpoint(
            app.routed,
            self._invoker,
            self._options.keys,
            self._config.http,
            most_bytes=int(most) if most.isdigit() else MAX_BODY_BYTES,
        )
        admin = AdminEndpoint(
            (*app.ready, *app.left_out),
            self._invoker,
            self._options.keys,
            status,
            timers=app.timers,
            routed=app.routed,
            app_dir=self._options.app_dir,
        )
        no_home = (self._env.get("AzureWebJobsDisableHomepage") or "").casefold() in {"1", "true"}

        async def handle(request: Request) -> Response:
            response = await admin.handle(request)
            if status.state == "Error" and (response is None or request.path != "/admin/host/status"):
                return response if request.path == "/admin/host/ping" and response else Response(503)
            response = response or await endpoint.handle(request)
            if response is None and request.path == "/":
                response = Response(204) if no_home else Response(200, (("Content-Type", "text/html"),), _HOME)
            return _with_headers(response or Response(404), self._config.http.custom_headers)

        server = HttpServer(handle)
        await server.start(self._socket)
        return server

    def _listener(self, function: Function) -> QueueListener:
        connection = str(function.trigger.get("connection") or "")
        queue = self._storage.queue(connection, str(function.trigger["queueName"]))
        poison = poison_name(queue.name)
        return QueueListener(
            function,
            queue,
            self._storage.queue(connection, poison) if poison else None,
            self._config.queues,
            self._invoker,
            self._wake_ups,
            lease_s=self._faults.lease_s,
        )

    async def _wait(self, loops: list[asyncio.Task[None]]) -> None:
        """Wait for the signal to stop or the worker's failure; a loop that ends by itself has failed as well."""
        ends = [asyncio.create_task(event.wait()) for event in (self._stopping, self._worker.has_failed)]
        done, _ = await asyncio.wait([*ends, *loops], return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            end.cancel()
        for loop in loops:
            if loop not in done:
                continue
            error = loop.exception()
            if isinstance(error, HostError):
                raise error
            raise HostError(f"a listener or timer ended: {error!r}", FAILED) from error

    async def _stop(self, server: HttpServer, loops: list[asyncio.Task[None]]) -> bool:
        for task in loops:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*loops, return_exceptions=True)
        await server.close_door()
        if self._is_scaled_in:
            await self._invoker.finish(random.uniform(*SCALE_IN_S))  # noqa: S311 - no secret hangs on it
            self._worker.scale_in()
        finished = await self._invoker.finish(STOP_TIMEOUT_S)
        if not finished:
            _log.warning("stopping although calls are still running after %g s", STOP_TIMEOUT_S)
            await self._invoker.cut_off()
        await server.stop(1.0)
        return finished

    def _begin_scale_in(self) -> None:
        self._is_scaled_in = True
        self._stopping.set()

    def _report(self, line: str) -> None:
        if not self._options.quiet:
            print(line, flush=True)


def _listens(function: Function) -> bool:
    return function.trigger_type == "queueTrigger" and not function.disabled


def _with_headers(response: Response, headers: Pairs) -> Response:
    return Response(response.status, (*response.headers, *headers), response.body) if headers else response


def _tell(problem: str) -> None:
    """Print a line for the person at the terminal; the host itself runs on."""
    print(f"error: {problem}", file=sys.stderr, flush=True)


def host_id(app_dir: Path) -> str:
    """Return a stable id for an app folder; timer statuses are kept under it."""
    return "local-" + hashlib.sha256(str(app_dir).encode()).hexdigest()[:16]
