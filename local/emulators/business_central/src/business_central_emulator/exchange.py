"""One HTTP exchange without a socket: what the login and key vault engines take and give.

An engine is a plain object with `handle(Request) -> Response`; `local.serving` puts it behind TLS, `local.in_process`
behind a `requests.Session`. Neither knows what an engine decides.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """An HTTP request as an engine sees it."""

    method: str  # upper case
    url: str  # absolute, with its query
    headers: Mapping[str, str] = field(default_factory=dict)  # lower-case names
    body: bytes = b""

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

    def json(self) -> dict[str, object]:
        """Give the JSON object in the body; anything else gives an empty one."""
        try:
            found = json.loads(self.body or b"{}")
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """An HTTP response an engine decided on, with what the wire should do to it."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    delay_s: float = 0.0  # how long the caller waits for it
    is_dropped: bool = False  # the connection closes instead: the caller never learns the answer


class Engine(Protocol):
    """Something that answers requests without doing I/O."""

    def handle(self, request: Request) -> Response:
        """Answer one request."""
        ...


def json_response(status: int, body: object, headers: Mapping[str, str] | None = None) -> Response:
    """Give a JSON response."""
    return Response(
        status=status,
        headers={"Content-Type": "application/json; charset=utf-8", "Cache-Control": "no-store", **(headers or {})},
        body=json.dumps(body).encode(),
    )


def _first_of_each(encoded: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    for name, value in parse_qsl(encoded, keep_blank_values=True):
        fields.setdefault(name, value)
    return fields
