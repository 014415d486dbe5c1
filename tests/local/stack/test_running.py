"""Where a running stack is found: its file, readable by its owner only, and only while its host answers."""

import stat
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from local.stack.running import FILE, Running, find_running


class Host(BaseHTTPRequestHandler):
    """Answers the ping of a host."""

    def do_GET(self) -> None:
        """Say that it is up."""
        self.send_response(200 if self.path == "/admin/host/ping" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def host() -> Iterator[str]:
    """The address of a host that answers."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Host)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def running(work_dir: Path, app_url: str) -> Running:
    """A stack whose host is there."""
    work_dir.mkdir()
    return Running(
        app_url=app_url, public_url="https://localhost:7443", login_url="https://localhost:8443",
        bc_url="https://localhost:9443", storage_connection_string="UseDevelopmentStorage=true",
        ca_file=work_dir / "tls/ca.pem", work_dir=work_dir, values={"BC_TRIGGERS": "items"},
    )  # fmt: skip


def test_the_one_that_answers_is_found(tmp_path: Path, host: str) -> None:
    """One whose host is gone was ended by force; a file of another form is none."""
    there = running(tmp_path / "up", host)
    there.write()
    assert stat.S_IMODE((tmp_path / "up" / FILE).stat().st_mode) == 0o600
    running(tmp_path / "run", "http://127.0.0.1:9").write()
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / FILE).write_text('{"app_url": 3}')
    assert find_running(tmp_path) == there


def test_where_none_runs_none_is_found(tmp_path: Path) -> None:
    assert find_running(tmp_path) is None
    running(tmp_path / "up", "http://127.0.0.1:9").write()
    assert find_running(tmp_path) is None
