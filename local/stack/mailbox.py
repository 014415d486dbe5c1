"""The rest of the business, as the demo and the end-to-end tests play it: reads bc-events and results, sends orders.

It opens claim checks: a `bc.batch.v1` event names a blob of NDJSON, whose checksum and count are compared.
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

_API_VERSION = "2025-11-05"  # the newest that Azurite knows
_HIDDEN_S = 30
_AGAIN_S = 1  # a message whose blob is not there yet is looked at again


class Mailbox:
    """Takes every message out of the outgoing queues of one storage account."""

    def __init__(self, connection_string: str) -> None:
        """Open the account."""
        self._queues = QueueServiceClient.from_connection_string(connection_string, api_version=_API_VERSION)
        self._blobs = BlobServiceClient.from_connection_string(connection_string, api_version=_API_VERSION)
        self.messages = 0  # taken out of bc-events
        self.batches = 0  # claim checks opened among them

    def put(self, queue: str, text: str) -> None:
        """Send a message as the Functions host expects it: base64 of UTF-8."""
        client = self._queues.get_queue_client(queue)
        with contextlib.suppress(ResourceExistsError):
            client.create_queue()
        client.send_message(base64.b64encode(text.encode()).decode())

    def take(self) -> list[dict[str, Any]]:
        """Return all events that lie in `bc-events`, claim checks opened; one whose blob is still on its way stays."""
        events: list[dict[str, Any]] = []
        for text in self._drain(resource_names.QUEUE_EVENTS, self._is_complete):
            self.messages += 1
            for event in json.loads(text):
                events += self._open(event) if event["type"] == BATCH_TYPE else [event]
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

    def _is_complete(self, text: str) -> bool:
        return all(self._blob(event).exists() for event in json.loads(text) if event["type"] == BATCH_TYPE)

    def _blob(self, event: dict[str, Any]) -> BlobClient:
        container, _, name = event["dataref"].partition("/")
        return self._blobs.get_blob_client(container, name)

    def _open(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        body = self._blob(event).download_blob().readall()
        lines = [json.loads(line) for line in body.splitlines()]
        if event["checksum"] != f"sha256:{sha256(body).hexdigest()}" or len(lines) != event["count"]:
            raise ValueError(f"the claim check of {event['subject']} does not match its blob")
        self.batches += 1
        return lines

    def _drain(self, queue: str, is_complete: Callable[[str], bool] = lambda _: True) -> list[str]:
        client = self._queues.get_queue_client(queue)
        texts: list[str] = []
        try:
            while messages := list(client.receive_messages(max_messages=32, visibility_timeout=_HIDDEN_S)):
                for message in messages:
                    text = base64.b64decode(message.content).decode()
                    if not is_complete(text):
                        client.update_message(message, visibility_timeout=_AGAIN_S)
                        continue
                    texts.append(text)
                    client.delete_message(message)
        except ResourceNotFoundError:
            pass
        return texts
