"""The vault as one object: routes the secrets API, answers as Key Vault does, applies scripted faults.

Control paths, which need no token: `POST /_emulator/faults` (a `server.faults.Fault` of the Business Central emulator),
`DELETE /_emulator/faults`, `GET` and `DELETE /_emulator/requests`, `GET /_emulator/secrets` (names and sizes),
`PUT /_emulator/secrets/{name}` with `{"value": ...}` (seeds a secret), `POST /_emulator/reset`.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable
from datetime import UTC, datetime

import requests
from business_central_emulator.server.exchange import Engine, Request, Response, json_response
from business_central_emulator.server.faults import BUSINESS_CENTRAL, Fault, Faults, answered

from local.emulators.key_vault.access import Access, NotAllowed, NotAuthenticated
from local.emulators.key_vault.bodies import change_from, deleted_body, secret_body
from local.emulators.key_vault.secrets import Change, Secrets, VaultRefused

CONTROL = "/_emulator/"
PAGE_SIZE = 25


def utc_now() -> datetime:
    """Give the time now, aware."""
    return datetime.now(UTC)


class VaultEngine(Engine):
    """One vault."""

    def __init__(self, access: Access, *, now: Callable[[], datetime] = utc_now) -> None:
        self._access = access
        self._now = now
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Forget all secrets, faults and requests."""
        self.secrets = Secrets()
        self.faults = Faults(refused=BUSINESS_CENTRAL)
        self.requests: list[dict[str, object]] = []

    def handle(self, request: Request) -> Response:
        """Answer one request."""
        with self._lock:
            if request.path.startswith(CONTROL):
                return self._control(request)
            answer = answered(self.faults, request, lambda: self._answer(request))
            self.requests.append({"method": request.method, "path": request.path, "status": answer.status})
            return answer

    def _answer(self, request: Request) -> Response:
        now = self._now()
        try:
            self._access.check(request.header("Authorization") or "", now=now)
            return self._route(request, now=now)
        except NotAuthenticated as error:
            challenge = {"WWW-Authenticate": self._access.challenge}
            return json_response(401, _error("Unauthorized", str(error)), challenge)
        except NotAllowed as error:
            return json_response(403, _error("Forbidden", str(error), "ForbiddenByRbac"))
        except requests.RequestException as error:
            return json_response(503, _error("ServiceUnavailable", f"The login's keys cannot be read: {error}"))
        except VaultRefused as refused:
            return json_response(refused.status, _error(refused.code, str(refused), refused.inner))

    def _route(self, request: Request, *, now: datetime) -> Response:
        if not request.query.get("api-version"):
            raise VaultRefused(400, "BadParameter", "api-version must be specified")
        origin = request.origin
        segments = [part for part in request.path.split("/") if part]
        match request.method, segments:
            case "GET", ["secrets"]:
                items = [
                    secret_body(origin, name, self.secrets.versions(name)[0], with_value=False, with_version=False)
                    for name in self.secrets.names()
                ]
                return _page(request, items)
            case "GET", ["secrets", name, "versions"]:
                versions = self.secrets.versions(name)
                return _page(request, [secret_body(origin, name, held, with_value=False) for held in versions])
            case "GET", ["secrets", name, *rest] if len(rest) <= 1:
                return json_response(200, secret_body(origin, name, self.secrets.get(name, "".join(rest))))
            case "PUT", ["secrets", name]:
                return self._set(request, name, now=now)
            case "PATCH", ["secrets", name, *rest] if len(rest) <= 1:
                change = change_from(request.json())
                updated = self.secrets.update(name, "".join(rest), change, now=now)
                return json_response(200, secret_body(origin, name, updated, with_value=False))
            case "DELETE", ["secrets", name]:
                return json_response(200, deleted_body(origin, name, self.secrets.delete(name, now=now)))
            case "GET", ["deletedsecrets", name]:
                return json_response(200, deleted_body(origin, name, self.secrets.deleted(name)))
            case "DELETE", ["deletedsecrets", name]:
                self.secrets.purge(name)
                return Response(status=204)
            case "POST", ["deletedsecrets", name, "recover"]:
                return json_response(200, secret_body(origin, name, self.secrets.recover(name), with_value=False))
        raise VaultRefused(501, "NotImplemented", f"This vault does not know {request.method} {request.path}")

    def _set(self, request: Request, name: str, *, now: datetime) -> Response:
        body = request.json()
        value = body.get("value")
        if not isinstance(value, str):
            raise VaultRefused(400, "BadParameter", "Property value is required and must be a string")
        added = self.secrets.put(name, value, change_from(body), now=now)
        return json_response(200, secret_body(request.origin, name, added))

    def _control(self, request: Request) -> Response:
        path = request.path.removeprefix(CONTROL)
        try:
            match request.method, path.split("/"):
                case "POST", ["reset"]:
                    self.reset()
                case "POST", ["faults"]:
                    self.faults.add(Fault.from_json(request.json()))
                case "DELETE", ["faults"]:
                    self.faults.clear()
                case "GET", ["requests"]:
                    return json_response(200, self.requests)
                case "DELETE", ["requests"]:
                    self.requests.clear()
                case "GET", ["secrets"]:
                    sizes = {name: len(self.secrets.versions(name)[0].value.encode()) for name in self.secrets.names()}
                    return json_response(200, sizes)
                case "PUT", ["secrets", name]:
                    self.secrets.put(name, str(request.json().get("value", "")), Change(), now=self._now())
                case _:
                    return json_response(404, {"error": f"no control path {request.method} {request.path}"})
        except (ValueError, VaultRefused) as error:
            return json_response(400, {"error": str(error)})
        return json_response(200, {})


def _page(request: Request, items: list[dict[str, object]]) -> Response:
    """Give one page of a list; the place goes on in `$skiptoken`, which callers do not read."""
    try:
        size = int(request.query.get("maxresults", PAGE_SIZE))
        begin = int(base64.urlsafe_b64decode(request.query.get("$skiptoken", "MA==")))
    except ValueError as error:
        raise VaultRefused(400, "BadParameter", "maxresults or $skiptoken is not valid") from error
    if not 1 <= size <= PAGE_SIZE or begin < 0:
        raise VaultRefused(400, "BadParameter", f"maxresults must be from 1 to {PAGE_SIZE}")
    next_link = None
    if begin + size < len(items):
        token = base64.urlsafe_b64encode(str(begin + size).encode()).decode()
        version = request.query["api-version"]
        next_link = f"{request.origin}{request.path}?api-version={version}&$skiptoken={token}&maxresults={size}"
    return json_response(200, {"value": items[begin : begin + size], "nextLink": next_link})


def _error(code: str, message: str, inner: str = "") -> dict[str, object]:
    error: dict[str, object] = {"code": code, "message": message}
    if inner:
        error["innererror"] = {"code": inner}
    return {"error": error}
