"""Reads `bc-events` in a Function app of its own: opens claim checks, drops what it knows, lets the newest state win.

Setting `CONNECT_STORAGE`: connection string of the storage account that Business Central Connect writes to.
The host decodes base64 (its default), and brings a message again when this function raises.
"""

import hashlib
import json
import logging
import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote, urlsplit

import azure.functions as func
from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.data.tables import TableClient
from azure.storage.blob import BlobClient

app = func.FunctionApp()
log = logging.getLogger(__name__)
NO_TIME = datetime.min.replace(tzinfo=UTC)


@app.queue_trigger(arg_name="msg", queue_name="bc-events", connection="CONNECT_STORAGE")
def on_events(msg: func.QueueMessage) -> None:
    """Handle the events of a message, in the order in which their records were modified."""
    events = [event for entry in json.loads(msg.get_body()) for event in opened(entry)]
    with TableClient.from_connection_string(os.environ["CONNECT_STORAGE"], "SampleSeen") as seen:
        with suppress(ResourceExistsError):
            seen.create_table()
        for event in sorted(events, key=time_of):
            once(seen, event)


def opened(event: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the event, or the events of the blob that it refers to: they did not fit a message."""
    if event["type"] != "bc.batch.v1":
        yield event
        return
    *_, container, name = unquote(urlsplit(event["dataref"]).path).split("/")
    # with an identity: BlobClient.from_blob_url(event["dataref"], credential=DefaultAzureCredential())
    with BlobClient.from_connection_string(os.environ["CONNECT_STORAGE"], container, name) as blob:
        body = blob.download_blob().readall()
    lines = body.splitlines()
    if len(lines) != event["count"] or event["checksum"] != "sha256:" + hashlib.sha256(body).hexdigest():
        raise ValueError(f"{event['dataref']} is not what the event {event['id']} refers to")
    yield from map(json.loads, lines)


def time_of(event: dict[str, Any]) -> datetime:
    """Return when the record was modified; `time` may be absent, and its fractions differ in length."""
    return datetime.fromisoformat(event["time"]) if "time" in event else NO_TIME


def once(seen: TableClient, event: dict[str, Any]) -> None:
    """Handle an event unless it is known, or older than what is known of its record; then remember it.

    Two instances may be at one record at once: where that matters, let the database decide (samples/upsert).
    """
    record = hashlib.sha256(f"{event['source']}|{event['subject']}".encode()).hexdigest()
    if known(seen, record, event["id"]):
        return
    newest = known(seen, record, "newest")
    is_late = newest is not None and "time" in event and time_of(event) < datetime.fromisoformat(newest["time"])
    if not is_late:
        handle(event)  # before it is remembered: whoever dies in between does it again
        if "time" in event:
            seen.upsert_entity({"PartitionKey": record, "RowKey": "newest", "time": event["time"]})
    seen.upsert_entity({"PartitionKey": record, "RowKey": event["id"], "late": is_late})


def known(seen: TableClient, record: str, row: str) -> dict[str, Any] | None:
    """Return a row, None when there is none."""
    try:
        return dict(seen.get_entity(record, row))
    except ResourceNotFoundError:
        return None


def handle(event: dict[str, Any]) -> None:
    """Do what you do with a change; here is the place for your code, which may run twice for one event."""
    log.info("handled %s of %s: %s", event["type"], event["subject"], event["data"].get("number", ""))
