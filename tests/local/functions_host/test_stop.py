"""How a host ends: on a signal after its running calls, or at once with one line about what is wrong."""

import json
import shutil
import socket
import threading
from pathlib import Path

import pytest

from tests.local.functions_host.conftest import StartHost
from tests.local.functions_host.harness import APPS, Answer, HostProcess, can_connect, eventually, free_ports

HTTP_APP = APPS / "http"


def test_running_calls_end_before_the_host(start_host: StartHost) -> None:
    """SIGTERM closes the door, lets the running call answer, and exits 0."""
    host = start_host("http")
    answers: list[Answer] = []
    caller = threading.Thread(target=lambda: answers.append(host.ask("/api/slow?s=2.5")))
    caller.start()
    eventually(lambda: "slow began" in host.output)
    host.process.terminate()
    eventually(lambda: not can_connect(int(host.url.rsplit(":", 1)[1])), what="a closed door")
    assert host.wait_exit() == 0
    caller.join(timeout=5)
    assert [answer.status for answer in answers] == [200]
    assert " succeeded" in host.output.splitlines()[-1]


def test_thread_count_is_taken(start_host: StartHost) -> None:
    """With one thread, sync functions wait for one another."""
    host = start_host("http", env={"PYTHON_THREADPOOL_THREAD_COUNT": "1"})
    names: list[bytes] = []
    callers = [threading.Thread(target=lambda: names.append(host.ask("/api/slow?s=0.05").body)) for _ in range(3)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(timeout=5)
    assert len(names) == 3
    assert len(set(names)) == 1


def test_quiet_host_says_only_that_it_is_ready(start_host: StartHost) -> None:
    """--quiet leaves out the line per invocation."""
    host = start_host("http", "--quiet")
    assert host.ask("/api/echo").status == 200
    assert host.output.splitlines() == [f"host ready {host.url}"]


def one_line(host: HostProcess) -> tuple[int, str]:
    """Return the exit code and the error of a host that must say it in one line."""
    code = host.wait_exit()
    lines = [line for line in host.errors.splitlines() if " WARNING " not in line]
    assert len(lines) == 1, host.errors
    assert lines[0].startswith("error: ")
    return code, lines[0]


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """A copy of the HTTP app whose files a test may spoil."""
    return Path(shutil.copytree(HTTP_APP, tmp_path / "app", ignore=shutil.ignore_patterns("__pycache__")))


def test_missing_host_json(start_host: StartHost, app: Path) -> None:
    """Without host.json the folder is no app: the start ends, as that of func does, with a line that names it."""
    (app / "host.json").unlink()
    code, line = one_line(start_host(app, ready=False))
    assert code == 2
    assert "host.json does not exist" in line


def test_wrong_settings(start_host: StartHost, app: Path) -> None:
    """Broken settings, and a named settings file that is missing, end the start with a line that names them."""
    (app / "local.settings.json").write_text('{"Values": {}}')
    code, line = one_line(start_host(app, ready=False))
    assert code == 2
    assert 'local.settings.json must say "IsEncrypted": false' in line
    code, line = one_line(start_host(app, "--settings", str(app / "nowhere.json"), ready=False))
    assert code == 2
    assert "nowhere.json does not exist" in line


def test_settings_do_not_override_the_environment(start_host: StartHost, app: Path) -> None:
    """Values fill in what the environment lacks or holds empty; what it has wins, with a warning."""
    settings = {"IsEncrypted": False, "Values": {"ONE": "file", "TWO": "file", "THREE": "file"}}
    (app / "local.settings.json").write_text(json.dumps(settings))
    host = start_host(app, env={"TWO": "environment", "THREE": ""})
    values = [host.ask(f"/api/settings/{name}").body for name in ("ONE", "TWO", "THREE")]
    assert values == [b"file", b"environment", b"file"]
    assert "set in the environment, so not taken: TWO" in host.errors


def test_port_in_use(start_host: StartHost) -> None:
    """A port that is taken ends the start with code 4."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        host = start_host("http", "--port", str(taken.getsockname()[1]), ready=False)
        code, line = one_line(host)
    assert code == 4
    assert "Address already in use" in line


def test_storage_that_cannot_be_reached(start_host: StartHost) -> None:
    """An account that does not answer ends the start with code 5."""
    port = free_ports(1)[0]
    account = (
        "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=AAAA;"
        f"BlobEndpoint=http://127.0.0.1:{port}/x;QueueEndpoint=http://127.0.0.1:{port}/x;"
    )
    code, line = one_line(
        start_host("queues", env={"ECHO_QUEUE": "echo-in", "AzureWebJobsStorage": account}, ready=False)
    )
    assert code == 5
    assert f"http://127.0.0.1:{port}/x" in line
    assert "AAAA" not in line
