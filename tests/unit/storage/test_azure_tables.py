"""Azure Table Storage when it does not behave: what reaches the caller, what is repeated, and what is not."""

import json
import logging
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
import trustme
from azure.core.credentials import AccessToken

from shared.errors import ConfigError, StateConflict, StoreUnavailable
from shared.settings import StorageSettings
from shared.storage import azure_tables
from shared.storage.azure_tables import REPEATS, AzureTables
from shared.storage.table import Insert, Row, Table

ROW = Row(partition="p", key="k", values={"n": 1})
STORED = Row(partition="p", key="k", values={"n": 1}, etag='W/"1"')
CALLS: dict[str, Callable[[Table], object]] = {
    "get": lambda table: table.get("p", "k"),
    "query": lambda table: list(table.query("p")),
    "insert": lambda table: table.insert(ROW),
    "replace": lambda table: table.replace(STORED),
    "upsert": lambda table: table.upsert(ROW),
    "delete": lambda table: table.delete("p", "k"),
    "write": lambda table: table.write([Insert(ROW)]),
}
CONDITIONAL = {"insert", "replace", "write"}
KEY = "c2VjcmV0c2VjcmV0c2VjcmV0"

type Answer = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class Service:
    """A table service on loopback that gives one answer to everything and keeps what it was asked."""

    server: ThreadingHTTPServer
    answer: Answer = lambda _request: None
    requests: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self.server.server_address[1])


@pytest.fixture
def service() -> Iterator[Service]:
    with _serving(None) as service:
        yield service


@pytest.fixture
def table(service: Service) -> Iterator[Table]:
    tables = AzureTables(_settings(service.port))
    yield tables.table("Orders")
    tables.close()


@contextmanager
def _serving(context: ssl.SSLContext | None) -> Iterator[Service]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one_request(self) -> None:
            self.raw_requestline = self.rfile.readline(65537)
            if not self.raw_requestline or not self.parse_request():
                self.close_connection = True
                return
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            running.requests.append(f"{self.command} {self.path}")
            running.headers.append(dict(self.headers))
            running.answer(self)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 the base class names it so
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    running = Service(server)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield running
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _settings(port: int) -> StorageSettings:
    text = f"DefaultEndpointsProtocol=http;AccountName=dev;AccountKey={KEY};TableEndpoint=http://127.0.0.1:{port}/dev;"
    return StorageSettings(connection_string=text, table_endpoint="", client_id="")


