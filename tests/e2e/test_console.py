"""The console on the whole local stack: the first own event, every act, listen, send, find and replay."""

import json
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from click.testing import CliRunner, Result

from local.console import acts, cli, target
from local.stack.mailbox import Mailbox
from local.stack.stack import ROOT, Stack
from shared import resource_names

pytestmark = pytest.mark.e2e

_PATIENCE_S = "120"  # a busy machine is slow; the seconds that are printed are what counts
_ENV = {"BC_CHANGES": "created,updated,deleted"}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack as `make up` starts it, at free ports."""
    folder = tmp_path_factory.mktemp("stacks")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(target, "STACKS", folder)
        with Stack(folder / "up", host="embedded", host_env=_ENV, webhook_delay_s=1.0) as running:
            yield running


def ask(*words: str) -> Result:
    """Run one command in this process; a failure shows what it said."""
    done = CliRunner().invoke(cli.main, list(words))
    assert done.exit_code == 0, f"{words}: {done.output}{done.exception or ''}"
    return done


def test_the_first_own_event_and_every_other_act_with_the_seconds_they_took(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody has signed in: the console does, takes stock, registers webhooks; then each act's events come."""
    began = time.monotonic()
    first = ask("trigger", "item.created", "--wait", _PATIENCE_S)
    first_s = time.monotonic() - began
    assert "nobody has signed in yet" in first.stderr
    seconds = {"item.created": took(first)}
    for name in acts.ACTS:
        if name not in seconds:
            seconds[name] = took(ask("trigger", name, "--wait", _PATIENCE_S))
    with capsys.disabled():
        shown = ", ".join(f"{name} {s:.1f} s" for name, s in seconds.items())
        sys.stdout.write(f"\nfirst own event {first_s:.1f} s after the command, sign-in included; {shown}\n")


def took(said: Result) -> float:
    """The seconds to the last event, as they were printed."""
    return float(re.findall(r"^ *([0-9.]+) s  ", said.stdout, re.MULTILINE)[-1])


class Receiver:
    """Takes events over HTTP."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                assert self.headers["Content-Type"].startswith("application/cloudevents+json")
                receiver.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Print nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/events"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver that runs."""
    receiver = Receiver()
    thread = Thread(target=receiver.server.serve_forever)
    thread.start()
    yield receiver
    receiver.server.shutdown()
    thread.join()
    receiver.server.server_close()


def test_listen_shows_and_forwards_each_event_once_and_takes_none_away(stack: Stack, receiver: Receiver) -> None:
    mailbox = Mailbox(stack.storage_connection_string)
    mailbox.take()
    words = ["listen", "--for", "20", "--json", "--forward-to", receiver.url]
    words += ["--url", stack.public_url, "--storage", stack.storage_connection_string]
    with subprocess.Popen([sys.executable, "-m", "local", *words], cwd=ROOT, stdout=-1, stderr=-1, text=True) as heard:
        assert heard.stderr is not None
        assert heard.stderr.readline().startswith("listening to bc-events")
        made = ask("trigger", "item.created", "--json", "--wait", _PATIENCE_S)
        lines, _ = heard.communicate(timeout=float(_PATIENCE_S))
    (event,) = map(json.loads, made.stdout.splitlines())
    assert [json.loads(line)["id"] for line in lines.splitlines()] == [event["id"]]
    assert [one["id"] for one in receiver.got] == [event["id"]]
    (message,) = mailbox.peek(resource_names.QUEUE_EVENTS)
    assert event["id"] in message[1]
    assert [one["id"] for one in mailbox.take()] == [event["id"]]


def test_an_order_is_sent_answered_and_found(stack: Stack, tmp_path: Path) -> None:
    """By its key and by the number of its document; its result stays in the queue."""
    order = tmp_path / "order.json"
    lines = [{"lineType": "Item", "lineObjectNumber": "1896-S", "quantity": 3}]
    body = {"customerNumber": "10000", "orderDate": "2026-02-11", "salesOrderLines": lines}
    order.write_text(json.dumps({"company": "CRONUS International Ltd.", "orderKey": "shop 1/a", "order": body}))
    result = json.loads(ask("send", str(order), "--wait", "--patience", _PATIENCE_S).stdout)
    assert (result["orderKey"], result["status"]) == ("shop 1/a", "created")
    for key in ("shop 1/a", result["number"]):
        (story,) = json.loads(ask("find", key, "--json").stdout)["orders"]
        assert (story["number"], story["businessCentral"]["is_there"]) == (result["number"], True)
    assert len(Mailbox(stack.storage_connection_string).peek(resource_names.QUEUE_RESULTS)) == 1


def test_what_was_announced_is_found_and_comes_again_under_the_same_id(stack: Stack) -> None:
    mailbox = Mailbox(stack.storage_connection_string)
    (event,) = map(json.loads, ask("trigger", "shipment.created", "--json", "--wait", _PATIENCE_S).stdout.splitlines())
    mailbox.take()
    (story,) = json.loads(ask("find", event["data"]["number"], "--json").stdout)["records"]
    assert [one["event_id"] for one in story["announced"]] == [event["id"]]
    said = ask("replay", "--entity", "salesShipments", "--since", "1h").stdout
    assert said.count("started") == 2
    ends, again = time.monotonic() + float(_PATIENCE_S), Counter[str]()
    while event["id"] not in again and time.monotonic() < ends:
        found = mailbox.take()
        assert all(one["bcreplay"] is True for one in found)
        again.update(one["id"] for one in found)
        time.sleep(0.2)
    assert again[event["id"]] == 1


def test_status_and_doctor_speak_of_the_stack(stack: Stack) -> None:
    said = ask("status").stdout
    for part in ("login: ok megan@lmints.io", "CRONUS International Ltd.", "salesShipments", "Dead letters: none"):
        assert part in said
    assert json.loads(ask("status", "--json").stdout)["login"]["state"] == "ok"


def test_a_queue_that_nobody_reads_is_told(stack: Stack) -> None:
    """A queue shows 32 messages: `take` makes room, as a consumer does."""
    mailbox = Mailbox(stack.storage_connection_string)
    mailbox.take()
    for number in range(40):
        mailbox.put(resource_names.QUEUE_EVENTS, json.dumps([{"type": "t", "subject": "s", "id": str(number)}]))
    heard = ask("listen", "--for", "0")
    assert "40 messages lie unread in bc-events" in heard.stderr
    taken = ask("take", "--yes").stdout.splitlines()
    assert {json.loads(line)["id"] for line in taken} == {str(number) for number in range(40)}
    assert mailbox.count(resource_names.QUEUE_EVENTS) == 0
