"""Queue lengths by plain REST: against Azurite with a signed request, and with a token as Azure takes it."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar

import pytest

from local.stack.mailbox import Mailbox
from shared.errors import StoreUnavailable
from shared.message_text import decode
from shared.operations.queue_depths import QueueDepths
from shared.settings import StorageSettings


def settings(connection_string: str = "", endpoint: str = "") -> StorageSettings:
    return StorageSettings(connection_string=connection_string, table_endpoint=endpoint, client_id="")


@pytest.mark.azurite
def test_a_queue_is_counted_and_a_missing_one_is_none(azurite: str) -> None:
    """The account key signs the request as the service demands it."""
    mailbox = Mailbox(azurite)
    for _ in range(3):
        mailbox.put("depth-of-three", "{}")
    depths = QueueDepths(settings(azurite))
    assert depths.read("depth-of-three") == 3
    assert depths.read("nobody-made-this") is None


@pytest.mark.azurite
def test_messages_are_looked_at_and_left(azurite: str) -> None:
    """Their text as it was put, how often they were taken, since when they lie there; a second look sees the same."""
    mailbox = Mailbox(azurite)
    mailbox.put("look-only", '{"key": "<a> & b"}')
    depths = QueueDepths(settings(azurite))
    for _ in range(2):
        (found,) = depths.peek("look-only")
        assert json.loads(decode(found.body)) == {"key": "<a> & b"}
        assert found.message_id
        assert (found.taken, abs(found.put_at - datetime.now(UTC)) < timedelta(minutes=1)) == (0, True)
    assert depths.peek("nobody-made-this") == []


@pytest.mark.azurite
def test_a_wrong_key_is_refused(azurite: str) -> None:
    """The error names the status, which the doctor explains."""
    wrong = ";".join("AccountKey=d3Jvbmc=" if part.startswith("AccountKey") else part for part in azurite.split(";"))
    with pytest.raises(StoreUnavailable, match="403"):
        QueueDepths(settings(wrong)).read("depth-of-three")


class _Service(BaseHTTPRequestHandler):
    seen: ClassVar[list[tuple[str, str, str]]] = []

    def do_GET(self) -> None:
        self.seen.append((self.path, self.headers["Authorization"], self.headers["x-ms-version"]))
        self.send_response(200 if self.headers["Authorization"] == "Bearer good" else 403)
        self.send_header("x-ms-approximate-messages-count", "41")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@pytest.fixture
def service() -> Iterator[str]:
    httpd = HTTPServer(("127.0.0.1", 0), _Service)
    thread = threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}"
    httpd.shutdown()
    httpd.server_close()
    thread.join()


def test_an_identity_is_used_where_there_is_no_key(service: str) -> None:
    """As in Azure, where shared keys are switched off."""
    assert QueueDepths(settings(endpoint=service), token=lambda: "good").read("bc-pages") == 41
    path, _, version = _Service.seen[-1]
    assert path == "/bc-pages?comp=metadata"
    assert version
    with pytest.raises(StoreUnavailable, match="403"):
        QueueDepths(settings(endpoint=service), token=lambda: "bad").read("bc-pages")


def test_storage_that_is_not_there_is_told() -> None:
    """By the kind of failure, without an address or a key."""
    with pytest.raises(StoreUnavailable, match="ConnectionError"):
        QueueDepths(settings(endpoint="http://127.0.0.1:9"), token=lambda: "good").read("bc-pages")


@pytest.mark.parametrize("text", ["AccountName=a", "AccountName=a;AccountKey=!!!", "nonsense"])
def test_a_connection_string_without_a_key_is_told(text: str) -> None:
    """And not quoted."""
    with pytest.raises(StoreUnavailable, match="account key") as caught:
        QueueDepths(settings(text)).read("bc-pages")
    assert text not in str(caught.value)