def says(status: int, body: bytes = b"", **headers: str) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            request.send_header(name.replace("_", "-"), value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return answer


def fails(status: int, code: str) -> Answer:
    return says(status, json.dumps({"odata.error": {"code": code, "message": {"lang": "", "value": "no"}}}).encode())


def hangs_up(request: BaseHTTPRequestHandler) -> None:
    request.connection.shutdown(socket.SHUT_RDWR)
    request.close_connection = True


def stops_halfway(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.send_header("Content-Type", "application/json")
    request.send_header("Content-Length", "1000")
    request.end_headers()
    request.wfile.write(b'{"value": [')
    hangs_up(request)


FAULTS: dict[str, Answer] = {
    "busy": fails(503, "ServerBusy"),
    "broken": fails(500, "InternalError"),
    "forbidden": fails(403, "AuthorizationPermissionMismatch"),
    "bad request": fails(400, "InvalidInput"),
    "no such account": says(404, b"<html>nothing here</html>", Content_Type="text/html"),
    "html error": says(502, b"<html>bad gateway</html>", Content_Type="text/html"),
    "table being deleted": fails(409, "TableBeingDeleted"),
    "hangs up": hangs_up,
}
GARBAGE: dict[str, Answer] = {
    "not json": says(200, b"<html>log in to the hotel network</html>", Content_Type="text/html"),
    "a list": says(200, b"[]"),
    "nothing": says(200, b""),
    "stops halfway": stops_halfway,
}


# The SDK takes any 404 of a delete for done, so that one pair cannot be told from "gone already".
@pytest.mark.parametrize(
    ("operation", "fault"),
    [(call, fault) for call in CALLS for fault in FAULTS if (call, fault) != ("delete", "no such account")],
)
def test_every_fault_is_store_unavailable(service: Service, table: Table, operation: str, fault: str) -> None:
    """Whatever the service answers but a conflict, the caller sees StoreUnavailable, and never an empty table."""
    service.answer = FAULTS[fault]
    with pytest.raises(StoreUnavailable) as caught:
        CALLS[operation](table)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize("operation", ["get", "query", "write"])
def test_an_answer_that_is_not_the_services_is_store_unavailable(
    service: Service, table: Table, operation: str, garbage: str
) -> None:
    """A proxy's page or a cut answer is not mistaken for rows, for their absence, or for a success."""
    service.answer = GARBAGE[garbage]
    with pytest.raises(StoreUnavailable):
        CALLS[operation](table)


@pytest.mark.parametrize("fault", ["busy", "broken", "hangs up"])
@pytest.mark.parametrize("operation", CALLS)
def test_only_what_may_be_repeated_is_repeated(service: Service, table: Table, operation: str, fault: str) -> None:
    """A conditional write is sent once: repeated after a lost answer, our own success would look like a conflict."""
    service.answer = FAULTS[fault]
    with pytest.raises(StoreUnavailable):
        CALLS[operation](table)
    assert len(service.requests) == (1 if operation in CONDITIONAL else 1 + REPEATS)


def test_a_throttled_conditional_write_is_not_repeated_either(service: Service, table: Table) -> None:
    """The SDK's wish to obey Retry-After does not make it send an insert twice."""
    service.answer = says(503, b"", Retry_After="0")
    with pytest.raises(StoreUnavailable):
        table.insert(ROW)
    assert len(service.requests) == 1


@pytest.mark.parametrize(
    ("operation", "answer"),
    [
        ("insert", fails(409, "EntityAlreadyExists")),
        ("replace", fails(412, "UpdateConditionNotSatisfied")),
        ("replace", fails(412, "ConditionNotMet")),
        ("replace", fails(404, "ResourceNotFound")),
        ("replace", fails(404, "EntityNotFound")),
    ],
)
def test_a_row_that_moved_is_a_conflict(service: Service, table: Table, operation: str, answer: Answer) -> None:
    """Each of the service's words for "not as you think" is StateConflict."""
    service.answer = answer
    with pytest.raises(StateConflict):
        CALLS[operation](table)


@pytest.mark.parametrize("operation", CALLS)
def test_a_service_that_hangs_is_given_up(
    service: Service, table: Table, operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No call waits for ever for an answer that does not come."""
    monkeypatch.setattr(azure_tables, "READ_TIMEOUT_S", 0.1)
    monkeypatch.setattr(azure_tables, "REPEATS", 0)
    ended = Event()

    def hang(_request: BaseHTTPRequestHandler) -> None:
        ended.wait(5)

    service.answer = hang
    with pytest.raises(StoreUnavailable):
        CALLS[operation](table)
    ended.set()


def test_an_unreachable_service_is_store_unavailable() -> None:
    """Nobody listens: StoreUnavailable, within the SDK's few tries."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    tables = AzureTables(_settings(port))
    with pytest.raises(StoreUnavailable):
        tables.table("Orders").get("p", "k")
    tables.close()


def test_a_table_that_cannot_be_created_is_store_unavailable(service: Service, table: Table) -> None:
    """A missing table is created once and the call made once more; if that does not help, it is not tried for ever."""
    service.answer = fails(404, "TableNotFound")
    with pytest.raises(StoreUnavailable):
        table.insert(ROW)
    assert [request.split("?")[0] for request in service.requests] == ["POST /dev/Orders", "POST /dev/Tables"]


@pytest.mark.parametrize("text", ["nonsense", "AccountName=a;AccountKey=not base64", "AccountName=a;Sekret=xyz", "a=b"])
def test_a_wrong_connection_string_is_a_wrong_setting(text: str) -> None:
    """The error names the setting and never quotes it."""
    tables = AzureTables(StorageSettings(connection_string=text, table_endpoint="", client_id=""))
    with pytest.raises((ConfigError, StoreUnavailable)) as caught:
        tables.table("Orders").get("p", "k")
    assert "xyz" not in str(caught.value)
    assert "base64" not in str(caught.value)
    if text != "AccountName=a;AccountKey=not base64":  # a key of the right shape is judged by the service only
        assert "AzureWebJobsStorage" in str(caught.value)
    tables.close()


class Identity:
    """A credential that gives one token."""

    def get_token(self, *scopes: str, **_options: Any) -> AccessToken:
        assert scopes == ("https://storage.azure.com/.default",)
        return AccessToken("token-of-the-app", 4_102_444_800)


def test_an_identity_sends_its_token_over_trusted_tls(tmp_path: Path) -> None:
    """With an endpoint instead of a connection string the app's token is sent; an untrusted server gets none."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(bundle)
    with _serving(context) as service:
        service.answer = fails(404, "ResourceNotFound")
        storage = StorageSettings(
            connection_string="", table_endpoint=f"https://127.0.0.1:{service.port}", client_id=""
        )
        trusting = AzureTables(storage, str(bundle), credential=Identity())
        assert trusting.table("Orders").get("p", "k") is None
        assert service.headers[-1]["Authorization"] == "Bearer token-of-the-app"
        trusting.close()
        suspicious = AzureTables(storage, credential=Identity())
        with pytest.raises(StoreUnavailable):
            suspicious.table("Orders").insert(ROW)
        suspicious.close()
        assert len(service.requests) == 1


def test_an_identity_needs_tls() -> None:
    """A token is not sent in the clear: an http endpoint is a wrong setting."""
    storage = StorageSettings(connection_string="", table_endpoint="http://127.0.0.1:1", client_id="")
    with pytest.raises(ConfigError, match="https"):
        AzureTables(storage, credential=Identity()).table("Orders").get("p", "k")


def test_row_keys_do_not_reach_the_log(service: Service, table: Table, caplog: pytest.LogCaptureFixture) -> None:
    """The SDK's line per request, with its URL, stays out of a log at INFO."""
    caplog.set_level(logging.INFO)
    service.answer = fails(404, "ResourceNotFound")
    assert table.get("p", "k") is None
    assert caplog.records == []


def test_importing_the_module_loads_no_sdk() -> None:
    """The webhook's handshake does not wait for the storage SDK."""
    script = (
        "import sys, shared.storage.azure_tables as module;"
        "print([name for name in sys.modules if name.startswith(('azure.data', 'azure.core', 'azure.identity'))])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.strip() == "[]"
