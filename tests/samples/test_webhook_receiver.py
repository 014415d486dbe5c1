"""The sample that receives signed webhooks, called by what the Standard Webhooks project's own package signs."""

import base64
import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
import requests
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from shared.forwarding import webhook_signature
from tests.support.loaded_modules import load

receiver = load("webhook_receiver/receiver.py")
SECRET = "whsec_" + base64.b64encode(b"a secret of 32 bytes, all of them").decode()
OTHER = "whsec_" + base64.b64encode(b"another one, which is not shared").decode()
EVENTS = [{"specversion": "1.0", "id": f"{number:032x}", "type": "bc.item.created.v1"} for number in range(3)]


class Sender:
    """Signs and sends as the specification says."""

    def __init__(self, port: int, database: Path) -> None:
        self.url, self.database = f"http://127.0.0.1:{port}/", database

    def headers(self, body: str, *, secret: str = SECRET, at: datetime | None = None) -> dict[str, str]:
        """What belongs to a body."""
        at = at or datetime.now(UTC)
        signature = Webhook(secret).sign("msg-1", at, body)
        return {"Webhook-Id": "msg-1", "webhook-timestamp": f"{int(at.timestamp())}", "webhook-signature": signature}

    def send(self, body: str, headers: dict[str, str]) -> int:
        """The answer's status."""
        return requests.post(self.url, data=body.encode(), headers=headers, timeout=10).status_code

    def stored(self) -> list[str]:
        """The ids of the events that are kept."""
        connection = sqlite3.connect(self.database)
        found = [row[0] for row in connection.execute("SELECT id FROM events ORDER BY id")]
        connection.close()
        return found


@pytest.fixture
def sender(tmp_path: Path) -> Iterator[Sender]:
    """A receiver at work, and who calls it."""
    server = receiver.Server(0, SECRET, str(tmp_path / "events.db"))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield Sender(server.server_port, tmp_path / "events.db")
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("body", [json.dumps(EVENTS), json.dumps(EVENTS[0]), json.dumps([{"id": "ü", "data": "é"}])])
def test_a_signed_call_is_stored_once(sender: Sender, body: str) -> None:
    """One event or a list of them; a message that comes again changes nothing."""
    assert [sender.send(body, sender.headers(body)) for _ in range(2)] == [204, 204]
    events = json.loads(body)
    assert sender.stored() == [event["id"] for event in (events if isinstance(events, list) else [events])]


def spoilt(sender: Sender, body: str) -> dict[str, tuple[str, dict[str, str]]]:
    """Calls with one thing wrong each."""
    good = sender.headers(body)
    minutes = timedelta(minutes=6)
    return {
        "body": (body.replace("created", "deleted"), good),
        "secret": (body, sender.headers(body, secret=OTHER)),
        "id": (body, {**good, "Webhook-Id": "msg-2"}),
        "old": (body, sender.headers(body, at=datetime.now(UTC) - minutes)),
        "early": (body, sender.headers(body, at=datetime.now(UTC) + minutes)),
        "no signature": (body, {**good, "webhook-signature": ""}),
        "version": (body, {**good, "webhook-signature": good["webhook-signature"].replace("v1,", "v2,")}),
        "no base64": (body, {**good, "webhook-signature": "v1,*"}),
        "time": (body, {**good, "webhook-timestamp": "now"}),
    }


def test_a_call_that_is_not_ours_is_refused(sender: Sender) -> None:
    """Another body, secret, id or time: 401, and nothing is stored; the good one then is."""
    body = json.dumps(EVENTS)
    calls = spoilt(sender, body)
    assert {name: sender.send(*call) for name, call in calls.items()} == dict.fromkeys(calls, 401)
    assert not sender.database.exists()
    assert sender.send(body, sender.headers(body)) == 204


def test_while_the_secret_is_rotated_one_of_two_signatures_is_enough(sender: Sender) -> None:
    """The sender signs with both, in whatever order."""
    body = json.dumps(EVENTS)
    at = datetime.now(UTC)
    ours, other = (sender.headers(body, secret=secret, at=at)["webhook-signature"] for secret in (SECRET, OTHER))
    for both in (f"{other} {ours}", f"{ours} {other}"):
        assert sender.send(body, {**sender.headers(body, at=at), "webhook-signature": both}) == 204


@pytest.mark.parametrize(("body", "status"), [("no json", 400), ("[1]", 400), ("{}", 400), ("[]", 204)])
def test_a_signed_body_that_is_no_event_is_said_to_be_none(sender: Sender, body: str, status: int) -> None:
    """Not 5xx, which would bring it again for ever."""
    assert sender.send(body, sender.headers(body)) == status


def test_what_could_not_be_stored_is_asked_for_again(sender: Sender) -> None:
    """503 as long as the database can't be written; then the same message is taken."""
    body = json.dumps(EVENTS)
    sender.database.mkdir()
    assert sender.send(body, sender.headers(body)) == 503
    sender.database.rmdir()
    assert sender.send(body, sender.headers(body)) == 204


def is_taken(verify: Callable[[], object], refusal: type[Exception]) -> bool:
    """Whether a verification passes; it says no with its own exception."""
    try:
        verify()
    except refusal:
        return False
    return True


def test_our_verification_agrees_with_the_package(sender: Sender) -> None:
    """What it verifies we verify, what it refuses we refuse."""
    body = json.dumps(EVENTS)
    for name, (text, sent) in {"good": (body, sender.headers(body)), **spoilt(sender, body)}.items():
        headers = {key.lower(): value for key, value in sent.items()}
        theirs = is_taken(partial(Webhook(SECRET).verify, text, headers), WebhookVerificationError)
        now = datetime.now(UTC).timestamp()
        ours = is_taken(partial(receiver.verify, SECRET, headers, text.encode(), now=now), receiver.NotSigned)
        assert (ours, theirs) == (name == "good", name == "good"), name


def test_what_this_app_signs_is_taken_while_its_secret_is_rotated_too(sender: Sender) -> None:
    """`forward_events` sends one event a request; with two keys in the vault a receiver that has either goes on."""
    body, at = json.dumps(EVENTS[0]).encode(), int(datetime.now(UTC).timestamp())
    for secret in (SECRET, f"{OTHER} {SECRET}"):
        signature = webhook_signature.sign(webhook_signature.keys_of(secret), EVENTS[0]["id"], at, body)
        headers = {"webhook-id": EVENTS[0]["id"], "webhook-timestamp": f"{at}", "webhook-signature": signature}
        assert sender.send(body.decode(), headers) == 204
    assert sender.stored() == [EVENTS[0]["id"]]
