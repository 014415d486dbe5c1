"""The HTTP side of the host: finds the function for a request, asks for its key, runs it, answers."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from aiohttp import web
from multidict import CIMultiDict

from local.functions_host.errors import BAD_APP, HostError
from local.functions_host.expressions import BindingData
from local.functions_host.functions import Function
from local.functions_host.invocation import Invoker
from local.functions_host.keys import Keys
from local.functions_host.responses import to_response
from local.functions_host.routes import Route
from local.functions_host.wire import bytes_datum, http_datum, text_datum

MAX_BODY_BYTES: Final = 104_857_600  # the platform's FUNCTIONS_REQUEST_BODY_SIZE_LIMIT

_log = logging.getLogger("local.functions_host")


@dataclass(frozen=True)
class HttpFunction:
    """An HTTP function and its route."""

    function: Function
    route: Route


def http_functions(functions: Sequence[Function], prefix: str) -> tuple[HttpFunction, ...]:
    """Return the HTTP functions with their routes, in registration order, those that are disabled left out.

    Raises:
        HostError: a route that cannot be read.
    """
    found = []
    for function in functions:
        if function.trigger_type != "httpTrigger" or function.disabled:
            continue
        template = str(function.trigger.get("route") or function.name).lstrip("/")
        try:
            route = Route.parse(f"{prefix}/{template}" if prefix else template, function.trigger.get("methods"))
        except ValueError as error:
            raise HostError(f"function {function.name}: route {template!r}: {error}", BAD_APP) from error
        found.append(HttpFunction(function, route))
    return tuple(found)


def request_key(request: web.Request) -> str | None:
    """Return the key a request carries: the header first, else the ``code`` of its query."""
    return request.headers.get("x-functions-key") or request.query.get("code")


class FunctionEndpoint:
    """Answers every request that is not for the admin endpoints."""

    def __init__(self, functions: Sequence[HttpFunction], invoker: Invoker, keys: Keys | None) -> None:
        self._functions = functions
        self._invoker = invoker
        self._keys = keys

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request: 404 without a matching route and method, 401 without a key, 500 when the run failed."""
        for candidate in self._functions:
            values = candidate.route.match(request.method, request.rel_url.raw_path)
            if values is not None:
                break
        else:
            return web.Response(status=404)
        function = candidate.function
        level = str(function.trigger.get("authLevel") or "FUNCTION")
        if self._keys is not None and not self._keys.allows(level, function.name, request_key(request)):
            return web.Response(status=401)
        # As a task of its own, so that neither a client that goes away nor a stop breaks off a run.
        return await asyncio.shield(self._invoker.start(self._run(function, request, values)))

    async def _run(self, function: Function, request: web.Request, route_values: Mapping[str, str]) -> web.Response:
        # Only a body with a declared length is read; a chunked one arrives empty, as on the real host.
        body = await request.read() if request.content_length else b""
        headers = _joined(request.headers)
        query = {name: value for name, value in _joined(request.query).items() if value}
        value = http_datum(
            {
                "method": text_datum(request.method),
                "url": text_datum(str(request.url)),
                "headers": {name.lower(): text_datum(text) for name, text in headers.items()},
                "query": {name: text_datum(text) for name, text in query.items()},
                "params": {name: text_datum(text) for name, text in route_values.items()},
                "body": bytes_datum(body),
            }
        )
        data = BindingData()
        data.add_json_body(body.decode(errors="replace"))
        data.update((name, text) for name, text in query.items() if name.casefold() != "code")
        data.update(route_values.items())
        data.update([("Query", query), ("Headers", headers)])
        outcome = await self._invoker.invoke(function, value, {}, data)
        if not outcome.ok:
            return web.Response(status=500)
        try:
            return to_response(outcome.returned)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            _log.error("function %s: its response cannot be sent: %s", function.name, error)
            return web.Response(status=500)


def _joined(pairs: Mapping[str, str]) -> dict[str, str]:
    """Join the values of names that differ at most in case with commas; the first spelling stays."""
    merged: CIMultiDict[str] = CIMultiDict(pairs)
    joined: dict[str, str] = {}
    for name in merged:
        if name.casefold() not in {known.casefold() for known in joined}:
            joined[name] = ",".join(merged.getall(name))
    return joined
