"""The Azure SDK sends the header it made, whatever `.netrc` holds for the host (P15)."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from azure.core.rest import HttpRequest

from shared.storage.http_transport import sdk_transport


def test_netrc_replaces_no_header_of_the_sdk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With requests' own ways the vault's token gave way to the password."""
    heard: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heard.append(str(self.headers["Authorization"]))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing to say."""

    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password other\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        with sdk_transport(connect_s=5, read_s=5, ca_bundle=None) as transport:
            url = f"http://127.0.0.1:{server.server_port}/x"
            transport.send(HttpRequest("GET", url, headers={"Authorization": "Bearer ours"}))
    assert heard == ["Bearer ours"]
