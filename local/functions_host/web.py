"""The HTTP side of the host: finds the function for a request, asks for its key, runs it, answers."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from local.functions_host.config import HttpOptions
from local.functions_host.expressions import BindingData
from local.functions_host.functions import Function, FunctionInError, left_out
from local.functions_host.http_messages import Request, Response, joined
from local.functions_host.invocation import Invoker
from local.functions_host.keys import Keys
from local.functions_host.responses import to_response
from local.functions_host.routes import Route
from local.functions_host.values import Value

MAX_BODY_BYTES: Final = 104_857_600  # unless FUNCTIONS_REQUEST_BODY_SIZE_LIMIT says something else
BUILT_IN: Final = ("admin", "runtime")  # what no route may begin with

_log = logging.getLogger("local.functions_host")


@dataclass(frozen=True)
class HttpFunction:
    """An HTTP function and its route."""

    function: Function
    route: Route


def http_functions(
    functions: Sequence[Function], prefix: str
) -> tuple[tuple[HttpFunction, ...], tuple[FunctionInError, ...]]:
    """Return the HTTP functions with their routes, in their order, and those whose route is none or is taken.

    A disabled function has no route.
    """
    found: list[HttpFunction] = []
    errors: list[FunctionInError] = []
    for function in functions:
        if function.trigger_type != "httpTrigger" or function.disabled:
            continue
        template = str(function.trigger.get("route") or function.name).lstrip("/")
        try:
            route = Route.parse(f"{prefix}/{template}" if prefix else template, function.trigger.get("methods"))
        except ValueError as error:
            errors.append(left_out(function, f"route {template!r}: {error}"))
            continue
        if conflict := _conflict(route, found):
            errors.append(left_out(function, conflict))
        else:
            found.append(HttpFunction(function, route))
    return tuple(found), tuple(errors)


def _conflict(route: Route, taken: Sequence[HttpFunction]) -> str:
    """Return why a route cannot be had, in the script host's words; empty if it can."""
    if route.template.split("/")[0].casefold() in BUILT_IN:
        return "The specified route conflicts with one or more built in routes."
    for other in taken:
        if route.is_same(other.route):
            return f"The route specified conflicts with the route defined by function '{other.function.name}'."
    return ""


def request_key(request: Request) -> str | None:
    """Return the key a request carries: the header, empty or not, else the ``code`` of its query."""
    header = next((value for name, value in request.headers if name.lower() == "x-functions-key"), None)
    if header is not None:
        return header
    return next((value for name, value in request.query.items() if name.casefold() == "code"), None)


class FunctionEndpoint:
    """Answers requests for functions."""

    def __init__(
        self,
        functions: Sequence[HttpFunction],
        invoker: Invoker,
        keys: Keys | None,
        options: HttpOptions,
        *,
        most_bytes: int = MAX_BODY_BYTES,
    ) -> None:
        self._functions = functions
        self._invoker = invoker
        self._keys = keys
        self._most_bytes = most_bytes
        self._reads_chunks = options.reads_chunks
        self._most_outstanding = options.max_outstanding
        self._outstanding = 0
        self._room = asyncio.Semaphore(options.max_concurrent) if options.max_concurrent else None

    async def handle(self, request: Request) -> Response | None:
        """Answer a request: 401 without a key, 429 if too many wait, 500 if the run failed; None without a route."""
        for candidate in self._functions:
            values = candidate.route.match(request.method, request.path)
            if values is not None:
                break
        else:
            return None
        function = candidate.function
        level = str(function.trigger.get("authLevel") or "FUNCTION")
        if self._keys is not None and not self._keys.allows(level, function.name, request_key(request)):
            return Response(401)
        if self._most_outstanding is not None and self._outstanding >= self._most_outstanding:
            return Response(429, (("X-FUNCTION-SCALEOUT", "1"),))
        self._outstanding += 1
        # As a task of its own, so that neither a client that goes away nor a stop breaks off a run.
        return await asyncio.shield(self._invoker.start(self._run_in_turn(function, request, values)))

    async def _run_in_turn(self, function: Function, request: Request, route_values: Mapping[str, str]) -> Response:
        try:
            if self._room is None:
                return await self._run(function, request, route_values)
            async with self._room:
                return await self._run(function, request, route_values)
        finally:
            self._outstanding -= 1

    async def _run(self, function: Function, request: Request, route_values: Mapping[str, str]) -> Response:
        # Only a body with a declared length arrives; enableChunkedRequestBinding reads a chunked one and drops it.
        length = request.content_length or 0
        if length > self._most_bytes:
            _log.error("function %s: not run: a body of %d bytes is over %d", function.name, length, self._most_bytes)
            return Response(500)
        try:
            sent = await request.read_body() if length or self._reads_chunks else b""
            body = sent if length else b""
            url = request.url
        except (EOFError, ValueError) as error:
            _log.error("function %s: not run: %s", function.name, error or "the body broke off")
            return Response(500)
        query = request.query
        value = Value(
            "http",
            {
                "method": request.method,
                "url": url,
                "headers": request.joined_headers,
                "query": query,
                "params": dict(route_values),
                "body": body,
            },
        )

        def fill(data: BindingData) -> None:
            data.add_json_body(body.decode(errors="replace"))
            data.update((name, text) for name, text in query.items() if name.casefold() != "code")
            data.update(route_values.items())
            data.update([("Query", dict(query)), ("Headers", joined(request.headers))])

        data = BindingData()
        data.fill_later(fill)
        outcome = await self._invoker.invoke(function, value, {}, data)
        if not outcome.ok:
            return Response(500)
        try:
            return to_response(outcome.returned)
        except (ValueError, TypeError, AttributeError) as error:
            _log.error("function %s: its answer cannot be sent: %s", function.name, error)
            return Response(500)
