"""The command `doctor` where the app itself can't speak: each way of not answering has its cause and exit code 1."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, ClassVar

import pytest

from tests.support.loaded_modules import script


class _App(BaseHTTPRequestHandler):
    status: ClassVar[int] = 200
    body: ClassVar[str] = ""
    keys: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.keys.append(f"{self.path} {self.headers.get('x-functions-key', '')}")
        self.send_response(self.status)
        if self.status == 302:
            self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body.encode())

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@pytest.fixture
def doctor() -> Any:
    """The command as a module."""
    return script("doctor")


@pytest.fixture
def app() -> Iterator[str]:
    _App.status, _App.body = 200, ""
    _App.keys.clear()
    httpd = HTTPServer(("127.0.0.1", 0), _App)
    thread = threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}"
    httpd.shutdown()
    httpd.server_close()
    thread.join()


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (401, "", "key_wrong"),
        (403, "", "access_restricted"),
        (404, "", "no_functions"),
        (502, "", "app_down"),
        (503, "", "app_down"),
        (302, "", "redirected"),
        (200, "<html>", "not_the_app"),
        (200, "{}", "not_the_app"),
    ],
)
def test_an_app_that_cannot_speak_is_spoken_for(
    doctor: Any, app: str, capsys: pytest.CaptureFixture[str], status: int, body: str, code: str
) -> None:
    """The status that came instead of a report is explained."""
    _App.status, _App.body = status, body
    assert doctor.main([app, "--json"]) == 1
    (found,) = json.loads(capsys.readouterr().out)["findings"]
    assert found["code"] == code
    assert found["cause"]
    assert found["do"]


def test_nobody_there_is_told(doctor: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong name or a deleted app."""
    assert doctor.main(["http://127.0.0.1:9", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["findings"][0]["code"] == "app_unreachable"


def test_the_key_goes_in_a_header_and_to_this_address_only(
    doctor: Any, app: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is read from the environment, so that no list of processes shows it; no redirect is followed with it."""
    monkeypatch.setenv("FUNCTIONS_KEY", "the-key")
    _App.status = 302
    doctor.main([app])
    assert _App.keys == ["/api/status?doctor=1 the-key"]


def test_an_address_without_tls_is_refused(doctor: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """The key would travel in clear."""
    assert doctor.main(["http://app.example"]) == 2
    assert "https" in capsys.readouterr().err


def test_a_healthy_report_ends_with_zero(doctor: Any, app: str, capsys: pytest.CaptureFixture[str]) -> None:
    """And is printed for a person."""
    ok = {"check": "vault", "code": "ok", "severity": "ok", "seen": "The vault answers.", "cause": "", "do": ""}
    report = {"at": "2026-03-04T12:00:00Z", "environment": "production", "findings": [ok], "is_healthy": True}
    _App.body = json.dumps(report)
    assert doctor.main([app]) == 0
    shown = capsys.readouterr().out
    assert "The vault answers." in shown
    assert "All in order." in shown


def test_the_answers_to_open_questions_are_printed_as_they_are(
    doctor: Any, app: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ready to be sent on."""
    answers = {"version": "0.2.0", "at": "2026-03-04T12:00:00Z", "facts": {"star in eq": "200, some"}}
    _App.body = json.dumps(answers)
    assert doctor.main(["--facts", app]) == 0
    assert _App.keys[-1].startswith("/api/status?facts=1")
    assert json.loads(capsys.readouterr().out) == answers


def test_an_app_that_says_nothing_is_spoken_for_in_time(
    doctor: Any, app: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever hangs, there is an answer: here within half a second, in earnest within 15."""
    assert doctor.TIMEOUT_S == 15
    monkeypatch.setattr(doctor, "TIMEOUT_S", 0.5)
    gate = threading.Event()
    monkeypatch.setattr(doctor, "_read", lambda *_: gate.wait(10))
    began = time.monotonic()
    assert doctor.main([app, "--json"]) == 1
    assert time.monotonic() - began < 5
    gate.set()
    assert json.loads(capsys.readouterr().out)["findings"][0]["code"] == "app_silent"
