"""The admin endpoints: run a function by hand, list functions, say how the host is."""

import asyncio
import json
import time
from collections.abc import Sequence
from typing import Any

from aiohttp import web

from local.functions_host.functions import Function
from local.functions_host.invocation import Invoker
from local.functions_host.keys import Keys
from local.functions_host.queues import invoke_with_message
from local.functions_host.timers import invoke_timer
from local.functions_host.web import request_key
from local.functions_host.worker import RUNTIME_VERSION


class AdminEndpoint:
    """Answers ``/admin/...``; with keys, all but ping need the master key."""

    def __init__(self, functions: Sequence[Function], invoker: Invoker, keys: Keys | None, host_id: str) -> None:
        self._functions = {function.name.casefold(): function for function in functions}
        self._invoker = invoker
        self._keys = keys
        self._host_id = host_id
        self._began = time.monotonic()

    def routes(self) -> list[web.RouteDef]:
        """Return the routes to serve."""
        return [
            web.get("/admin/host/ping", self._ping),
            web.get("/admin/host/status", self._status),
            web.get("/admin/functions", self._list),
            web.get("/admin/functions/{name}", self._show),
            web.post("/admin/functions/{name}", self._run),
        ]

    async def _ping(self, _request: web.Request) -> web.Response:
        return web.Response()

    async def _status(self, request: web.Request) -> web.Response:
        self._authorise(request)
        uptime_ms = round((time.monotonic() - self._began) * 1000)
        return web.json_response(
            {
                "id": self._host_id,
                "state": "Running",
                "version": f"worker {RUNTIME_VERSION}",
                "processUptime": uptime_ms,
            }
        )

    async def _list(self, request: web.Request) -> web.Response:
        self._authorise(request)
        return web.json_response([_described(function, request) for function in self._functions.values()])

    async def _show(self, request: web.Request) -> web.Response:
        return web.json_response(_described(self._find(request), request))

    async def _run(self, request: web.Request) -> web.Response:
        """202 at once, the run goes on in the background; 404 unknown, 400 without a JSON body."""
        function = self._find(request)
        try:
            content = json.loads(await request.read())
        except ValueError:
            return web.Response(status=400, text="the body must be JSON")
        if not isinstance(content, dict):
            return web.Response(status=400, text="the body must be a JSON object")
        text = content.get("input")
        if function.trigger_type == "timerTrigger":
            self._invoker.start(invoke_timer(self._invoker, function, None, past_due=False, sleep=asyncio.sleep))
        elif function.trigger_type == "queueTrigger":
            body = text if isinstance(text, str) else "" if text is None else json.dumps(text)
            self._invoker.start(invoke_with_message(self._invoker, function, body.encode(), None))
        else:
            return web.Response(status=400, text="an HTTP function is run by a request to its route")
        return web.Response(status=202)

    def _authorise(self, request: web.Request) -> None:
        if self._keys is not None and not self._keys.allows("admin", "", request_key(request)):
            raise web.HTTPUnauthorized

    def _find(self, request: web.Request) -> Function:
        self._authorise(request)
        function = self._functions.get(request.match_info["name"].casefold())
        if function is None:
            raise web.HTTPNotFound
        return function


def _described(function: Function, request: web.Request) -> dict[str, Any]:
    return {
        "name": function.name,
        "language": "python",
        "isDisabled": function.disabled,
        "config": {"bindings": [dict(binding) for binding in function.bindings]},
        "href": str(request.url.with_path(f"/admin/functions/{function.name}").with_query(None)),
    }
