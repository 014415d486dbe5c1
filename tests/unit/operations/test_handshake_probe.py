"""The handshake that the doctor plays: exact, bounded, and blind to whatever else answers."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from shared.operations.handshake_probe import probe_handshake

TOKEN = "0123abcd"


class _Answers(BaseHTTPRequestHandler):
    """Answers by the name of the path."""

    def do_POST(self) -> None:
        parts = urlsplit(self.path)
        token = parse_qs(parts.query)["validationToken"][0]
        status, kind, body = {
            "/exact": (200, "text/plain; charset=utf-8", token),
            "/html": (200, "text/html", token),
            "/other": (200, "text/plain", "hello"),
            "/missing": (404, "text/plain", ""),
            "/moved": (302, "text/plain", ""),
        }[parts.path]
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Location", "/exact")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    httpd = HTTPServer(("127.0.0.1", 0), _Answers)
    thread = threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}"
    httpd.shutdown()
    httpd.server_close()
    thread.join()


@pytest.mark.parametrize(
    ("path", "status", "exact"),
    [("exact", 200, True), ("html", 200, False), ("other", 200, False), ("missing", 404, False), ("moved", 302, False)],
)
def test_only_the_exact_token_as_plain_text_counts(server: str, path: str, status: int, exact: bool) -> None:
    """As Business Central takes it; no redirect is followed."""
    found = probe_handshake(f"{server}/{path}", TOKEN)
    assert (found.status, found.is_exact, found.error) == (status, exact, "")


def test_nobody_there_is_an_answer_and_no_exception() -> None:
    """The kind of failure is told."""
    found = probe_handshake("http://127.0.0.1:9/x", TOKEN)
    assert (found.status, found.error) == (0, "ConnectionError")
