"""Receivers of events over TLS on loopback: an Event Grid topic, a Service Bus entity, a Standard Webhooks endpoint.

Each refuses what the real one refuses, as far as its documentation says so (sources: `shared/forwarding`), and keeps
what it has accepted. Names of the outside lead here through `routed`, so that certificates and addresses are checked as
outside; nothing leaves the machine.
"""

import json
import random
import re
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import trustme
import urllib3.util.connection as urllib3_connection
from standardwebhooks.webhooks import Webhook

GRID_HOST: Final = "orders.westeurope-1.eventgrid.azure.net"
BUS_HOST: Final = "contoso.servicebus.windows.net"
HOOK_HOST: Final = "hooks.example"
TOKENS: Final = {
    "https://eventgrid.azure.net/.default": "token-for-event-grid",
    "https://servicebus.azure.net/.default": "token-for-service-bus",
}
_MEGABYTE: Final = 1024 * 1024
_ATTRIBUTE: Final = re.compile(r"[a-z0-9]{1,20}")

type Judge = Callable[["Receiver", str, Mapping[str, str], bytes], tuple[int, list[dict[str, Any]]]]


@dataclass
class Receiver:
    """One receiver: what it accepted, and its weather."""

    judge: Judge
    seed: int = 1
    fault_p: float = 0.0  # of requests that end in 500, 429, a reset before or after they were accepted
    most_bytes: int = _MEGABYTE
    secret: str = ""
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    forced: list[tuple[int, dict[str, str]]] = field(default_factory=list)  # answers for the next requests
    is_dead: bool = False  # takes connections and drops them
    accepted: list[dict[str, Any]] = field(default_factory=list)
    requests: list[dict[str, str]] = field(default_factory=list)  # headers, as they came
    counts: Counter[str] = field(default_factory=Counter)
    in_doubt: Counter[str] = field(default_factory=Counter)  # ids that were accepted without an answer
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._rolls = random.Random(self.seed)

    def take(self, target: str, headers: Mapping[str, str], body: bytes) -> tuple[int, dict[str, str]] | None:
        """Return status and headers of the answer; None: the connection breaks."""
        with self.lock:
            self.counts["requests"] += 1
            self.requests.append({name.lower(): value for name, value in headers.items()})
            if self.forced:
                return self.forced.pop(0)
            roll = 1.0 if self.is_dead else self._rolls.random()
            if self.is_dead or roll < self.fault_p / 4:
                self.counts["reset before"] += 1
                return None
            if roll < self.fault_p / 2:
                self.counts["500"] += 1
                return 500, {}
            if roll < self.fault_p * 3 / 4:
                self.counts["429"] += 1
                return 429, {"Retry-After": "20"}
            status, events = self.judge(self, target, {k.lower(): v for k, v in headers.items()}, body)
            self.counts[str(status)] += 1
            self.accepted += events
            if roll < self.fault_p and status < 300:
                self.counts["reset after"] += 1
                self.in_doubt.update(event["id"] for event in events)
                return None
            return status, {}

    def ids(self) -> Counter[str]:
        """Return how often each event was accepted."""
        return Counter(event["id"] for event in self.accepted)


def event_grid(receiver: Receiver, target: str, headers: Mapping[str, str], body: bytes) -> tuple[int, list[Any]]:
    """Judge as the topic `orders` does."""
    if target != "/api/events?api-version=2018-01-01":
        return 404, []
    if headers.get("authorization") != f"Bearer {TOKENS['https://eventgrid.azure.net/.default']}":
        return 401, []
    if len(body) > receiver.most_bytes:
        return 413, []
    events = _json(body)
    is_batch = headers["content-type"].partition(";")[0] == "application/cloudevents-batch+json"
    if not is_batch or not isinstance(events, list) or len(events) > 5000 or not all(map(is_cloud_event, events)):
        return 400, []
    return 200, events


def service_bus(receiver: Receiver, target: str, headers: Mapping[str, str], body: bytes) -> tuple[int, list[Any]]:
    """Judge as the queue `bc-events`, which keeps sessions, does in the standard tier."""
    if urlsplit(target).path != "/bc-events/messages":
        return 404, []
    if headers.get("authorization") != f"Bearer {TOKENS['https://servicebus.azure.net/.default']}":
        return 401, []
    if len(body) > min(receiver.most_bytes, 256 * 1024):
        return 403, []
    messages = _json(body)
    if headers["content-type"] != "application/vnd.microsoft.servicebus.json" or not isinstance(messages, list):
        return 400, []
    brokers = [message.get("BrokerProperties", {}) for message in messages]
    sessions = {broker.get("SessionId", "") for broker in brokers}
    texts = [text for broker in brokers for text in (broker.get("MessageId", ""), broker.get("SessionId", ""))]
    if len(sessions) != 1 or not all(0 < len(text) <= 128 for text in texts):
        return 400, []
    events = [_json(message["Body"].encode()) for message in messages]
    if any(event["id"] != broker["MessageId"] for event, broker in zip(events, brokers, strict=True)):
        return 400, []
    return 201, events


def webhook(receiver: Receiver, target: str, headers: Mapping[str, str], body: bytes) -> tuple[int, list[Any]]:
    """Judge as a receiver with the library of Standard Webhooks does; time is the receiver's."""
    if target != "/in":
        return 404, []
    if len(body) > receiver.most_bytes:
        return 413, []
    at = datetime.fromtimestamp(int(headers.get("webhook-timestamp", "0")), UTC)
    signed = Webhook(receiver.secret).sign(headers.get("webhook-id", ""), at, body.decode())
    is_young = abs((receiver.now() - at).total_seconds()) <= 300
    if signed not in headers.get("webhook-signature", "").split(" ") or not is_young:
        return 401, []
    event = _json(body)
    is_event = headers["content-type"].partition(";")[0] == "application/cloudevents+json" and is_cloud_event(event)
    return (204, [event]) if is_event and event["id"] == headers["webhook-id"] else (400, [])


def is_cloud_event(event: Any) -> bool:
    """Say whether it is a CloudEvent 1.0: required attributes, names and types of the others."""
    if not isinstance(event, dict) or event.get("specversion") != "1.0":
        return False
    required = all(isinstance(event.get(name), str) and event[name] for name in ("id", "source", "type"))
    return required and all(_ATTRIBUTE.fullmatch(name) or name == "data_base64" for name in event)


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


@contextmanager
def serving(receiver: Receiver, tls: ssl.SSLContext) -> Iterator[int]:
    """Serve a receiver over TLS on loopback; yields the port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            answer = receiver.take(self.path, dict(self.headers.items()), body)
            if answer is None:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            status, headers = answer
            self.send_response(status)
            for name, value in {"Content-Length": "0", **headers}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Be quiet."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """Be quiet: resets are part of the game."""

    server = Server(("127.0.0.1", 0), Handler)
    server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def certified(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    """Return what a server under these names shows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


@contextmanager
def routed(ports: Mapping[str, int]) -> Iterator[None]:
    """Let names of the outside lead to ports of loopback, below TLS, which still sees the name."""
    real = urllib3_connection.create_connection

    def connect(address: tuple[str, int], *args: Any, **options: Any) -> socket.socket:
        port = ports.get(address[0])
        return real(("127.0.0.1", port) if port else address, *args, **options)

    urllib3_connection.create_connection = connect
    try:
        yield
    finally:
        urllib3_connection.create_connection = real


def ca_file(authority: trustme.CA, folder: Path) -> str:
    """Write the certificate of an authority, as CA_BUNDLE names it."""
    path = folder / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)
