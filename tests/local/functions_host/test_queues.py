"""Queue functions and output bindings against a real Azurite."""

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest

from tests.local.functions_host.conftest import StartHost
from tests.local.functions_host.harness import Account, HostProcess, eventually

JSON = {"Content-Type": "application/json"}
pytestmark = pytest.mark.azurite


def packed(text: str | bytes) -> str:
    return base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()


def unpacked(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


@pytest.fixture(scope="module")
def host(start_shared_host: StartHost, azurite: Account) -> HostProcess:
    azurite.clear()
    return start_shared_host("queues", env={"AzureWebJobsStorage": azurite.connection_string, "ECHO_QUEUE": "echo-in"})


def first_text(account: Account, queue: str) -> bytes:
    return unpacked(eventually(lambda: account.texts(queue), what=f"a message in {queue}")[0])


def test_message_metadata(host: HostProcess, azurite: Account) -> None:
    """A function gets the body, the message's id, its count and its times; the queue name comes from a setting."""
    azurite.send("echo-in", packed("hello"))
    note = json.loads(first_text(azurite, "echoed"))
    assert (note["body"], note["count"], note["receipt"]) == ("hello", 1, True)
    assert len(note["id"]) == 36
    inserted, expires, visible = (datetime.fromisoformat(text) for text in note["times"])
    assert abs(inserted - datetime.now(UTC)) < timedelta(minutes=1)
    assert expires - inserted == timedelta(days=7)
    assert timedelta(minutes=9) < visible - inserted < timedelta(minutes=11)  # the lease
    eventually(lambda: azurite.count("echo-in") == 0, what="deletion")


def test_failed_message_is_retried(host: HostProcess, azurite: Account) -> None:
    """A failure brings the message back with a higher count; outputs of a failed run are not written."""
    azurite.send("flaky", packed("3"))
    assert first_text(azurite, "flaky-done") == b"attempt 3"
    eventually(lambda: azurite.count("flaky") == 0, what="deletion")
    assert azurite.count("flaky-done") == 1


def test_message_is_poisoned_after_max_dequeue_count(host: HostProcess, azurite: Account) -> None:
    """After the last attempt the body moves to the poison queue, byte for byte."""
    azurite.send("flaky", packed("99"))
    assert first_text(azurite, "flaky-poison") == b"99"
    eventually(lambda: azurite.count("flaky") == 0, what="deletion")


def test_text_that_is_not_base64_is_poisoned_raw(host: HostProcess, azurite: Account) -> None:
    """A text that cannot be decoded goes to the poison queue as it is, without a call."""
    azurite.send("echo-in", "not base64!")
    assert eventually(lambda: azurite.texts("echo-in-poison")) == ["not base64!"]


def test_outputs_split_and_untouched(host: HostProcess, azurite: Account) -> None:
    """Bytes are one message untouched; a JSON array in text and a list are one message per element; blobs are bytes."""
    wanted = {
        "kind": "set",
        "raw": ["[1, 2]"],
        "text": ['["a", {"b": 1}]'],
        "many": ["x", "[y"],
        "blob": [0, 255],
        "Id": "own-id",
    }
    azurite.send("outputs", packed(json.dumps(wanted)))
    eventually(lambda: azurite.blobs("made"), what="the blob")  # empty, and written beside the messages
    eventually(lambda: [len(azurite.texts(name)) for name in ("raw", "text", "many")] == [1, 2, 2], what="messages")
    assert [unpacked(text) for text in azurite.texts("raw")] == [b"[1, 2]"]
    assert [unpacked(text) for text in azurite.texts("text")] == [b"a", b'{\n  "b": 1\n}']
    assert [unpacked(text) for text in azurite.texts("many")] == [b"x", b"[y"]
    # The messages are there before the blob has its content, as on the real host.
    eventually(lambda: azurite.blobs("made") == {"set/own-id.bin": b"\x00\xff"}, what="the content of the blob")


def test_unset_outputs_write_nothing(host: HostProcess, azurite: Account) -> None:
    """An Out that was not set leaves its queue or blob alone."""
    before = azurite.count("raw")
    azurite.send("outputs", packed('{"kind": "unset", "text": ["only"]}'))
    eventually(lambda: packed("only") in azurite.texts("text"))
    assert azurite.count("raw") == before
    assert not any(name.startswith("unset/") for name in azurite.blobs("made"))


def test_failing_output_fails_the_message_but_not_the_other_outputs(host: HostProcess, azurite: Account) -> None:
    """An unresolved blob path fails the run, which is retried and poisoned; the queue output is written each time."""
    body = '{"raw": ["again"], "blob": [1]}'  # no "kind" for the path
    azurite.send("outputs", packed(body))
    assert first_text(azurite, "outputs-poison") == body.encode()
    assert azurite.texts("raw").count(packed("again")) == 3
    assert "no value for named parameter 'kind'" in host.errors


def test_return_values_and_wake_up(host: HostProcess, azurite: Account) -> None:
    """A chain over $return outputs, one async and one sync, runs through."""
    azurite.send("chain-in", packed("a"))
    assert first_text(azurite, "chain-out") == b"a>>"


def test_http_outputs(host: HostProcess, azurite: Account) -> None:
    """An HTTP function writes its outputs before it answers; names take route values and a GUID."""
    answer = host.ask("/api/put/north?blob=1", method="POST", body=b"\xc3\xa9")
    assert answer.status == 202
    assert [unpacked(text) for text in azurite.texts("put-north")] == [b"\xc3\xa9"]
    ((name, content),) = azurite.blobs("bodies").items()
    assert (name[:6], len(name), content) == ("north-", len("north-.txt") + 36, b"\xc3\xa9")


def test_http_output_that_fails_answers_500(host: HostProcess, azurite: Account) -> None:
    """A queue name that storage refuses fails the request."""
    answer = host.ask("/api/put/Bad_Name", method="POST", body=b"x")
    assert (answer.status, answer.body) == (500, b"")


def test_admin_call_runs_a_queue_function(host: HostProcess, azurite: Account) -> None:
    """An admin call answers 202 and runs the function on the input, with no id and a count of 0."""
    azurite.queue("echoed").clear_messages()
    answer = host.ask("/admin/functions/echo", method="POST", body=b'{"input": "by hand"}', headers=JSON)
    assert answer.status == 202
    note = json.loads(first_text(azurite, "echoed"))
    assert (note["body"], note["count"], note["id"], note["receipt"]) == ("by hand", 0, None, False)
    assert host.ask("/admin/functions/echo", method="POST", body=b"", headers=JSON).status == 400
    assert host.ask("/admin/functions/echo", method="POST", body=b"[1]", headers=JSON).status == 400
    assert host.ask("/admin/functions/nobody", method="POST", body=b"{}", headers=JSON).status == 404


def test_many_messages_all_run(host: HostProcess, azurite: Account) -> None:
    """A burst larger than a batch is worked off completely."""
    azurite.queue("chain-out").clear_messages()
    for number in range(30):
        azurite.send("chain-in", packed(str(number)))
    eventually(lambda: azurite.count("chain-out") == 30, what="30 messages")
    assert {unpacked(text) for text in azurite.texts("chain-out")} == {f"{number}>>".encode() for number in range(30)}
