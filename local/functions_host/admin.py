"""The admin endpoints: run a function by hand, list functions, say how the host and each function is.

What an app or its operator calls is here; the rest of the script host's admin surface asks for the master key as the
real one does and then answers 501.
"""

import json
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from local.functions_host.functions import Function, FunctionInError
from local.functions_host.http_messages import Pairs, Request, Response
from local.functions_host.invocation import Invoker
from local.functions_host.keys import Keys
from local.functions_host.queues import invoke_with_message
from local.functions_host.timers import TimerRunner
from local.functions_host.web import HttpFunction, request_key

VERSION: Final = "4.1037.0"  # the host this one was compared with
_NOT_CACHED: Final[Pairs] = (("Cache-Control", "no-store,no-cache"), ("Pragma", "no-cache"))
_NOT_HERE: Final = re.compile(
    r"GET (host/(keys|systemkeys)(/[^/]+)?|host/(extensions|drain/status|config)|functions/[^/]+/keys|warmup)"
    r"|POST host/(synctriggers|log|drain|scale/status|restart|keys/.*)"
    r"|PUT (functions/[^/]+|host/(keys|systemkeys)/.*|functions/[^/]+/keys/.*)"
)


@dataclass(frozen=True, kw_only=True)
class HostStatus:
    """How the host is."""

    host_id: str
    state: Literal["Running", "Error"] = "Running"
    errors: tuple[str, ...] = ()
    is_indexed: bool = True  # False: the app failed to index and has no functions
    began: float = field(default_factory=time.monotonic)  # seconds of the monotonic clock


class AdminEndpoint:
    """Answers ``/admin/...`` and ``/runtime/...``; with keys, all but ping need the master key."""

    def __init__(
        self,
        functions: Sequence[Function | FunctionInError],
        invoker: Invoker,
        keys: Keys | None,
        status: HostStatus,
        *,
        timers: Mapping[str, TimerRunner],
        routed: Sequence[HttpFunction],
        app_dir: Path,
    ) -> None:
        self._functions = {function.name.casefold(): function for function in functions}
        self._invoker = invoker
        self._keys = keys
        self._status = status
        self._timers = timers
        self._routes = {entry.function.name: entry.route.template for entry in routed}
        self._app_dir = app_dir

    async def handle(self, request: Request) -> Response | None:
        """Answer a request; None if its path is not one of these."""
        first, _, rest = request.path.removeprefix("/").partition("/")
        if first.casefold() == "runtime":
            return self._refusal(request) or Response(404)
        if first.casefold() != "admin":
            return None
        if rest == "host/ping":
            return Response(404) if request.method == "HEAD" else Response(200, _NOT_CACHED)
        if rest.startswith("vfs/"):
            return Response(401)
        answer = self._endpoint(request.method, rest)
        if answer is None:
            return Response(404)
        return self._refusal(request) or await answer(request)

    def _endpoint(self, method: str, path: str) -> Callable[[Request], Awaitable[Response]] | None:
        if path == "host/status" and method == "GET":
            return self._show_status
        if path == "functions" and method == "GET":
            return self._list
        if _NOT_HERE.fullmatch(f"{method} {path}"):
            return self._answer(501)
        kind, _, name = path.partition("/")
        name, _, part = name.partition("/")
        if kind != "functions" or part not in {"", "status"}:
            return None
        function = self._functions.get(name.casefold())
        match method, part:
            case "GET", "status":
                return self._answer(404) if function is None else self._json(_errors_of(function))
            case "GET", "":
                return self._describer(function) if function else self._answer(404)
            case "POST", "":
                return lambda request: self._run(request, function)
        return None

    def _refusal(self, request: Request) -> Response | None:
        """Return the answer to a caller without the master key; None to one who has it, or when no key is asked for."""
        level = "admin" if self._keys is None else self._keys.level("", request_key(request))
        if level == "admin":
            return None
        return Response(403) if level == "function" else Response(401, (("WWW-Authenticate", "Bearer"),))

    async def _show_status(self, _request: Request) -> Response:
        content: dict[str, Any] = {
            "id": self._status.host_id,
            "state": self._status.state,
            "version": f"{VERSION}.0",
            "versionDetails": f"{VERSION}, embedded",
            "platformVersion": "",
            "instanceId": "",
            "computerName": "",
            "processUptime": round((time.monotonic() - self._status.began) * 1000),
            "functionAppContentEditingState": "Unknown",
        }
        if self._status.errors:
            content["errors"] = list(self._status.errors)
        return _json_response(content)

    async def _list(self, request: Request) -> Response:
        if not self._status.is_indexed:
            return Response(500)
        return _json_response([self._described(function, request) for function in self._functions.values()])

    def _describer(self, function: Function | FunctionInError) -> Callable[[Request], Awaitable[Response]]:
        async def describe(request: Request) -> Response:
            return _json_response(self._described(function, request))

        return describe

    async def _run(self, request: Request, function: Function | FunctionInError | None) -> Response:
        """202 at once, the run goes on in the background; 404 unknown, 415 no JSON type, 400 no plain input.

        Recorded: 202 is also what a function in error gets, an HTTP function, and a queue function without an input.
        """
        if (request.header("content-type") or "").partition(";")[0].strip().casefold() != "application/json":
            return Response(415)
        try:
            content = json.loads(await request.read_body())
            given = {name.casefold(): value for name, value in content.items()}.get("input")
        except (ValueError, EOFError, AttributeError):
            return Response(400)
        if isinstance(given, dict | list):
            return Response(400)
        if function is None:
            return Response(404)
        if isinstance(function, FunctionInError):
            return Response(202)
        if (timer := self._timers.get(function.name)) is not None:
            self._invoker.start(timer.run_by_hand())
        elif function.trigger_type == "queueTrigger" and given is not None:
            text = given if isinstance(given, str) else json.dumps(given)
            self._invoker.start(invoke_with_message(self._invoker, function, text.encode(), None))
        return Response(202)

    def _described(self, function: Function | FunctionInError, request: Request) -> dict[str, Any]:
        base = request.url.partition(request.path)[0]
        route = self._routes.get(function.name)
        return {
            "name": function.name,
            "script_root_path_href": None,
            "script_href": f"{base}/admin/vfs{self._app_dir}/function_app.py",
            "config_href": None,
            "test_data_href": f"{base}/admin/vfs{self._app_dir}",
            "href": f"{base}/admin/functions/{function.name}",
            "invoke_url_template": None if route is None else f"{base}/{route}",
            "language": "python",
            "config": {
                "name": function.name,
                "entryPoint": function.name,
                "scriptFile": "function_app.py",
                "language": "python",
                "functionDirectory": str(self._app_dir),
                "bindings": [dict(binding) for binding in function.bindings],
            },
            "files": None,
            "test_data": "",
            "isDisabled": function.disabled,
            "isDirect": False,
            "isProxy": False,
        }

    @staticmethod
    def _answer(status: int) -> Callable[[Request], Awaitable[Response]]:
        async def answer(_request: Request) -> Response:
            return Response(status)

        return answer

    @staticmethod
    def _json(content: object) -> Callable[[Request], Awaitable[Response]]:
        async def answer(_request: Request) -> Response:
            return _json_response(content)

        return answer


def _errors_of(function: Function | FunctionInError) -> dict[str, list[str]]:
    return {"errors": [function.shown]} if isinstance(function, FunctionInError) else {}


def _json_response(content: object) -> Response:
    body = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    headers = (("Content-Type", "application/json; charset=utf-8"), ("Content-Length", str(len(body))))
    return Response(200, headers, body)
