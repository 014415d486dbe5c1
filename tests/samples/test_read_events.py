"""The sample that reads bc-events, on a real queue, with messages that the app's own code has made."""

import base64
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import azure.functions as func
import pytest
from azure.data.tables import TableServiceClient
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueServiceClient

from local.stack.mailbox import API_VERSION
from shared.business_central.entities import ITEMS
from shared.business_central.records import parse_record
from shared.changes import cloud_events
from shared.settings import StorageSettings
from shared.storage.claim_checks import BlobClaimChecks
from tests.local.functions_host.harness import HostProcess, eventually
from tests.support.loaded_modules import SAMPLES, load

pytestmark = pytest.mark.azurite
ORIGIN = cloud_events.Origin("https://api.example/companies(1)", "https://app.example/api/schema?data=")


def item(number: int, time: str = "2026-02-11T09:14:27.53Z", name: str = "Parka", change: str = "updated") -> str:
    """An event of an item."""
    record = {"@odata.etag": time + name, "id": f"7b1c4a52-91d3-f011-8d4c-{number:012d}", "number": f"{number}"}
    fields = {**record, "displayName": name, **({"lastModifiedDateTime": time} if time else {})}
    return cloud_events.change_event(ORIGIN, ITEMS, change, parse_record(json.dumps(fields).encode()))


def subject(number: int) -> str:
    """The subject of its events."""
    return f"items(7b1c4a52-91d3-f011-8d4c-{number:012d})"


class Place:
    """A storage account with what the app writes, and what the sample keeps."""

    def __init__(self, connection_string: str) -> None:
        self.connection_string = connection_string
        self.queues = QueueServiceClient.from_connection_string(connection_string, api_version=API_VERSION)
        self.tables = TableServiceClient.from_connection_string(connection_string)
        self.checks = BlobClaimChecks(
            StorageSettings(connection_string=connection_string, table_endpoint="", client_id="")
        )

    def message(self, events: list[str]) -> str:
        """The message of a job that announces these events, its blob stored."""
        batch = cloud_events.pack(events)
        assert batch is not None
        if batch.blob is None:
            return batch.message
        url = self.checks.put(batch.blob.name, batch.blob.data)
        return cloud_events.claim_check(ORIGIN, "job-1", batch.blob, url, now=datetime(2026, 3, 4, tzinfo=UTC))

    def seen(self) -> set[str]:
        """The events that the sample remembers as handled or late."""
        rows = self.tables.get_table_client("SampleSeen").list_entities()
        return {row["RowKey"] for row in rows} - {"newest"}


@pytest.fixture
def place(azurite: str) -> Iterator[Place]:
    """An account in which the sample has seen nothing."""
    made = Place(azurite)
    made.tables.delete_table("SampleSeen")
    yield made
    made.checks.close()


class Consumer:
    """Calls the sample's function as the host does."""

    def __init__(self, sample: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
        (function,) = sample.app.get_functions()
        self._call: Callable[[func.QueueMessage], None] = function.get_user_function()
        self.handled: list[dict[str, Any]] = []
        monkeypatch.setattr(sample, "handle", self.handled.append)

    def take(self, message: str) -> list[str]:
        """Deliver a message; the names of the items that are handled for it."""
        before = len(self.handled)
        self._call(func.QueueMessage(id="m-1", body=message.encode()))
        return [event["data"]["displayName"] for event in self.handled[before:]]


@pytest.fixture
def consumer(place: Place, monkeypatch: pytest.MonkeyPatch) -> Consumer:
    """The sample in this process: what it handles, in order."""
    monkeypatch.setenv("CONNECT_STORAGE", place.connection_string)
    return Consumer(load("read_events/function_app.py"), monkeypatch)


def test_each_event_is_handled_once_in_the_order_of_its_time(place: Place, consumer: Consumer) -> None:
    """Fractions of any length compare as times do; an event without `time` is handled, too; a repeat is dropped."""
    events = [
        item(1, "2026-02-11T09:14:27.53Z", "third"), item(1, "2026-02-11T09:14:27.5Z", "second"),
        item(2, "", "none"), item(1, "2026-02-11T09:14:27Z", "first"),
    ]  # fmt: skip
    assert consumer.take(place.message(events)) == ["none", "first", "second", "third"]
    assert consumer.take(place.message(events)) == []


def test_an_older_state_does_not_come_after_a_newer_one(place: Place, consumer: Consumer) -> None:
    """In another message, later: Business Central's order is the times', not the queue's."""
    assert consumer.take(place.message([item(3, "2026-02-11T10:00:00Z", "new")])) == ["new"]
    assert consumer.take(place.message([item(3, "2026-02-11T09:00:00.9999999Z", "old")])) == []
    assert consumer.take(place.message([item(4, "2026-02-11T09:00:00Z", "another record")])) == ["another record"]


def test_a_claim_check_is_opened_and_checked(place: Place, consumer: Consumer) -> None:
    """Count and checksum are right, or the function raises and the queue brings the message again."""
    message = place.message([item(number, name="x" * 600) for number in range(100)])
    (check,) = json.loads(message)
    assert check["type"] == cloud_events.BATCH_TYPE
    for spoilt in ({"count": 99}, {"checksum": "sha256:" + "0" * 64}):
        with pytest.raises(ValueError, match="is not what the event"):
            consumer.take(json.dumps([{**check, **spoilt}]))
    assert consumer.handled == []
    assert len(consumer.take(message)) == 100
    assert consumer.take(message) == []


def test_what_was_not_finished_is_done_again(place: Place, consumer: Consumer, monkeypatch: pytest.MonkeyPatch) -> None:
    """An event is remembered after it is handled: a crash between both repeats it and loses nothing."""
    sample = load("read_events/function_app.py")

    def fail(event: dict[str, Any]) -> None:
        raise RuntimeError(event["id"])

    monkeypatch.setattr(sample, "handle", fail)
    (function,) = sample.app.get_functions()
    message = place.message([item(5, name="once")])
    with pytest.raises(RuntimeError):
        function.get_user_function()(func.QueueMessage(id="m-1", body=message.encode()))
    assert consumer.take(message) == ["once"]


def test_the_sample_runs_on_a_functions_host(place: Place, tmp_path: Path) -> None:
    """A message as the app's output binding writes it, base64 of UTF-8, through the host and its queue trigger."""
    queue = place.queues.get_queue_client("bc-events")
    if "bc-events" not in {each.name for each in place.queues.list_queues()}:
        queue.create_queue()
    message = place.message([item(number, name="é" * 600) for number in range(60)])
    env = {"AzureWebJobsStorage": place.connection_string, "CONNECT_STORAGE": place.connection_string}
    host = HostProcess(SAMPLES / "read_events", tmp_path, env).wait_ready()
    try:
        queue.send_message(base64.b64encode(message.encode()).decode())
        eventually(lambda: queue.get_queue_properties().approximate_message_count == 0, within_s=60, what="deletion")
    finally:
        host.stop()
    (check,) = json.loads(message)
    blob = BlobServiceClient.from_connection_string(place.connection_string, api_version=API_VERSION)
    lines = blob.get_blob_client("bc-data", check["dataref"].rpartition("/")[2]).download_blob().readall().splitlines()
    assert place.seen() == {json.loads(line)["id"] for line in lines}
    queue.delete_queue()
