"""What tests of the emulator hold: a small client and a subscriber, both without sockets."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from business_central_emulator import BusinessCentral, HandshakeAnswer, Request, Response

Subscribe = Callable[..., dict[str, Any]]
Recorded = Callable[[str], Any]


@dataclass
class Api:
    """Sends requests to an engine as a client would."""

    engine: BusinessCentral
    token: str = "good-app"

    @property
    def company_id(self) -> str:
        return self.engine.company().id

    def url(self, path: str) -> str:
        """An absolute URL; paths without a leading slash are below the first company."""
        if "://" in path:
            return path
        root = self.engine.root_url()
        return f"{root}{path}" if path.startswith("/") else f"{root}/companies({self.company_id})/{path}"

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Response:
        sent = {"Authorization": f"Bearer {self.token}"} | {
            key.replace("_", "-"): value for key, value in headers.items()
        }
        raw = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.engine.handle(Request(method=method, url=self.url(path), headers=sent, body=raw))

    def get(self, path: str, **headers: str) -> Response:
        return self.call("GET", path, **headers)

    def rows(self, path: str, **headers: str) -> list[dict[str, Any]]:
        answer = self.get(path, **headers)
        assert answer.status == 200, answer.body
        value: list[dict[str, Any]] = answer.json()["value"]
        return value

    def post(self, path: str, body: Any, **headers: str) -> Response:
        return self.call("POST", path, body, **headers)

    def patch(self, path: str, body: Any, etag: str | None = "*", **headers: str) -> Response:
        return self.call("PATCH", path, body, **({"If_Match": etag} if etag else {}), **headers)

    def delete(self, path: str, etag: str | None = "*") -> Response:
        return self.call("DELETE", path, **({"If_Match": etag} if etag else {}))

    def create(self, path: str, body: Any) -> dict[str, Any]:
        answer = self.post(path, body)
        assert answer.status == 201, answer.body
        created: dict[str, Any] = answer.json()
        return created


@dataclass
class Subscriber:
    """The other end of webhooks: echoes handshakes, answers notifications with `status`, remembers everything."""

    status: int | None = 202
    echoes: bool = True
    handshakes: list[str] = field(default_factory=list)
    posts: list[tuple[str, dict[str, str], list[dict[str, Any]]]] = field(default_factory=list)

    def shake(self, url: str) -> HandshakeAnswer | None:
        self.handshakes.append(url)
        if not self.echoes:
            return None
        token = parse_qs(urlsplit(url).query)["validationToken"][0]
        return HandshakeAnswer(status=200, content_type="text/plain; charset=utf-8", body=token.encode())

    def receive(self, url: str, headers: Any, body: bytes) -> int | None:
        self.posts.append((url, dict(headers), json.loads(body)["value"]))
        return self.status

    @property
    def entries(self) -> list[dict[str, Any]]:
        return [entry for _, _, entries in self.posts for entry in entries]

    @property
    def kinds(self) -> list[str]:
        return [entry["changeType"] for entry in self.entries]
