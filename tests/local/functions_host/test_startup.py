"""How a host starts that is not in order: as Microsoft's host does, with what that one shows, and a line on top."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.local.functions_host.conftest import StartHost
from tests.local.functions_host.harness import HostProcess, eventually
from tests.local.functions_host.recorded import Tally, cases, needs_recordings

JSON = {"Content-Type": "application/json"}
_HEAD = """
import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route("ok")
def ok(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("ok")
"""
_TIMER = """

@app.timer_trigger("timer", schedule={schedule!r}, use_monitor=False)
def tick(timer: func.TimerRequest) -> None:
    print("ticked", flush=True)
"""
_QUEUE = """

@app.queue_trigger("msg", {queue!r}, {connection!r})
def tick(msg: func.QueueMessage) -> None:
    pass
"""
_ROUTE = """

@app.route({route!r})
def {name}(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse({name!r})
"""

Start = Callable[..., HostProcess]


@pytest.fixture
def start(start_host: StartHost, tmp_path: Path) -> Start:
    """Starts an app made of texts."""

    def begin(code: str, host: str | dict[str, Any] = "", env: dict[str, str] | None = None) -> HostProcess:
        folder = tmp_path / "app"
        folder.mkdir(exist_ok=True)
        (folder / "function_app.py").write_text(code)
        (folder / "host.json").write_text(
            host if isinstance(host, str) and host else json.dumps(host or {"version": "2.0"})
        )
        running = start_host(folder, env=env or {}, ready=False)
        eventually(lambda: "http://" in running.output, within_s=20, what="the host's address")
        running.url = next(line for line in running.output.splitlines() if "http://" in line).split()[-1]
        return running

    return begin


def assert_left_out(host: HostProcess, name: str, *reasons: str) -> None:
    """One function is in error and left out, the others run, the host says nothing is wrong with itself."""
    assert host.ask("/api/ok").body == b"ok"
    status = json.loads(host.ask("/admin/host/status").body)
    assert (status["state"], status.get("errors")) == ("Running", None)
    (error,) = json.loads(host.ask(f"/admin/functions/{name}/status").body)["errors"]
    assert error.startswith(f"The '{name}' function is in error: ")
    for reason in reasons:
        assert reason in error
    assert json.loads(host.ask("/admin/functions/ok/status").body) == {}
    assert host.ask(f"/admin/functions/{name}", method="POST", body=b"{}", headers=JSON).status == 202
    assert "ticked" not in host.output
    (line,) = [line for line in host.errors.splitlines() if line.startswith("error: ")]
    assert line.startswith(f"error: function {name} is left out, the others run: ")


def missing_setting(start: Start) -> None:
    """A %SETTING% that is missing or empty."""
    for env in ({}, {"WHEN": ""}):
        host = start(_HEAD + _TIMER.format(schedule="%WHEN%"), env=env)
        assert_left_out(host, "tick", "setting 'WHEN'")
        host.stop()


def bad_schedule(start: Start) -> None:
    """A schedule that is no NCRONTAB."""
    assert_left_out(start(_HEAD + _TIMER.format(schedule="every day")), "tick", "'every day' is not NCRONTAB")


def missing_connection(start: Start) -> None:
    """A queue trigger whose connection is not set."""
    code = _HEAD + _QUEUE.format(queue="jobs", connection="Elsewhere")
    assert_left_out(start(code), "tick", "storage connection 'Elsewhere' is not set")


def bad_queue_name(start: Start) -> None:
    """A queue name that Azure has no queue for."""
    env = {"AzureWebJobsStorage": "UseDevelopmentStorage=true"}
    code = _HEAD + _QUEUE.format(queue="no_queue", connection="AzureWebJobsStorage")
    assert_left_out(start(code, env=env), "tick", "the queue name 'no_queue' is not valid")


def assert_in_error(host: HostProcess, *words: str) -> None:
    """The process stays and answers a ping; all else is 503; the status says why, and so does the first line."""
    assert host.ask("/admin/host/ping").status == 200
    assert [host.ask(path).status for path in ("/", "/api/ok", "/admin/functions")] == [503] * 3
    status = json.loads(host.ask("/admin/host/status").body)
    assert status["state"] == "Error"
    for word in words:
        assert word in status["errors"][0]
    assert host.errors.splitlines()[0] == f"error: {status['errors'][0]}"
    assert host.output.startswith("host in error ")
    assert host.stop() == 0


def wrong_host_json(start: Start) -> None:
    """A host.json that is no JSON, or holds a value out of its range."""
    for content, word in [
        ("{", "is not readable JSON"),
        ({"version": "2.0", "functionTimeout": "soon"}, "functionTimeout"),
        ({"version": "2.0", "extensions": {"queues": {"batchSize": 100}}}, "batchSize"),
    ]:
        assert_in_error(start(_HEAD, content), "host.json", word)


def host_json_without_version(start: Start) -> None:
    """A host.json that does not say its version."""
    assert_in_error(start(_HEAD, {"logging": {}}), 'must say "version": "2.0"')


def app_that_does_not_index(start: Start) -> None:
    """An app that cannot be imported or indexed: a host without functions that says so in its log alone."""
    twice = _HEAD + _ROUTE.format(route="x", name="other").replace("def other", "def ok")
    for code, message in [
        (_HEAD + "\nraise RuntimeError('no good')\n", "RuntimeError: no good (function_app.py, line 11)"),
        ("import nothing_like_this\n", "nothing_like_this"),
        ("def broken(:\n", "SyntaxError"),
        (twice, "does not have a unique function name"),
    ]:
        host = start(code)
        answers = [host.ask(path) for path in ("/", "/api/ok", "/admin/functions", "/admin/host/status")]
        assert [answer.status for answer in answers] == [200, 404, 500, 200]
        status = json.loads(answers[-1].body)
        assert (status["state"], status.get("errors")) == ("Running", None)
        assert "No job functions found" in host.errors
        lines = [line for line in host.errors.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1
        assert message in lines[0]
        assert host.stop() == 0


def duplicate_route(start: Start) -> None:
    """Two functions with one route: the first keeps it."""
    host = start(_HEAD + _ROUTE.format(route="ok", name="other"))
    assert_left_out(host, "other", "The route specified conflicts", "'ok'")


def built_in_route(start: Start) -> None:
    """A route under /admin, possible with an empty prefix only."""
    options = {"version": "2.0", "extensions": {"http": {"routePrefix": ""}}}
    code = _HEAD.replace('route("ok")', 'route("api/ok")') + _ROUTE.format(route="admin/x", name="other")
    host = start(code, options)
    assert host.ask("/admin/x").status == 404
    assert_left_out(host, "other", "conflicts with one or more built in routes")


#: The recorded starts, each shown by a function of its own.
STARTS: dict[str, Callable[[Start], None]] = {
    "setting of %NAME% missing or empty (timer)": missing_setting,
    "bad NCRONTAB": bad_schedule,
    "queue connection setting missing": missing_connection,
    "bad queue name": bad_queue_name,
    "host.json not JSON / bad functionTimeout / batchSize 100": wrong_host_json,
    "host.json without version": host_json_without_version,
    "function_app.py raises, lacks a module, has a syntax error, or repeats a function name": app_that_does_not_index,
    "duplicate route": duplicate_route,
    "route admin/x with empty prefix": built_in_route,
}


@pytest.mark.parametrize("case", STARTS)
def test_start(case: str, start: Start) -> None:
    """A start that is not in order shows what Microsoft's host shows, and tells the person at the terminal."""
    STARTS[case](start)


@needs_recordings
def test_every_recorded_start_is_shown() -> None:
    """Each case of the recording has its test."""
    tally = Tally("startup-cases")
    for case in cases("startup-cases"):
        tally.add(case["case"], "" if case["case"] in STARTS else "no test", None)
    tally.check(len(STARTS))


def test_home_page_can_be_switched_off(start: Start) -> None:
    """AzureWebJobsDisableHomepage makes / answer 204."""
    assert start(_HEAD, env={"AzureWebJobsDisableHomepage": "true"}).ask("/").status == 204
