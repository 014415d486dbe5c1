"""Turns what an HTTP function gave back into an answer, by the script host's rules. Pure.

A response object crosses as status, headers and cookies; a cookie always leaves with ``domain=`` and ``path=``, be they
empty. A function that returns ``str`` may describe its answer as JSON with ``body``, ``status`` and ``headers``: those
headers leave as they are written, which is the one way to send a cookie without a domain.
"""

from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import quote

from local.functions_host import json_net
from local.functions_host.http_messages import BadHeaderError, Pairs, Response, check_header
from local.functions_host.values import Cookie, HttpAnswer, Value

_PLAIN: Final = "text/plain; charset=utf-8"


def to_response(value: Value | None) -> Response:
    """Return the answer for a value; a function that gave none answers 200 without a body.

    Raises:
        ValueError: a status that is no number, a value that is no answer, a header value that cannot be sent.
    """
    if value is None:
        return Response()
    if value.kind == "string":
        return _from_text(str(value.data))
    if not isinstance(value.data, HttpAnswer):
        raise ValueError(f"an answer cannot be of type {value.kind}")  # noqa: TRY004 - the worker's type, not Python's
    answer = value.data
    headers = tuple((name, text) for name, text in answer.headers if text or name.lower() != "content-type")
    headers += tuple(("Set-Cookie", text) for text in set_cookie_headers(answer.cookies))
    return _checked(int(answer.status), headers, answer.body)


def set_cookie_headers(cookies: Iterable[Cookie]) -> list[str]:
    """Return Set-Cookie values as ASP.NET writes them: the value escaped, the attributes in its order and case."""
    return [_set_cookie(cookie) for cookie in cookies]


def _set_cookie(cookie: Cookie) -> str:
    parts = [f"{cookie.name}={quote(cookie.value, safe='')}"]
    if cookie.max_age:
        parts.append(f"max-age={int(float(cookie.max_age))}")
    parts += [f"domain={cookie.domain}", f"path={cookie.path}"]
    if cookie.secure:
        parts.append("secure")
    if cookie.same_site:
        parts.append(f"samesite={cookie.same_site}")
    if cookie.http_only:
        parts.append("httponly")
    return "; ".join(parts)


def _checked(status: int, headers: Pairs, body: bytes) -> Response:
    """Return the answer; a name that is no header name is found when the content type is set already."""
    for name, text in headers:
        try:
            check_header(name, text)
        except BadHeaderError as error:
            if "header name" not in str(error):
                raise
            return Response(500, tuple(pair for pair in headers if pair[0].lower() == "content-type"))
    return Response(status, headers, body)


def _from_text(text: str) -> Response:
    try:
        parsed = json_net.read(text)
    except ValueError:
        return Response(200, (("Content-Type", _PLAIN),), text.encode())
    if not isinstance(parsed, dict) or "body" not in parsed:
        return Response(200, (("Content-Type", _PLAIN),), json_net.as_text(parsed).encode())
    described = parsed.get("headers")
    headers = {str(name): _header_text(value) for name, value in (described or {}).items()}
    kind = next((name for name in headers if name.lower() == "content-type"), None)
    if kind is None:
        headers["Content-Type"] = _PLAIN
    elif "charset" not in headers[kind].lower():
        headers[kind] += "; charset=utf-8"
    body = parsed["body"]
    content = json_net.write(body, indent=False) if isinstance(body, dict | list) else json_net.as_text(body)
    status: Any = parsed.get("status", parsed.get("statusCode", 200))
    return _checked(int(status), tuple(headers.items()), content.encode())


def _header_text(value: object) -> str:
    if isinstance(
        value, list
    ):  # recorded: a list has no text of its own in .NET, so two cookies cannot be sent this way
        return "System.Collections.Generic.List`1[System.Object]"
    return json_net.as_text(value)
