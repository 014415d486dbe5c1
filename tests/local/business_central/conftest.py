"""A fresh engine, a virtual clock and a small client for each test; no sockets unless a test starts a server."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from business_central_emulator import BusinessCentral, HandshakeAnswer, Request, Response, VirtualClock

RECORDED = Path(__file__).parents[4] / "shared" / "data"


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


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def subscriber() -> Subscriber:
    return Subscriber()


@pytest.fixture
def bc(clock: VirtualClock, subscriber: Subscriber) -> BusinessCentral:
    return BusinessCentral(clock, seed=7, handshake=subscriber.shake)


@pytest.fixture
def api(bc: BusinessCentral) -> Api:
    return Api(bc)


@pytest.fixture
def subscribe(api: Api) -> Callable[..., dict[str, Any]]:
    """Create a subscription to an entity set of the first company."""

    def create(name: str = "items", url: str = "https://hooks.example.com/bc", **given: Any) -> dict[str, Any]:
        resource = f"api/v2.0/companies({api.company_id})/{name}"
        return api.create("/subscriptions", {"notificationUrl": url, "resource": resource, "clientState": "s"} | given)

    return create


@pytest.fixture
def recorded() -> Callable[[str], Any]:
    """Read a recorded answer; skips where the folder of recordings is not checked out beside the repository."""

    def read(name: str) -> Any:
        path = RECORDED / "captures" / name
        if not path.exists():
            pytest.skip("the recorded answers (../shared/data) are not here")
        return json.loads(path.read_text(encoding="utf-8"))

    return read


@pytest.fixture
def recorded_metadata() -> Path:
    path = RECORDED / "metadata" / "api-v2.0.xml"
    if not path.exists():
        pytest.skip("the recorded $metadata (../shared/data) is not here")
    return path
