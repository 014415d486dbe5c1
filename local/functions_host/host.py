"""Puts the host together, starts it, and stops it in order: polling first, then running calls, then the rest."""

import asyncio
import contextlib
import hashlib
import logging
import os
import signal
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from aiohttp import web

from local.functions_host.admin import AdminEndpoint
from local.functions_host.config import HostConfig
from local.functions_host.errors import BAD_APP, BAD_CONFIG, FAILED, PORT_IN_USE, HostError
from local.functions_host.faults import Faults
from local.functions_host.functions import Function, ready_functions
from local.functions_host.invocation import Invoker
from local.functions_host.keys import Keys
from local.functions_host.outputs import OutputWriter
from local.functions_host.polling import WakeUps
from local.functions_host.queues import QueueListener, poison_name
from local.functions_host.schedules import parse_schedule
from local.functions_host.storage import Storage
from local.functions_host.timers import BlobStatusStore, TimerRunner
from local.functions_host.web import MAX_BODY_BYTES, FunctionEndpoint, HttpFunction, http_functions
from local.functions_host.worker import Worker

STOP_TIMEOUT_S: Final = 20.0
ADDRESS: Final = "127.0.0.1"

_log = logging.getLogger("local.functions_host")


@dataclass(frozen=True, kw_only=True)
class HostOptions:
    """How this host was started."""

    app_dir: Path  # absolute
    config: HostConfig
    port: int
    timers: bool = True
    keys: Keys | None = None  # None = no keys are asked for
    quiet: bool = False


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


class Host:
    """One app, running."""

    def __init__(self, options: HostOptions, env: Mapping[str, str], server: socket.socket) -> None:
        self._options = options
        self._env = env
        self._server = server
        self._worker = Worker(options.app_dir)
        self._storage = Storage(env)
        self._faults = Faults.from_env(env)
        self._wake_ups = WakeUps()
        writer = OutputWriter(
            self._storage,
            self._faults,
            message_encoding=options.config.queues.message_encoding,
            wake=self._wake_ups.wake,
        )
        self._invoker = Invoker(
            self._worker,
            writer,
            self._faults,
            timeout_s=options.config.function_timeout_s,
            report=self._report,
        )
        self._id = env.get("AzureFunctionsWebHost__hostid") or host_id(options.app_dir)
        self._stopping = asyncio.Event()

    async def run(self) -> bool:
        """Serve until SIGTERM or SIGINT; True if every running call ended in time.

        Raises:
            HostError: the app or its surroundings are not in order.
        """
        loop = asyncio.get_running_loop()
        functions = ready_functions(await self._worker.start(), self._options.config, self._env)
        routed = http_functions(functions, self._options.config.route_prefix)
        listeners = self._listeners(functions)
        timers = self._timers(functions)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        try:
            await self._check_storage(functions, timers)
            runner = await self._serve(functions, routed)
            loops = [asyncio.create_task(listener.run()) for listener in listeners]
            loops += [asyncio.create_task(timer.run()) for timer in timers]
            print(f"host ready http://{ADDRESS}:{self._options.port}", flush=True)
            try:
                await self._wait(loops)
            finally:
                finished = await self._stop(runner, loops)
        finally:
            await self._storage.close()
        if finished:
            self._worker.stop()
        return finished

    def _listeners(self, functions: Sequence[Function]) -> list[QueueListener]:
        return [
            self._listener(function)
            for function in functions
            if function.trigger_type == "queueTrigger" and not function.disabled
        ]

    def _timers(self, functions: Sequence[Function]) -> list[TimerRunner]:
        """Return the timers to run; their schedules are read even when none is to run."""
        store = BlobStatusStore(self._storage, self._id)
        zone = time_zone(self._env)
        runners = []
        for function in functions:
            if function.trigger_type != "timerTrigger":
                if function.retry is not None:
                    _log.warning("function %s: its retry policy is ignored here, it is not a timer", function.name)
                continue
            try:
                schedule = parse_schedule(str(function.trigger["schedule"]), zone)
            except ValueError as error:
                raise HostError(f"function {function.name}: schedule: {error}", BAD_APP) from error
            if self._options.timers and not function.disabled:
                runners.append(TimerRunner(function, schedule, store, self._invoker))
        return runners

    async def _check_storage(self, functions: Sequence[Function], timers: Sequence[TimerRunner]) -> None:
        needs = {need for function in functions if not function.disabled for need in function.storage_needs()}
        if any(timer.monitored for timer in timers):
            needs.add(("", "blob"))
        for connection, kind in sorted(needs):
            await self._storage.check(connection, kind)

    async def _serve(self, functions: Sequence[Function], routed: Sequence[HttpFunction]) -> web.AppRunner:
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.add_routes(AdminEndpoint(functions, self._invoker, self._options.keys, self._id).routes())
        app.router.add_route("*", "/{path:.*}", FunctionEndpoint(routed, self._invoker, self._options.keys).handle)
        # Bodies go to the function as they were sent, compressed ones included.
        runner = web.AppRunner(app, access_log=None, auto_decompress=False, shutdown_timeout=1.0)
        await runner.setup()
        await web.SockSite(runner, self._server).start()
        return runner

    def _listener(self, function: Function) -> QueueListener:
        connection = str(function.trigger.get("connection") or "")
        queue = self._storage.queue(connection, str(function.trigger["queueName"]))
        poison = poison_name(queue.name)
        return QueueListener(
            function,
            queue,
            self._storage.queue(connection, poison) if poison else None,
            self._options.config.queues,
            self._invoker,
            self._wake_ups,
            lease_s=self._faults.lease_s,
        )

    async def _wait(self, loops: list[asyncio.Task[None]]) -> None:
        """Wait for the signal to stop; a loop that ends by itself has failed, and the host with it."""
        stop = asyncio.create_task(self._stopping.wait())
        done, _ = await asyncio.wait([stop, *loops], return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        for task in done - {stop}:
            error = task.exception()
            if isinstance(error, HostError):
                raise error
            raise HostError(f"a listener or timer ended: {error!r}", FAILED) from error

    async def _stop(self, runner: web.AppRunner, loops: list[asyncio.Task[None]]) -> bool:
        for task in loops:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*loops, return_exceptions=True)
        for site in list(runner.sites):
            await site.stop()
        finished = await self._invoker.finish(STOP_TIMEOUT_S)
        if not finished:
            _log.warning("stopping although calls are still running after %g s", STOP_TIMEOUT_S)
        await runner.cleanup()
        return finished

    def _report(self, line: str) -> None:
        if not self._options.quiet:
            print(line, flush=True)


def host_id(app_dir: Path) -> str:
    """Return a stable id for an app folder; timer statuses are kept under it."""
    return "local-" + hashlib.sha256(str(app_dir).encode()).hexdigest()[:16]


def host_variables(env: Mapping[str, str], port: int) -> dict[str, str]:
    """Return the variables that ``func start`` sets for an app."""
    variables = {"AZURE_FUNCTIONS_ENVIRONMENT": "Development"}
    if not env.get("WEBSITE_HOSTNAME"):
        variables["WEBSITE_HOSTNAME"] = f"localhost:{port}"
    return variables
