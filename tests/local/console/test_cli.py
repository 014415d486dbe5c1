"""The console's command line without a stack: help, names, addresses, and one clear line for what is wrong."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from local.console import acts, cli, target
from local.console.acts import ACTS, SHORT
from shared.business_central.entities import ENTITIES


@pytest.fixture(autouse=True)
def no_stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No local stack runs, and nothing of the environment counts."""
    monkeypatch.setattr(target, "STACKS", tmp_path)
    for name in ("CONNECT_URL", "CONNECT_STORAGE", "FUNCTIONS_KEY"):
        monkeypatch.delenv(name, raising=False)


def ask(*words: str) -> Result:
    """Run one command in this process."""
    return CliRunner().invoke(cli.main, list(words))


class App:
    """Answers every call with what a test wants, and keeps what was asked."""

    def __init__(self) -> None:
        self.status, self.body = 200, b"{}"
        self.answer: Callable[[], bytes] = lambda: self.body
        self.asked: list[tuple[str, str, str]] = []  # method, path, key
        app = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                app.asked.append((self.command, self.path, self.headers.get("x-functions-key", "")))
                self.send_response(app.status)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(app.answer())

            do_POST = do_GET  # noqa: N815 - the library names it

            def log_message(self, *_: object) -> None:
                """Print nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def app() -> Iterator[App]:
    """An app at an address."""
    app = App()
    thread = threading.Thread(target=app.server.serve_forever)
    thread.start()
    yield app
    app.server.shutdown()
    thread.join()
    app.server.server_close()


def test_every_command_says_what_it_does() -> None:
    """One entry point; each command has a help of its own."""
    said = ask("--help")
    assert said.exit_code == 0
    names = {"up", "run", "demo", "trigger", "listen", "take", "send", "find", "replay", "status", "doctor"} | {
        "erase",
        "import-orders",
    }
    assert set(cli.main.commands) == names
    for name in names:
        assert ask(name, "--help").exit_code == 0
        assert name in said.output


def test_without_a_stack_every_command_says_how_to_start_one(tmp_path: Path) -> None:
    order = tmp_path / "order.json"
    order.write_text("{}")
    for words in (["trigger", "item"], ["listen"], ["send", str(order)], ["find", "x"], ["status"],
                  ["replay", "--entity", "items", "--since", "2h"]):  # fmt: skip
        said = ask(*words)
        assert said.exit_code == 1
        assert "no local stack runs: start one with 'make up'" in said.output


def test_a_key_goes_to_https_only(app: App) -> None:
    """Loopback is the exception."""
    said = ask("status", "--url", "http://example.com", "--key", "k")
    assert "must begin with https://" in said.output
    ask("find", "a/b", "--url", app.url, "--key", "k", "--connection", "eu")
    assert app.asked == [("GET", "/api/find?key=a%2Fb&company=&connection=eu", "k")]


def test_several_connections_are_shown_in_short(app: App) -> None:
    one = {"id": "eu", "health": "login_needed", "orders_waiting": 1, "orders_parked": 2, "orders_rejected": 3,
           "dead_letters": 4, "reason": "nobody has signed in", "next_step": "sign in"}  # fmt: skip
    app.body = json.dumps({"at": "", "version": "0.2.0", "connections": [one]}).encode()
    said = ask("status", "--url", app.url).output
    for part in ("eu", "login_needed", "nobody has signed in", "--connection <id>"):
        assert part in said


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (401, b"", "the function key is missing or wrong; set FUNCTIONS_KEY"),
        (403, b"<html>", "an access restriction"),
        (404, b"", "another release"),
        (400, b'{"error": "since: must not lie in the future"}', "since: must not lie in the future"),
        (503, b'{"error": "BC_PAGE_ROWS must be a number", "settings": {}}', "BC_PAGE_ROWS must be a number"),
        (200, b"<html>", "this is no answer of the app"),
    ],
)
def test_what_an_app_refuses_is_one_line(app: App, status: int, body: bytes, says: str) -> None:
    app.status, app.body = status, body
    said = ask("replay", "--entity", "items", "--since", "2026-01-01", "--url", app.url)
    assert (said.exit_code, says in said.output) == (1, True), said.output
    assert app.asked[0][0] == "POST"


def test_an_app_that_is_not_there_is_one_line() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
    said = ask("status", "--url", f"http://127.0.0.1:{port}")
    assert said.exit_code == 1
    assert "can't be reached: ConnectionError" in said.output


def test_a_deployed_app_needs_its_storage_for_queues() -> None:
    said = ask("listen", "--url", "https://example.com")
    assert "--storage <account name or connection string>" in said.output


def test_nothing_is_made_to_happen_in_a_real_business_central() -> None:
    with pytest.raises(target.Refused, match="local stack only"):
        _ = target.target("https://example.com", "", "").stack


@pytest.mark.parametrize(("text", "since"), [
    ("2h", "2026-02-11T10:00:00+00:00"), ("3d", "2026-02-08T12:00:00+00:00"), ("90m", "2026-02-11T10:30:00+00:00"),
    ("2026-02-01", "2026-02-01"), ("2 hours", "2 hours"),
])  # fmt: skip
def test_since_may_be_an_age(text: str, since: str) -> None:
    """What is none goes to the app as it is, which says what is wrong."""
    assert cli._since(text, datetime(2026, 2, 11, 12, tzinfo=UTC)) == since


def test_find_shows_events_jobs_and_what_business_central_says(app: App) -> None:
    record = {
        "company": "c", "company_name": "CRONUS", "entity": "items", "id": "0c", "in_snapshot": False,
        "announced": [{"type": "bc.item.created.v1", "event_id": "e1", "job": "j1", "at": "2026-02-11T12:00:00.5Z"}],
        "business_central": {"is_there": True, "number": "P-1", "status": "", "modified": None, "error": ""},
    }  # fmt: skip
    answer: dict[str, Any] = {
        "key": "P-1", "at": "", "records": [record], "orders": [], "dead_letters": ["bc-pages/x"], "not_asked": ["Z"],
        "errors": ["items of Y: down"],
    }  # fmt: skip
    app.body = json.dumps(answer).encode()
    said = ask("find", "P-1", "--url", app.url)
    assert said.exit_code == 0
    for part in ("bc.item.created.v1", "2026-02-11 12:00:00", "j1", "e1", "number P-1", "bc-pages/x", "Z", "down"):
        assert part in said.output
    assert json.loads(ask("find", "P-1", "--url", app.url, "--json").output) == answer
    app.body = json.dumps({**answer, "records": [], "dead_letters": []}).encode()
    assert ask("find", "P-1", "--url", app.url).exit_code == 1


def test_erasing_asks_first_and_says_what_is_left(app: App) -> None:
    """Without a yes nothing is asked of the app."""
    app.body = b'[{"key": "a", "connection": "default", "orders": 2, "under_way": 1, "dead_letters": 0}]'
    assert ask("erase", "a", "--url", app.url).exit_code == 1
    assert app.asked == []
    said = ask("erase", "a/b", "--url", app.url, "--yes")
    assert "2 orders and 0 dead letters are erased; 1 orders are under way" in said.output
    assert app.asked == [("POST", "/api/orders/erase?key=a%2Fb", "")]
    app.status, app.body = 404, b"[]"
    assert "no order and no dead letter bears a" in ask("erase", "a", "--url", app.url, "--yes").output


def test_an_import_goes_on_to_the_end(app: App) -> None:
    """Part by part; what the app refuses is one line."""
    parts = iter([{"day": "2026-02-01", "added": 3, "there": 0, "next": "p1"},
                  {"day": "2026-02-01", "added": 1, "there": 2, "next": ""}])  # fmt: skip
    app.answer = lambda: json.dumps(next(parts)).encode()
    said = ask("import-orders", "2026-02-01", "--url", app.url)
    assert said.output.splitlines() == ["3 orders added, 0 were there", "4 orders added, 2 were there"]
    assert [path for _, path, _ in app.asked] == [
        "/api/orders/import?day=2026-02-01&next=", "/api/orders/import?day=2026-02-01&next=p1",
    ]  # fmt: skip


def test_an_import_without_a_day_says_which_there_are(app: App) -> None:
    """The newest first, and how to go on; nothing is brought back."""
    app.body = b'{"books": [{"day": "2026-02-02", "orders": 9}, {"day": "2026-02-01", "orders": 7}]}'
    said = ask("import-orders", "--url", app.url)
    assert said.output.splitlines() == [
        "2026-02-02  9 orders", "2026-02-01  7 orders", "name a day: ./connect import-orders 2026-02-02",
    ]  # fmt: skip
    assert (said.exit_code, app.asked) == (0, [("POST", "/api/orders/import", "")])
    app.body = b'{"books": []}'
    assert "there is no order book yet" in ask("import-orders", "--url", app.url).output


def test_wrong_settings_are_refused_before_anything_starts(tmp_path: Path) -> None:
    """One line each, code 2, and no folder was made."""
    for command in ("up", "run", "demo"):
        said = ask(command, "--work-dir", str(tmp_path / "w"), "--set", "BC_TRIGERS=items", "--set", "BC_PAGE_ROWS=x")
        assert said.exit_code == 2
        assert said.output.splitlines() == [
            "error: BC_TRIGERS is not a setting of this app; did you mean BC_TRIGGERS?",
            "error: BC_PAGE_ROWS must be a whole number from 1 to 20000",
        ]
    said = ask("up", "--work-dir", str(tmp_path / "w"), "--connections", "4")
    assert (said.exit_code, "4 is not in the range 1<=x<=3" in said.output) == (2, True)
    said = ask("run", "--work-dir", str(tmp_path / "w"), "--set", "BC_EVENTS_TO=https://hooks.example/bc")
    assert (said.exit_code, "BC_EVENTS_TO must be queue" in said.output) == (2, True)
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize("wanted", [*ACTS, *SHORT])
def test_every_act_names_entities_that_exist(wanted: str) -> None:
    """And an act that the app would not announce is refused with the setting that helps."""
    act = acts.named(wanted)
    assert set(act.entities) <= set(ENTITIES)
    every = {"BC_TRIGGERS": ",".join(ENTITIES), "BC_CHANGES": "created,updated,deleted"}
    acts.check(wanted, act, every)
    if act.change != "created":
        with pytest.raises(click.ClickException, match="--set BC_CHANGES=created,"):
            acts.check(wanted, act, {**every, "BC_CHANGES": "created"})
    if "items" in act.entities:
        with pytest.raises(click.ClickException, match="--set BC_TRIGGERS=salesInvoices,items"):
            acts.check(wanted, act, {**every, "BC_TRIGGERS": "salesInvoices"})


def test_a_misspelt_act_says_the_nearest() -> None:
    with pytest.raises(click.ClickException, match=r"did you mean item\.created\?"):
        acts.named("item.craeted")


def test_an_order_that_is_no_json_is_not_sent(tmp_path: Path) -> None:
    order = tmp_path / "order.json"
    order.write_text("{")
    said = ask("send", str(order), "--url", "https://example.com", "--storage", "UseDevelopmentStorage=true")
    assert (said.exit_code, "is no JSON in UTF-8" in said.output) == (1, True)
