"""HTTP without a socket: what an engine takes and gives, and what the network does to the answer.

An engine is a plain object with `handle(Request) -> Response`. `adapter` puts it behind a `requests.Session`, `serving`
behind a socket; neither knows what an engine decides.
"""

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlsplit


class Transport(StrEnum):
    """What happens to an answer on its way back to the client."""

    OK = "ok"
    RESET = "reset"  # the connection is closed without an answer
    TIMEOUT = "timeout"  # no answer until the client gives up
    TRUNCATED = "truncated"  # headers and the first half of the body, then the connection closes


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One HTTP request; `url` is absolute, header names may have any case."""

    method: str  # upper case
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def header(self, name: str) -> str | None:
        """Return the header's value, found without regard to case, or None."""
        wanted = name.lower()
        return next((value for key, value in self.headers.items() if key.lower() == wanted), None)

    @property
    def path(self) -> str:
        """Path without the query."""
        return urlsplit(self.url).path or "/"

    @property
    def origin(self) -> str:
        """Scheme, host and port the caller used."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def query(self) -> dict[str, str]:
        """Query parameters; of a repeated one the first counts."""
        return _first_of_each(urlsplit(self.url).query)

    @property
    def form(self) -> dict[str, str]:
        """Fields of a form body; of a repeated one the first counts."""
        return _first_of_each(self.body.decode("utf-8", "replace"))

    def json(self) -> dict[str, Any]:
        """Return the JSON object in the body; anything else gives an empty one."""
        try:
            found = json.loads(self.body or b"{}")
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One HTTP answer and what becomes of it; whoever carries it spends `delay_s`, the modelled latency."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    delay_s: float = 0.0
    transport: Transport = Transport.OK

    def json(self) -> Any:
        """Return the body parsed; floats stay floats (tests that need digits parse the body themselves)."""
        return json.loads(self.body)


class Engine(Protocol):
    """Something that answers requests without doing I/O; safe to be called from several threads."""

    def handle(self, request: Request) -> Response:
        """Answer one request."""
        ...

    def turn(self, request: Request) -> AbstractContextManager[bool]:
        """Return the place of a request among those in process, held until its answer is carried; False: no place."""
        del request
        return nullcontext(True)


def json_response(status: int, body: Any, headers: Mapping[str, str] | None = None) -> Response:
    """Return a JSON response."""
    return Response(
        status=status,
        headers={"Content-Type": "application/json; charset=utf-8", "Cache-Control": "no-store", **(headers or {})},
        body=json.dumps(body).encode(),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class HandshakeAnswer:
    """What a subscriber answered to the validation call."""

    status: int
    content_type: str
    body: bytes


#: Given the notification URL with its `validationToken`, returns the answer, or None when none came within 5 s.
Handshake = Callable[[str], HandshakeAnswer | None]
#: Given (url, headers, body) of a notification, returns the final status, or None when no answer came within 30 s.
Post = Callable[[str, Mapping[str, str], bytes], int | None]


def _first_of_each(encoded: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    for name, value in parse_qsl(encoded, keep_blank_values=True):
        fields.setdefault(name, value)
    return fields
