"""Turns what an HTTP function gave back into an HTTP response, by the script host's rules."""

import json
from collections.abc import Iterable
from http.cookies import Morsel, SimpleCookie
from typing import Any
from urllib.parse import quote

from aiohttp import web
from multidict import CIMultiDict

from local.functions_host.wire import Datum

_SAME_SITE = {"lax": "lax", "strict": "strict", "none": "none"}
_OURS = frozenset({"content-length", "transfer-encoding", "connection"})  # the server's own business


def to_response(value: Datum | None) -> web.Response:
    """Return the response for a value; a function that gave none answers 200 without a body.

    Raises:
        ValueError: a status that is no number, or a value that is no response.
    """
    if value is None or value.type is None:
        return web.Response()
    if value.type == "string":
        return _from_text(value.value)
    if value.type != "http":
        raise ValueError(f"a response cannot be of type {value.type}")
    described = value.value
    headers: CIMultiDict[str] = CIMultiDict()
    for name, header in described["headers"].items():
        if name.casefold() not in _OURS:
            headers.add(name, str(header.value))
    for cookie in set_cookie_headers(described.get("cookies") or ()):
        headers.add("Set-Cookie", cookie)
    return web.Response(status=int(described["status_code"].value), headers=headers, body=described["body"].value)


def set_cookie_headers(cookies: Iterable[SimpleCookie]) -> list[str]:
    """Return Set-Cookie values as ASP.NET writes them: the value escaped, the attributes in its order and case."""
    return [_set_cookie(morsel) for cookie in cookies for morsel in cookie.values()]


def _set_cookie(morsel: Morsel[str]) -> str:
    parts = [f"{morsel.key}={quote(morsel.value, safe='')}"]
    parts += [f"{name}={morsel[name]}" for name in ("expires", "max-age", "domain", "path") if morsel[name]]
    if morsel["secure"]:
        parts.append("secure")
    same_site = _SAME_SITE.get(str(morsel["samesite"]).casefold())
    if same_site:
        parts.append(f"samesite={same_site}")
    if morsel["httponly"]:
        parts.append("httponly")
    return "; ".join(parts)


def _from_text(text: str) -> web.Response:
    """A function that returns ``str``: JSON is parsed, an object with a ``body`` describes the response."""
    try:
        parsed = json.loads(text)
    except ValueError:
        return web.Response(text=text)
    if not isinstance(parsed, dict) or "body" not in parsed:
        return web.Response(text=_written(parsed))
    status: Any = parsed.get("status", parsed.get("statusCode", 200))
    headers = {str(name): str(value) for name, value in (parsed.get("headers") or {}).items()}
    response = web.Response(status=int(status), headers=headers, body=_written(parsed["body"]).encode())
    for cookie in parsed.get("cookies") or ():
        response.headers.add("Set-Cookie", f"{cookie['name']}={quote(str(cookie['value']), safe='')}; path=/")
    return response


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
