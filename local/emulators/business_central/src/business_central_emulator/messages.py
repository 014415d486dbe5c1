"""What goes into and comes out of the engine: requests and responses as plain values, no sockets.

`Response.transport` says what the network does with the answer; the adapter and the server turn it into a reset
connection, a read timeout or a cut body. `Response.delay_s` is modelled latency: whoever carries the answer spends it.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Transport(StrEnum):
    """What happens to an answer on its way back to the client."""

    OK = "ok"
    RESET = "reset"  # the connection is closed without an answer
    TIMEOUT = "timeout"  # no answer until the client gives up
    TRUNCATED = "truncated"  # headers and the first half of the body, then the connection closes


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One HTTP request; `url` is absolute, header names may have any case."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def header(self, name: str) -> str | None:
        """Return the header's value, found without regard to case, or None."""
        wanted = name.lower()
        return next((value for key, value in self.headers.items() if key.lower() == wanted), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One HTTP answer and what becomes of it."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    delay_s: float = 0.0
    transport: Transport = Transport.OK

    def json(self) -> Any:
        """Return the body parsed; floats stay floats (tests that need digits parse the body themselves)."""
        return json.loads(self.body)


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
