"""The rest of the business, as the demo and the end-to-end tests play it: reads bc-events and results, sends orders.

It opens claim checks: a `bc.batch.v1` event names a blob of NDJSON. A message stays in its queue until checksum and
count of its blob are right, as a consumer should have it.
"""

import base64
import contextlib
import json
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.storage.blob import BlobClient, BlobServiceClient
from azure.storage.queue import QueueServiceClient

from shared import resource_names
from shared.changes.cloud_events import BATCH_TYPE

API_VERSION = "2025-11-05"  # the newest that Azurite knows
_HIDDEN_S = 30
_AGAIN_S = 1  # a message whose blob is not right is looked at again


class Mailbox:
    """Takes every message out of the outgoing queues of one storage account."""

    def __init__(self, connection_string: str) -> None:
        """Open the account."""
        self._queues = QueueServiceClient.from_connection_string(connection_string, api_version=API_VERSION)
        self._blobs = BlobServiceClient.from_connection_string(connection_string, api_version=API_VERSION)
        self.messages = 0  # taken out of bc-events
        self.batches = 0  # claim checks opened among them

    def put(self, queue: str, text: str) -> None:
        """Send a message as the Functions host expects it: base64 of UTF-8."""
        client = self._queues.get_queue_client(queue)
        with contextlib.suppress(ResourceExistsError):
            client.create_queue()
        client.send_message(base64.b64encode(text.encode()).decode())

    def take(self) -> list[dict[str, Any]]:
        """Return all events that lie in `bc-events`, claim checks opened; a message whose blob is not right stays."""
        events: list[dict[str, Any]] = []

        def read(text: str) -> bool:
            opened = [self._open(event) if event["type"] == BATCH_TYPE else [event] for event in json.loads(text)]
            right = [part for part in opened if part is not None]
            if len(right) < len(opened):
                return False
            self.messages += 1
            events.extend(event for part in right for event in part)
            return True

        self._drain(resource_names.QUEUE_EVENTS, read)
        return events

    def results(self) -> list[dict[str, Any]]:
        """Return all results that lie in `sales-order-results`."""
        return [json.loads(text) for text in self._drain(resource_names.QUEUE_RESULTS)]

    def count(self, queue: str) -> int:
        """Return about how many messages a queue holds, 0 when it does not exist."""
        try:
            return int(self._queues.get_queue_client(queue).get_queue_properties().approximate_message_count or 0)
        except ResourceNotFoundError:
            return 0

    def _blob(self, event: dict[str, Any]) -> BlobClient:
        name = event["dataref"].rpartition(f"/{resource_names.CONTAINER}/")[2]
        return self._blobs.get_blob_client(resource_names.CONTAINER, name)

    def _open(self, event: dict[str, Any]) -> list[dict[str, Any]] | None:
        """Return the events of a claim check, None when its blob is not what the event says."""
        try:
            body = self._blob(event).download_blob().readall()
        except ResourceNotFoundError:
            return None
        lines = body.splitlines()
        if event["checksum"] != f"sha256:{sha256(body).hexdigest()}" or len(lines) != event["count"]:
            return None
        self.batches += 1
        return [json.loads(line) for line in lines]

    def _drain(self, queue: str, read: Callable[[str], bool] = lambda _: True) -> list[str]:
        client = self._queues.get_queue_client(queue)
        texts: list[str] = []
        try:
            while messages := list(client.receive_messages(max_messages=32, visibility_timeout=_HIDDEN_S)):
                for message in messages:
                    text = base64.b64decode(message.content).decode()
                    if not read(text):
                        client.update_message(message, visibility_timeout=_AGAIN_S)
                        continue
                    texts.append(text)
                    client.delete_message(message)
        except ResourceNotFoundError:
            pass
        return texts
