"""The values that cross between host and worker process: plain data that both sides read and either may send."""

import json
import re
from dataclasses import dataclass
from typing import Any

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Value:
    """A typed value; ``kind`` is ``string``, ``bytes``, ``json`` (a text), ``http`` or another of the worker's.

    ``data`` of an HTTP request: method, url, headers, query, params (each a mapping of texts), body (bytes).
    ``data`` of an HTTP answer: an `HttpAnswer`.
    """

    kind: str
    data: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Cookie:
    """A cookie as the worker hands it over: an attribute that was not set is an empty text and still crosses."""

    name: str
    value: str
    domain: str
    path: str
    max_age: str
    secure: bool
    http_only: bool
    same_site: str  # lax, strict, none or empty


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAnswer:
    """What an HTTP function answered with a response object."""

    status: str
    headers: tuple[tuple[str, str], ...]
    cookies: tuple[Cookie, ...]
    body: bytes


@dataclass(frozen=True, slots=True)
class CallResult:
    """What one call of a function gave."""

    ok: bool
    returned: Value | None
    outputs: dict[str, Value]  # Out parameters that were set
    error: str | None  # repr of the exception


def whole_text(text: str) -> str:
    """Return a text with U+FFFD for each half of a surrogate pair, which UTF-8 has no form for."""
    return _LONE_SURROGATE.sub("\ufffd", text)


def text_value(text: str) -> Value:
    """Return a ``string`` value."""
    return Value("string", whole_text(text))


def bytes_value(body: bytes) -> Value:
    """Return a ``bytes`` value."""
    return Value("bytes", body)


def json_value(content: object) -> Value:
    """Return a ``json`` value of Python data, in .NET's compact form."""
    return Value("json", json.dumps(content, ensure_ascii=False, separators=(",", ":")))
